package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/store"
)

// told are the differences that the writer finds.
func told(t *testing.T, db *store.DB) []string {
	t.Helper()
	err := db.CheckTables(t.Context())
	if err == nil {
		return nil
	}
	var differ *store.DifferenceError
	if !errors.As(err, &differ) {
		t.Fatalf("CheckTables: %v, want a DifferenceError", err)
	}
	var all []string
	for _, d := range differ.Differences {
		all = append(all, d.String())
	}
	return all
}

// difference is a change of the schema, and what is told of it.
type difference struct {
	name   string
	breaks []string
	want   []string
	heals  []string // and Restore makes what is missing
}

func differences() []difference {
	const otherAccounts = "CREATE MATERIALIZED VIEW accounts_view TO %s AS SELECT DISTINCT account FROM %s"
	return []difference{
		{"a view is dropped", []string{"DROP VIEW attempts_view"}, []string{"view attempts_view is missing"}, nil},
		{"a view is detached", []string{"DETACH TABLE attempts_view"}, []string{"view attempts_view is missing"}, []string{"ATTACH TABLE attempts_view"}},
		{"a projection is dropped", []string{"DROP TABLE user_latest"}, []string{"table user_latest is missing"}, nil},
		{"the table of facts is gone", []string{"RENAME TABLE events TO facts"}, []string{"table events is missing"}, []string{"RENAME TABLE facts TO events"}},
		{"another table is gone", []string{"DROP TABLE gaps"}, []string{"table gaps is missing"}, nil},
		{
			"a view selects fewer rows",
			[]string{"ALTER TABLE event_ids_view MODIFY QUERY SELECT account, id, content_hash, occurred_at FROM events WHERE status = 1"},
			[]string{"view event_ids_view selects something else"}, []string{"DROP VIEW event_ids_view"},
		},
		{
			"a view has another text in it",
			[]string{"ALTER TABLE event_ids_view MODIFY QUERY SELECT account, 'i d' AS id, content_hash, occurred_at FROM events"},
			[]string{"view event_ids_view selects something else"}, []string{"DROP VIEW event_ids_view"},
		},
		{
			"a view reads another table",
			[]string{"CREATE TABLE other AS events", "DROP VIEW accounts_view", fmt.Sprintf(otherAccounts, "accounts", "other")},
			[]string{"view accounts_view selects something else"}, []string{"DROP VIEW accounts_view", "DROP TABLE other"},
		},
		{
			"a view writes elsewhere",
			[]string{"CREATE TABLE other AS accounts", "DROP VIEW accounts_view", fmt.Sprintf(otherAccounts, "other", "events")},
			[]string{`view accounts_view has the target "other" instead of "accounts"`}, []string{"DROP VIEW accounts_view", "DROP TABLE other"},
		},
		{
			"a column is renamed", []string{"ALTER TABLE events RENAME COLUMN attributes TO gone"},
			[]string{"table events has no column attributes"}, []string{"ALTER TABLE events RENAME COLUMN gone TO attributes"},
		},
		{
			"a column has another type", []string{"ALTER TABLE gaps MODIFY COLUMN messages SimpleAggregateFunction(min, UInt64)"},
			[]string{`table gaps has the column "messages SimpleAggregateFunction(min, UInt64)" instead of "messages SimpleAggregateFunction(max, UInt64)"`},
			[]string{"DROP TABLE gaps"},
		},
		{
			"a column has another default", []string{"ALTER TABLE gaps MODIFY COLUMN found_at DEFAULT toDateTime64(0, 6, 'UTC')"},
			[]string{`table gaps has the column "found_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) DEFAULT toDateTime64(0, 6, 'UTC')" instead of "found_at SimpleAggregateFunction(min, DateTime64(6, 'UTC')) DEFAULT now64(6, 'UTC')"`},
			[]string{"DROP TABLE gaps"},
		},
		{
			"rows collapse by another key",
			[]string{"DROP TABLE accounts", "CREATE TABLE accounts (account String) ENGINE = MergeTree PARTITION BY length(account) ORDER BY tuple()"},
			[]string{
				`table accounts has the engine "MergeTree" instead of "ReplacingMergeTree"`,
				`table accounts has the partition key "length(account)" instead of ""`,
				`table accounts has the sorting key "" instead of "account"`,
			},
			[]string{"DROP TABLE accounts"},
		},
		{
			"rows collapse by another version",
			[]string{"DROP TABLE events_by_user", "CREATE TABLE events_by_user AS events ENGINE = ReplacingMergeTree(rank) PARTITION BY toYear(occurred_at) ORDER BY (account, username, occurred_at, rank, content_hash)"},
			[]string{
				`table events_by_user has the engine "ReplacingMergeTree(rank)" instead of "ReplacingMergeTree(version)"`,
				`table events_by_user has the column "ingested_after Int64 DEFAULT toUnixTimestamp64Milli(now64(3, 'UTC')) - intDiv(toUnixTimestamp64Micro(occurred_at) + received_after, 1000)" instead of "ingested_after Int64"`,
			},
			[]string{"DROP TABLE events_by_user"},
		},
		{
			"projections are being filled", []string{"CREATE TABLE restoring (name String) ENGINE = MergeTree ORDER BY name"},
			[]string{"table restoring is there: projections are not filled to the end"}, nil,
		},
	}
}

func TestEveryDifferenceFromWhatTheMigrationsMakeIsTold(t *testing.T) {
	db := openDatabase(t)
	for _, d := range differences() {
		t.Run(d.name, func(t *testing.T) {
			for _, sql := range d.breaks {
				db.exec(t, sql)
			}
			if got := told(t, db.writer); !slices.Equal(got, d.want) {
				t.Errorf("told are %q, want %q", got, d.want)
			}
			for _, sql := range d.heals {
				db.exec(t, sql)
			}
			if _, err := db.restore(t.Context(), store.RestoreConfig{}); err != nil {
				t.Fatal(err)
			}
			if got := told(t, db.writer); got != nil {
				t.Errorf("told are %q when it is healed, want nothing", got)
			}
		})
	}
}

func TestWhatAnOperatorMayTuneAndAddIsNoDifference(t *testing.T) {
	db := openDatabase(t)
	for _, sql := range []string{
		"ALTER TABLE events MODIFY SETTING min_parts_to_merge_at_once = 3",
		"ALTER TABLE events MODIFY COLUMN outline CODEC(ZSTD(9))",
		"ALTER TABLE events MODIFY TTL toDateTime(occurred_at) + INTERVAL 10 YEAR",
		"ALTER TABLE events DROP INDEX ix_version",
		"ALTER TABLE events MODIFY COMMENT 'of ours'",
		"ALTER TABLE attempts ADD COLUMN note String",
		"ALTER TABLE event_ids ADD CONSTRAINT some CHECK id_hash != 1",
		"CREATE TABLE mine (account String) ENGINE = MergeTree ORDER BY account",
		"CREATE MATERIALIZED VIEW mine_view TO mine AS SELECT account FROM events",
		"CREATE VIEW plain AS SELECT account FROM events",
	} {
		db.exec(t, sql)
	}
	for role, conn := range map[string]*store.DB{"writer": db.writer, "owner": db.owner} {
		if got := told(t, conn); got != nil {
			t.Errorf("as %s: told are %q", role, got)
		}
	}
}

func TestDifferencesAreNotEndless(t *testing.T) {
	db := openDatabase(t)
	for _, table := range db.tables(t) {
		db.exec(t, "DROP TABLE "+table)
	}
	err := db.writer.CheckTables(t.Context())
	if err == nil {
		t.Fatal("no error, want one")
	}
	text := err.Error()
	if strings.Count(text, " is missing") != 5 || !strings.Contains(text, "; and 9 more: ") {
		t.Errorf("the error is %q", text)
	}
}

// TestDifferencesNameWhatHelpsAgainstAllOfThem: migrate does nothing where one of
// them is more than something missing.
func TestDifferencesNameWhatHelpsAgainstAllOfThem(t *testing.T) {
	const (
		run  = "run `loginaudit migrate`, or restart `loginaudit serve`"
		wait = "a `loginaudit migrate` that runs ends this; if it was interrupted, run it again, or restart `loginaudit serve`"
		read = `see docs/operations.md, "Views and tables that are missing or wrong"`
	)
	missing := store.Difference{Object: "view attempts_view", Missing: true, What: "is missing"}
	wrong := store.Difference{Object: "view accounts_view", What: "selects something else"}
	events := store.Difference{Object: "table events", Missing: true, What: "is missing"}
	filled := store.Difference{Object: "table restoring", What: "is there"}
	for _, c := range []struct {
		differences []store.Difference
		want        string
	}{
		{[]store.Difference{missing}, run},
		{[]store.Difference{missing, filled}, run},
		{[]store.Difference{filled}, wait},
		{[]store.Difference{wrong}, read},
		{[]store.Difference{events}, read},
		{[]store.Difference{missing, wrong, filled}, read},
	} {
		err := &store.DifferenceError{Differences: c.differences}
		if text := err.Error(); !strings.HasSuffix(text, ": "+c.want) {
			t.Errorf("the error is %q, want that it ends with %q", text, c.want)
		}
	}
}

// TestUserWhoMaySeeNoTableIsToldSoAndNotThatTheyAreMissing: the reader stands for
// a writer whose rights are those of an older version.
func TestUserWhoMaySeeNoTableIsToldSoAndNotThatTheyAreMissing(t *testing.T) {
	db := openDatabase(t)
	err := db.reader.CheckTables(t.Context())
	if !errors.Is(err, store.ErrHidden) || !strings.Contains(err.Error(), "SHOW TABLES and SHOW COLUMNS on "+db.server.Database+".*") {
		t.Errorf("CheckTables: %v, want ErrHidden and the rights that are missing", err)
	}
}

func TestEngineOfAClusterIsComparedAsThatOfASingleServer(t *testing.T) {
	for full, want := range map[string]string{
		"ReplacingMergeTree(version) PARTITION BY toYYYYMM(occurred_at) ORDER BY (account) SETTINGS index_granularity = 8192":         "ReplacingMergeTree(version)",
		"ReplicatedReplacingMergeTree('/clickhouse/{shard}/events', '{replica}', version) PARTITION BY toYYYYMM(at) ORDER BY tuple()": "ReplacingMergeTree(version)",
		"ReplicatedAggregatingMergeTree('/clickhouse/{uuid}/{shard}', '{replica}') ORDER BY account":                                  "AggregatingMergeTree",
		"SharedMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}') PRIMARY KEY a ORDER BY a":                                  "MergeTree",
		"Memory SETTINGS max_rows_to_keep = 64": "Memory",
	} {
		if got := store.PlainEngine(full); got != want {
			t.Errorf("%s is compared as %q, want %q", full, got, want)
		}
	}
}

package store_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/store"
)

// restore restores and gives the steps that were told.
func (d database) restore(ctx context.Context, how store.RestoreConfig) (steps []string, err error) {
	how.Tell = func(step string, _ time.Duration) { steps = append(steps, step) }
	err = store.Restore(ctx, d.config("owner"), how)
	return steps, err
}

// fewerExamples has the properties of a test tried less often, unless the command
// line says more.
func fewerExamples(t *testing.T, n string) {
	t.Helper()
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if before != usualExamples {
		return
	}
	if err := checks.Value.Set(n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checks.Value.Set(before) })
}

// TestWhatWasRestoredAnswersAsIfNothingHadBeenLost inserts events while views and
// projections are missing, and compares with a plain fold afterwards.
func TestWhatWasRestoredAnswersAsIfNothingHadBeenLost(t *testing.T) {
	fewerExamples(t, "8") // each restores, which syncs much
	db := openDatabase(t)
	var accounts accountNames
	rapid.Check(t, func(rt *rapid.T) {
		account := accounts.name("restored")
		events := drawEvents(rt, account, 30)
		before := rapid.IntRange(0, len(events)).Draw(rt, "inserted before")
		insertAtRandom(rt, db, events[:before])
		lost := drawSet(rt, "lost", []string{
			"accounts_view", "attempts_view", "event_ids_view", "events_by_user_view", "user_latest_view",
			"accounts", "attempts", "event_ids", "events_by_user", "user_latest",
		})
		slices.Sort(lost)
		lost = slices.Compact(lost)
		slices.Reverse(lost) // a view before its table: no insert works with the view alone
		for _, name := range lost {
			if view := name + "_view"; !strings.HasSuffix(name, "_view") && !slices.Contains(lost, view) {
				db.exec(t, "DROP VIEW "+view)
			}
			db.exec(t, "DROP TABLE "+name)
		}
		if err := db.writer.Insert(t.Context(), rapid.Permutation(events[before:]).Draw(rt, "order")); err != nil {
			rt.Fatal(err)
		}
		if _, err := db.restore(t.Context(), store.RestoreConfig{}); err != nil {
			rt.Fatal(err)
		}
		if err := db.writer.CheckTables(t.Context()); err != nil {
			rt.Fatal(err)
		}
		plain := oracle.New(events, store.DefaultSessionLimit)
		compareUsers(rt, db.reader, plain, account, epoch)
		compareEvents(rt, db.reader, plain, events)
		for _, username := range usernamesOf(events) {
			if username == "" {
				continue // the empty username is no listed user
			}
			compareAttempts(rt, db.reader, plain, account, username, epoch)
		}
		compareDetails(rt, db.reader, plain, rapid.SampledFrom(events).Draw(rt, "event"), epoch)
		if names, err := db.reader.Accounts(t.Context()); err != nil || !slices.Contains(names, account) {
			rt.Fatalf("accounts %q, error %v: want %s among them", names, err, account)
		}
	})
}

func TestRestoreMakesWhatTheMigrationsMade(t *testing.T) {
	db := openDatabase(t)
	statements := func() (all []string) {
		for _, table := range db.tables(t) {
			all = append(all, db.texts(t, "SHOW CREATE TABLE "+table)...)
		}
		return all
	}
	before := statements()
	var want []string
	for _, table := range db.tables(t) {
		if table == "goose_db_version" || table == "events" {
			continue
		}
		db.exec(t, "DROP TABLE "+table)
		if view, ok := strings.CutSuffix(table, "_view"); ok {
			want = append(want, "made view "+table, "filled table "+view+" from the events")
		} else {
			want = append(want, "made table "+table)
		}
	}
	steps, err := db.restore(t.Context(), store.RestoreConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if slices.Sort(want); !slices.Equal(slices.Sorted(slices.Values(steps)), want) {
		t.Errorf("told are %q, want %q", steps, want)
	}
	if after := statements(); !slices.Equal(after, before) {
		t.Errorf("the schema is now\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
}

func TestRestoreOfWhatIsWholeDoesNothing(t *testing.T) {
	db := openDatabase(t)
	if steps, err := db.restore(t.Context(), store.RestoreConfig{Settle: time.Hour}); err != nil || steps != nil {
		t.Errorf("told are %q, error %v; want nothing and none", steps, err)
	}
}

// TestRestoreThatWasKilledIsFinishedByTheNext: the view is there again, and the
// table that it writes to lacks events.
func TestRestoreThatWasKilledIsFinishedByTheNext(t *testing.T) {
	db := openDatabase(t)
	if err := db.writer.Insert(t.Context(), someEvents("a", 50, 31*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	db.exec(t, "TRUNCATE TABLE event_ids")
	db.exec(t, "CREATE TABLE restoring (name String) ENGINE = MergeTree ORDER BY name")
	db.exec(t, "INSERT INTO restoring VALUES ('event_ids')")
	steps, err := db.restore(t.Context(), store.RestoreConfig{})
	if err != nil || !slices.Equal(steps, []string{"filled table event_ids from the events"}) {
		t.Errorf("told are %q, error %v", steps, err)
	}
	if got := db.texts(t, "SELECT toString(count()) FROM event_ids FINAL"); got[0] != "50" {
		t.Errorf("%s events are in event_ids, want 50", got)
	}
	if err := db.writer.CheckTables(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRefillFillsEveryProjectionThoughNothingIsMissing is for the view that
// somebody has made again by hand.
func TestRefillFillsEveryProjectionThoughNothingIsMissing(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "DETACH TABLE attempts_view")
	if err := db.writer.Insert(t.Context(), someEvents("a", 50, 31*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	db.exec(t, "ATTACH TABLE attempts_view")
	if _, err := db.restore(t.Context(), store.RestoreConfig{}); err != nil {
		t.Fatal(err)
	}
	before := db.texts(t, "SELECT toString(count()) FROM attempts FINAL")[0]
	steps, err := db.restore(t.Context(), store.RestoreConfig{Refill: true})
	if err != nil || len(steps) != 5 {
		t.Errorf("told are %q, error %v; want five steps", steps, err)
	}
	if after := db.texts(t, "SELECT toString(count()) FROM attempts FINAL")[0]; before != "0" || after != "1" {
		t.Errorf("%s attempts before, %s after; want 0 and 1", before, after)
	}
}

// TestRestoreLeavesAloneWhatIsThere: rows that a wrong view has written would
// stay, and rows of facts that are gone come back from nowhere.
func TestRestoreLeavesAloneWhatIsThere(t *testing.T) {
	for sql, what := range map[string]string{
		"ALTER TABLE event_ids_view MODIFY QUERY SELECT account, id, content_hash, occurred_at FROM events WHERE status = 1": "view event_ids_view selects something else",
		"ALTER TABLE events RENAME COLUMN device_id TO gone":                                                                 "table events has no column device_id",
		"RENAME TABLE events TO facts": "table events is missing",
	} {
		t.Run(what, func(t *testing.T) {
			db := openDatabase(t)
			db.exec(t, "DROP VIEW attempts_view")
			db.exec(t, sql)
			before := db.tables(t)
			steps, err := db.restore(t.Context(), store.RestoreConfig{})
			if !errors.Is(err, store.ErrNotRestorable) || !strings.Contains(fmt.Sprint(err), what) {
				t.Errorf("error %v, want ErrNotRestorable that says %q", err, what)
			}
			if after := db.tables(t); steps != nil || !slices.Equal(after, before) {
				t.Errorf("it did %q, and the tables are %q, want %q", steps, after, before)
			}
		})
	}
}

// TestRestoreThatIsInterruptedWhileItWaitsForWorkersHasThemWait: they see the
// table that it has made.
func TestRestoreThatIsInterruptedWhileItWaitsForWorkersHasThemWait(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "DROP VIEW attempts_view")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := db.restore(ctx, store.RestoreConfig{Settle: time.Hour})
		ended <- err
	}()
	waits := "table restoring is there: projections are not filled to the end"
	for !slices.Contains(told(t, db.writer), waits) {
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was interrupted", err)
	}
	if got := told(t, db.writer); !slices.Equal(got, []string{"view attempts_view is missing", waits}) {
		t.Errorf("told are %q", got)
	}
	if _, err := db.restore(t.Context(), store.RestoreConfig{}); err != nil {
		t.Fatal(err)
	}
	if got := told(t, db.writer); got != nil {
		t.Errorf("told are %q after the next one, want nothing", got)
	}
}

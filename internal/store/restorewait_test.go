package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/store"
)

// beginInsert begins an insert of one event as the writer, which ends when the
// test sends it.
func (d database) beginInsert(t *testing.T, into string) driver.Batch {
	t.Helper()
	conn, err := clickhouse.Open(d.server.Options(d.server.Writer))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO "+into+" (account, occurred_at, content_hash, id_text, username, entry, status, outline)")
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Append("slow", time.Now(), strings.Repeat("a", 16), "old", "ada", uint8(1), uint8(1), "{}"); err != nil {
		t.Fatal(err)
	}
	return batch
}

// TestInsertThatBeganWithoutAViewIsInItsProjectionAfterRestore: Restore fills when
// the insert has ended.
func TestInsertThatBeganWithoutAViewIsInItsProjectionAfterRestore(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "DROP VIEW accounts_view")
	batch := db.beginInsert(t, "events")
	made, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- store.Restore(t.Context(), db.config("owner"), store.RestoreConfig{Tell: func(step string, _ time.Duration) {
			if strings.HasPrefix(step, "made ") {
				made <- step
			}
		}})
	}()
	<-made
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got := db.texts(t, "SELECT account FROM accounts"); !slices.Equal(got, []string{"slow"}) {
		t.Errorf("the accounts are %q, want slow", got)
	}
}

// TestRestoreThatInsertsHoldUpSaysWhichAndIsFinishedByTheNext: workers are held
// back until then.
func TestRestoreThatInsertsHoldUpSaysWhichAndIsFinishedByTheNext(t *testing.T) {
	for _, into := range []string{"events", "DATABASE.events", "`events`", "TABLE `DATABASE`.`events`"} {
		t.Run(into, func(t *testing.T) {
			db := openDatabase(t)
			db.exec(t, "DROP VIEW accounts_view")
			batch := db.beginInsert(t, strings.ReplaceAll(into, "DATABASE", db.server.Database))
			steps, err := db.restore(t.Context(), store.RestoreConfig{Drain: time.Millisecond})
			if !errors.Is(err, store.ErrInsertsUnderWay) || !strings.Contains(err.Error(), "query_id ") || !slices.Equal(steps, []string{"made view accounts_view"}) {
				t.Errorf("told are %q, error %v; want the view only and ErrInsertsUnderWay", steps, err)
			}
			if got := told(t, db.writer); len(got) != 1 || !strings.HasPrefix(got[0], "table restoring is there") {
				t.Errorf("told are %q, want that projections are not filled", got)
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			if _, err := db.restore(t.Context(), store.RestoreConfig{}); err != nil {
				t.Fatal(err)
			}
			if got := db.texts(t, "SELECT account FROM accounts"); !slices.Equal(got, []string{"slow"}) {
				t.Errorf("the accounts are %q, want slow", got)
			}
		})
	}
}

// TestRefillLeavesAnOperatorsOwnViewAlone: what it writes may count.
func TestRefillLeavesAnOperatorsOwnViewAlone(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "CREATE TABLE my_counts (account String, n UInt64) ENGINE = SummingMergeTree ORDER BY account")
	db.exec(t, "CREATE MATERIALIZED VIEW my_counts_view TO my_counts AS SELECT account, toUInt64(1) AS n FROM events")
	if err := db.writer.Insert(t.Context(), someEvents("a", 50, 31*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.restore(t.Context(), store.RestoreConfig{Refill: true}); err != nil {
		t.Fatal(err)
	}
	if got := db.texts(t, "SELECT toString(sum(n)) FROM my_counts"); got[0] != "50" {
		t.Errorf("it counts %s events, want 50", got)
	}
}

// TestRestoreFillsAProjectionByItsOwnView, not by another that writes there too.
func TestRestoreFillsAProjectionByItsOwnView(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "CREATE MATERIALIZED VIEW aa_view TO accounts AS SELECT account FROM events WHERE 0")
	db.exec(t, "DROP VIEW accounts_view")
	if err := db.writer.Insert(t.Context(), someEvents("a", 50, 31*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.restore(t.Context(), store.RestoreConfig{}); err != nil {
		t.Fatal(err)
	}
	if got := db.texts(t, "SELECT account FROM accounts FINAL"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the accounts are %q, want a", got)
	}
}

func TestViewThatIsDroppedAgainBeforeTheFillEndsRestore(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "DROP VIEW accounts_view")
	err := store.Restore(t.Context(), db.config("owner"), store.RestoreConfig{Tell: func(string, time.Duration) {
		db.exec(t, "DROP VIEW accounts_view")
	}})
	if err == nil || !strings.Contains(err.Error(), "fill table accounts: view accounts_view is missing again") {
		t.Errorf("error %v, want that the view is missing again", err)
	}
}

package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

func someEvents(account string, n int, step time.Duration) []event.Stored {
	events := make([]event.Stored, n)
	for i := range events {
		events[i] = storedAs(event.Event{
			ID: fmt.Sprint("e", i), Account: account, Username: "ann", Entry: 1, Status: 1,
			OccurredAt: epoch.Add(-step * time.Duration(i)),
		}, uint64(i)+1)
	}
	return events
}

func TestInsertTakesEventsOfMoreMonthsThanClickHouseAllowsInABlock(t *testing.T) {
	db := openDatabase(t)
	if err := db.writer.Insert(t.Context(), someEvents("old", 130, 31*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	page, err := db.reader.Events(t.Context(), "old", query.EventFilter{Limit: 1000})
	if err != nil || len(page.Events) != 130 {
		t.Errorf("%d events, error %v; want 130", len(page.Events), err)
	}
}

func TestInsertOfNothingDoesNothing(t *testing.T) {
	db := openDatabase(t)
	if err := db.writer.Insert(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestClassify(t *testing.T) {
	exception := func(code int32) error {
		return fmt.Errorf("insert events: %w", &clickhouse.Exception{Code: code})
	}
	for _, c := range []struct {
		name string
		err  error
		want store.Class
	}{
		{"too many parts", exception(252), store.Retry},
		{"memory limit", exception(241), store.TooLarge},
		{"memory that cannot be had", exception(173), store.TooLarge},
		{"too many bytes", exception(307), store.TooLarge},
		{"not enough space", exception(243), store.Retry},
		{"read-only table", exception(242), store.Retry},
		{"timeout", exception(159), store.Retry},
		{"a code that nobody knows", exception(9999), store.Retry},
		{"network", errors.New("connection reset"), store.Retry},
		{"value out of range", exception(69), store.Split},
		{"cannot parse", exception(6), store.Split},
		{"unknown table", exception(60), store.Stop},
		{"unknown column", exception(16), store.Stop},
		{"no right", exception(497), store.Stop},
		{"wrong password", exception(516), store.Stop},
		{"wrong schema", fmt.Errorf("check: %w", store.ErrSchema), store.Stop},
	} {
		if got := store.Classify(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestErrorsOfARealServerAreClassified(t *testing.T) {
	db := openDatabase(t)
	events := someEvents("a", 1, 0)
	if err := db.reader.Insert(t.Context(), events); store.Classify(err) != store.Stop {
		t.Errorf("insert without the right: %v (%v), want stop", store.Classify(err), err)
	}
	db.exec(t, "DROP TABLE events SYNC")
	if err := db.writer.Insert(t.Context(), events); store.Classify(err) != store.Stop {
		t.Errorf("insert into a missing table: %v (%v), want stop", store.Classify(err), err)
	}
	if err := db.writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.writer.Insert(t.Context(), events); err == nil || store.Classify(err) != store.Retry {
		t.Errorf("insert without a connection: %v (%v), want retry", store.Classify(err), err)
	}
}

func TestAFailedViewFailsTheInsertAndARepeatHealsIt(t *testing.T) {
	db := openDatabase(t)
	events := someEvents("heal", 3, time.Hour)
	db.exec(t, "RENAME TABLE user_latest TO user_latest_away")
	if err := db.writer.Insert(t.Context(), events); err == nil {
		t.Fatal("the insert succeeded although a view could not write")
	}
	db.exec(t, "RENAME TABLE user_latest_away TO user_latest")
	if err := db.writer.Insert(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	user, err := db.reader.User(t.Context(), "heal", "ann", epoch)
	if err != nil || user.LastLogin.EventID != "e0" {
		t.Errorf("user %+v, error %v; want the latest event e0", user, err)
	}
	page, err := db.reader.Events(t.Context(), "heal", query.EventFilter{Limit: 10})
	if err != nil || len(page.Events) != 3 {
		t.Errorf("%d events, error %v; want each once", len(page.Events), err)
	}
}

// TestEachOfTheInsertsOfManyMonthsHasATimeOfItsOwn: history of 420 months takes
// five inserts, and a bound that is enough for one of them is enough for all.
func TestEachOfTheInsertsOfManyMonthsHasATimeOfItsOwn(t *testing.T) {
	db := openDatabase(t)
	block := store.NewBlock()
	for _, e := range someEvents("old", 420, 31*24*time.Hour) {
		block.Add(&e)
	}
	var begun []context.Context
	begin := func(ctx context.Context) (context.Context, context.CancelFunc) {
		for i, before := range begun {
			if before.Err() == nil {
				t.Errorf("insert %d begins while the context of insert %d still counts", len(begun), i)
			}
		}
		ctx, release := context.WithCancel(ctx)
		begun = append(begun, ctx)
		return ctx, release
	}
	if err := db.writer.InsertParts(t.Context(), block, 0, 420, begin); err != nil {
		t.Fatal(err)
	}
	page, err := db.reader.Events(t.Context(), "old", query.EventFilter{Limit: 1000})
	if err != nil || len(page.Events) != 420 || len(begun) != 5 {
		t.Errorf("%d events by %d inserts, error %v; want 420 by 5", len(page.Events), len(begun), err)
	}
}

func TestAStopEndsTheInsertsOfManyMonths(t *testing.T) {
	db := openDatabase(t)
	block := store.NewBlock()
	for _, e := range someEvents("old", 420, 31*24*time.Hour) {
		block.Add(&e)
	}
	work, stop := context.WithCancel(t.Context())
	begun := 0
	err := db.writer.InsertParts(work, block, 0, 420, func(ctx context.Context) (context.Context, context.CancelFunc) {
		if begun++; begun == 2 {
			stop()
		}
		return context.WithTimeout(ctx, time.Hour)
	})
	if !errors.Is(err, context.Canceled) || begun != 2 {
		t.Errorf("error %v after %d inserts, want Canceled after the second was begun", err, begun)
	}
}

// TestABlockForWhichTheWritersMemoryIsNotEnoughIsToldToBeTooLarge: the profile of
// the writer bounds the memory of an insert. A projection that takes 2 MiB a row
// stands for rows that are wide, or a server that is small.
func TestABlockForWhichTheWritersMemoryIsNotEnoughIsToldToBeTooLarge(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, `ALTER TABLE event_ids_view MODIFY QUERY SELECT account, id, content_hash, occurred_at FROM events
		WHERE NOT ignore(randomString(2097152, id))`)
	block := store.NewBlock()
	for _, e := range someEvents("wide", 1024, time.Second) {
		block.Add(&e)
	}
	if err := db.writer.InsertBlock(t.Context(), block, 0, 1024); store.Classify(err) != store.TooLarge {
		t.Fatalf("all at once: %v (%v), want %v", store.Classify(err), err, store.TooLarge)
	}
	for from := 0; from < 1024; from += 128 {
		if err := db.writer.InsertBlock(t.Context(), block, from, from+128); err != nil {
			t.Fatal(err)
		}
	}
	page, err := db.reader.Events(t.Context(), "wide", query.EventFilter{Limit: 1000})
	if err != nil || len(page.Events) != 1000 || page.Next == nil {
		t.Errorf("%d events, error %v", len(page.Events), err)
	}
}

package store_test

import (
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
		{"memory limit", exception(241), store.Retry},
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

package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// TestNobodyHidesAnEventByReusingItsID: however many events share an id, the
// first stays in reach with its message, and the answer says how many there are.
func TestNobodyHidesAnEventByReusingItsID(t *testing.T) {
	db := openDatabase(t)
	const reused = query.MaxVersions + 20
	events := make([]event.Stored, reused)
	for i := range events {
		events[i] = storedAs(event.Event{
			ID: "same", Account: "a", Username: "ann", Entry: 1, Status: 1, Reason: fmt.Sprint("version ", i),
			OccurredAt: epoch.Add(time.Duration(i) * time.Second),
		}, uint64(i)+1)
	}
	if err := db.writer.Insert(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	d, err := db.reader.Event(t.Context(), "a", query.EventQuestion{ID: "same", Now: epoch})
	if err != nil || d.VersionsTotal != reused || len(d.Versions) != query.MaxVersions || !d.Event.Conflict {
		t.Fatalf("%d of %d versions, conflict %t, error %v; want %d of %d", len(d.Versions), d.VersionsTotal, d.Event.Conflict, err, query.MaxVersions, reused)
	}
	first, err := db.reader.Event(t.Context(), "a", query.EventQuestion{ID: "same", StreamSeq: 1, Now: epoch})
	if err != nil || first.Event.Raw != string(events[0].Raw) || *first.Event.Reason != "version 0" {
		t.Errorf("the first version: %+v, error %v", first.Event, err)
	}
	if !slices.ContainsFunc(first.Versions, func(v query.RawEvent) bool { return v.Hash == events[0].Hash }) {
		t.Error("the version that was asked for is not among the versions")
	}
	if _, err := db.reader.Event(t.Context(), "a", query.EventQuestion{ID: "same", StreamSeq: 99999, Now: epoch}); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("a sequence that no version has: %v, want not found", err)
	}
}

func TestDetailsOfALongAttemptShowTheEventAndWhatIsAroundIt(t *testing.T) {
	db := openDatabase(t)
	const steps = query.MaxAttemptEvents + 300
	events := make([]event.Stored, steps)
	for i := range events {
		events[i] = storedAs(event.Event{
			ID: fmt.Sprint("step", i), Account: "a", Username: "ann", Entry: 1, Status: 5, SessionID: "long",
			OccurredAt: epoch.Add(time.Duration(i) * time.Millisecond),
		}, uint64(i)+1)
	}
	alone := storedAs(event.Event{ID: "near", Account: "a", Username: "ann", Entry: 1, Status: 5, OccurredAt: epoch}, steps+1)
	if err := db.writer.Insert(t.Context(), slices.Concat(events, []event.Stored{alone})); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, steps / 2, steps - 1} {
		d, err := db.reader.Event(t.Context(), "a", query.EventQuestion{ID: events[i].ID, Now: epoch.Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		if d.Attempt.Events != steps || len(d.AttemptEvents) > query.MaxAttemptEvents {
			t.Errorf("step %d: %d of %d events", i, len(d.AttemptEvents), d.Attempt.Events)
		}
		if !slices.ContainsFunc(d.AttemptEvents, func(e query.Event) bool { return e.Hash == d.Event.Hash }) {
			t.Errorf("step %d: the attempt's events lack the event", i)
		}
		if !slices.IsSortedFunc(d.AttemptEvents, func(a, b query.Event) int { return a.OccurredAt.Compare(b.OccurredAt.Time) }) {
			t.Errorf("step %d: the attempt's events are not in order", i)
		}
		if len(d.Neighbours) != 1 || d.Neighbours[0].ID != "near" {
			t.Errorf("step %d: %d neighbours, want the one outside the attempt", i, len(d.Neighbours))
		}
	}
}

// TestAnEventIsShownBeforeItsProjections: an insert fills one table after the
// other, and a view may be missing.
func TestAnEventIsShownBeforeItsProjections(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "DROP VIEW events_by_user_view")
	e := storedAs(event.Event{ID: "e1", Account: "acme", Username: "ann", Entry: 1, Status: 1, SessionID: "s1", OccurredAt: epoch}, 1)
	if err := db.writer.Insert(t.Context(), []event.Stored{e}); err != nil {
		t.Fatal(err)
	}
	d, err := db.reader.Event(t.Context(), "acme", query.EventQuestion{ID: "e1", Now: epoch})
	if err != nil || d.Event.ID != "e1" || *d.Attempt.SessionID != "s1" || d.Attempt.Events != 1 || len(d.AttemptEvents) != 1 {
		t.Errorf("details %+v, error %v; want the event with what is known of its attempt", d, err)
	}
}

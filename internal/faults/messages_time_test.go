package faults_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/query"
)

// monthly is one event a month, the latest first, as an import of history has them.
func monthly(months int) []event.Event {
	events := make([]event.Event, months)
	for i := range events {
		events[i] = someone("acme", fmt.Sprintf("month-%d-of-%d", i, months))
		events[i].OccurredAt = time.Date(2026, time.Month(10-i), 3, 4, 5, 6, 0, time.UTC)
	}
	return events
}

// A batch has events of 60 months, or of more than ClickHouse takes partitions in
// one insert (100): it is stored as a whole.
func TestBatchWithEventsOfManyMonthsIsStored(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	p := s.NewPublisher()
	for _, months := range []int{60, 101} {
		p.PublishEvents(monthly(months)...)
		w := s.NewWorker("--ingest-batch-wait=2s", fmt.Sprintf("--ingest-batch-messages=%d", months)) // a batch is full
		w.Start()
		s.Stored(s.Confirmed())
		s.Until("all are stored as one batch", func() error {
			return faults.Exactly(w.Metric("loginaudit_ingest_batch_messages_count"), 1)
		})
		if err := faults.Exactly(w.Metric("loginaudit_ingest_insert_errors_total"), 0); err != nil {
			t.Errorf("%d months: inserts that failed: %v", months, err)
		}
		w.Stop()
	}
	s.NewWorker().Start()
	s.Check()
}

// The clock of an auth service is ahead of the stream's or behind it. Up to 10
// minutes ahead is taken, more is parked; behind is never wrong.
func TestClocksThatDifferByTenMinutesLoseNothing(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	w, p := s.NewWorker(), s.NewPublisher()
	w.Start()
	at := func(id string, ahead time.Duration) event.Event {
		e := someone("acme", id)
		e.OccurredAt = time.Now().Add(ahead).UTC().Truncate(time.Microsecond)
		return e
	}
	// It is received after it was made, so that 10 minutes are not exceeded.
	p.PublishEvents(at("ahead", event.MaxAhead), at("behind", -event.MaxAhead), at("now", 0))
	e := at("too-far-ahead", event.MaxAhead+time.Minute)
	body, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	send(t, p, []faults.Invalid{{Subject: e.Subject(), Body: body}})
	s.Check()
	if n := w.Metric(`loginaudit_ingest_parked_total{reason="too_far_ahead"}`); n != 1 {
		t.Errorf("%v messages are parked as too far ahead, want 1", n)
	}
	var user query.User
	if err := s.Get("/api/v1/accounts/acme/users/ann", &user); err != nil || user.LastLogin == nil || user.LastLogin.EventID != "now" {
		t.Errorf("the last log-in is %+v %v, want that of now: what is ahead has not happened yet", user.LastLogin, err)
	}
}

// Events come a day and a year after they happened, in any order, before and after
// a worker was started again. They find their place, and what is latest stays so.
func TestEventsADayAndAYearLateFindTheirPlace(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	w, p := s.NewWorker(), s.NewPublisher()
	w.Start()
	today := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	ago := func(id string, back time.Duration, status event.Status) event.Event {
		e := someone("acme", id)
		e.OccurredAt, e.SessionID, e.Status = today.Add(-back), "session-"+id[:1], status
		return e
	}
	const day = 24 * time.Hour
	p.PublishEvents(ago("1-in", 0, 1), ago("1-out", -time.Hour, 2))
	s.Stored(2)
	p.PublishEvents(ago("2-out", day-time.Hour, 2), ago("3-in", 365*day, 1))
	s.Stored(4)
	w.Kill()
	p.PublishEvents(ago("2-in", day, 1), ago("3-out", 365*day-time.Hour, 2))
	w.Start()
	s.Check()
	var user query.User
	if err := s.Get("/api/v1/accounts/acme/users/ann", &user); err != nil ||
		user.LastLogin == nil || user.LastLogin.EventID != "1-in" || user.LastLogout == nil || user.LastLogout.EventID != "1-out" {
		t.Errorf("the user is %+v %v, want the last log-in 1-in and the last log-out 1-out", user, err)
	}
	var page struct {
		Events []query.Event `json:"events"`
	}
	values := url.Values{"start": {"2025-11-20"}, "end": {"2025-11-20"}}
	if err := s.Get("/api/v1/accounts/acme/events?"+values.Encode(), &page); err != nil || len(page.Events) != 2 {
		t.Errorf("%d events are a year old %v, want 2", len(page.Events), err)
	}
}

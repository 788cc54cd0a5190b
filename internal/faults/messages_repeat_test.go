package faults_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/publish"
)

// message encodes an event.
func message(t *testing.T, e event.Event) publish.Message {
	t.Helper()
	m, err := publish.NewMessage(e)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The same events are in the stream many times: within one batch, in later ones,
// and read again by workers that are killed before they acknowledge. There is one
// of each, the earliest.
func TestEventThatIsRepeatedInABatchAndAcrossRestartsIsOneEvent(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	p := s.NewPublisher()
	repeat := func() {
		for range 60 {
			for _, id := range []string{"a", "b", "c"} {
				if err := p.SendPlain(message(t, someone("acme", id))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	repeat()
	w := s.NewWorker()
	w.Start()
	s.Stored(3)
	for range 2 {
		s.ClickHouse.Freeze() // so that a batch is in hand
		repeat()
		s.Until("the worker has them in hand", func() error { return faults.AtLeast(s.InHand(), 1) })
		w.Kill()
		s.ClickHouse.Thaw()
		w.Start()
	}
	s.Check()
	if err := errors.Join(faults.Exactly(stored(t, s), 3), faults.AtLeast(last(t, s), 540)); err != nil {
		t.Errorf("events, and messages in the stream: %v", err)
	}
}

// Somebody uses ids again for other events, within an account and across accounts,
// and different workers store the versions at the same time. Within an account all
// are kept and marked as a conflict; across accounts ids have nothing to do with
// each other.
func TestIdThatIsUsedAgainForOtherContentKeepsAllVersionsWhoeverStoresThem(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	p := s.NewPublisher()
	workers := []*faults.Worker{s.NewWorker("--ingest-batch-messages=1"), s.NewWorker("--ingest-batch-messages=1")}
	for _, w := range workers {
		w.Start()
		w.Ready()
	}
	s.ClickHouse.Freeze() // until both have something in hand
	const ids, versions = 4, 3
	for v := range versions {
		for i := range ids {
			e := someone("acme", fmt.Sprintf("id-%d", i))
			e.Username = fmt.Sprintf("user-%d", v)
			if err := p.SendPlain(message(t, e)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range ids {
		if err := p.SendPlain(message(t, someone("globex", fmt.Sprintf("id-%d", i)))); err != nil {
			t.Fatal(err)
		}
	}
	s.Until("both have a message in hand", func() error { return faults.AtLeast(s.InHand(), 2) })
	s.ClickHouse.Thaw()
	s.Check()
	for _, w := range workers {
		if err := faults.AtLeast(w.Metric(`loginaudit_ingest_events_total{result="stored"}`), 1); err != nil {
			t.Errorf("events that a worker stored: %v", err)
		}
	}
	for i := range ids {
		for account, want := range map[string]int{"acme": versions, "globex": 1} {
			var details query.EventDetails
			if err := s.Get(fmt.Sprintf("/api/v1/accounts/%s/events/id-%d", account, i), &details); err != nil {
				t.Fatal(err)
			}
			if details.VersionsTotal != want || details.Event.Conflict != (want > 1) {
				t.Errorf("id-%d of %s has %d versions, conflict %t; want %d", i, account, details.VersionsTotal, details.Event.Conflict, want)
			}
		}
	}
}

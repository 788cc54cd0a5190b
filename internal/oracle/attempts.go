package oracle

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// bySession groups a user's events, in order; "" is the unnamed session.
func bySession(events []event.Stored) map[string][]event.Stored {
	sessions := make(map[string][]event.Stored)
	for _, e := range events {
		sessions[e.SessionID] = append(sessions[e.SessionID], e)
	}
	return sessions
}

// state is what a session, given by its events in order, is at asOf.
func (o *Oracle) state(events []event.Stored, asOf time.Time) query.State {
	state := query.StateNone
	var opened time.Time
	for _, e := range events {
		switch {
		case e.Status.Session() == event.SessionOpens:
			state, opened = query.StateOpen, e.OccurredAt
		case e.Status.Session() == event.SessionCloses && state != query.StateNone:
			state = query.StateClosed
		}
	}
	if state == query.StateOpen && asOf.Sub(opened) > o.limit {
		return query.StateExpired
	}
	return state
}

// Attempts lists every attempt that the filter lets through, whatever its
// limit.
func (o *Oracle) Attempts(account string, f query.AttemptFilter) []query.Attempt {
	events := o.pick(account, func(e event.Stored) bool {
		return e.Username == f.Username && !e.OccurredAt.After(f.AsOf)
	})
	type fold struct {
		query.Attempt
		first event.Stored
	}
	var folds []fold
	for id, session := range bySession(events) {
		if id != "" {
			folds = append(folds, fold{o.attempt(session, f.AsOf), session[0]})
			continue
		}
		for _, e := range session {
			alone := o.attempt([]event.Stored{e}, f.AsOf)
			alone.State = query.StateNone
			folds = append(folds, fold{alone, e})
		}
	}
	slices.SortFunc(folds, func(a, b fold) int {
		order := cmp.Or(a.first.OccurredAt.Compare(b.first.OccurredAt), bytes.Compare(a.first.Hash[:], b.first.Hash[:]))
		if f.Order != query.Ascending {
			order = -order
		}
		return order
	})
	attempts := []query.Attempt{}
	for _, fold := range folds {
		if wantedAttempt(fold.Attempt, f) {
			attempts = append(attempts, fold.Attempt)
		}
	}
	return attempts
}

func (o *Oracle) attempt(events []event.Stored, asOf time.Time) query.Attempt {
	a := query.Attempt{
		SessionID: present(events[0].SessionID), Username: events[0].Username,
		StartedAt: query.At(events[0].OccurredAt), State: o.state(events, asOf), Events: len(events),
	}
	final := events[len(events)-1]
	attempted := false
	for _, e := range events { // in order: what comes later replaces
		a.EventIDs = append(a.EventIDs, e.ID)
		at := query.At(e.OccurredAt)
		switch e.Status.Session() {
		case event.SessionOpens:
			a.LoginAt = &at
		case event.SessionCloses:
			a.LogoutAt = &at
		}
		if e.Status.Attempt() != event.AttemptNone {
			attempted, final = true, e
		} else if !attempted {
			final = e
		}
		if e.IP.IsValid() {
			a.IP = address(e.IP)
		}
		if e.UserAgent != "" {
			a.UserAgent = present(e.UserAgent)
		}
	}
	a.Entry, a.EntryName = final.Entry, final.Entry.Name()
	a.Status, a.StatusName, a.Outcome = final.Status, final.Status.Name(), final.Status.Outcome()
	return a
}

func wantedAttempt(a query.Attempt, f query.AttemptFilter) bool {
	if !within(a.StartedAt.Time, f.Range) || !among(f.Statuses, a.Status) || !among(f.Entries, a.Entry) ||
		!among(f.Outcomes, a.Outcome) || !among(f.States, a.State) {
		return false
	}
	if !f.IP.IsValid() {
		return true
	}
	return a.IP != nil && f.IP.Contains(mustAddr(*a.IP))
}

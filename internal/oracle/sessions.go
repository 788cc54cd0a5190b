package oracle

import (
	"slices"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// Sessions lists every session that has opened and that the filter lets
// through, whatever its limit.
func (o *Oracle) Sessions(account string, f query.SessionFilter) []query.Session {
	type fold struct {
		query.Session
		opening event.Stored
	}
	var folds []fold
	for _, events := range o.byUser(account, f) {
		for _, session := range bySession(events) {
			var opening *event.Stored
			for _, e := range session { // in order: what comes later replaces
				if e.Status.Session() == event.SessionOpens {
					opening = &e
				}
			}
			if opening == nil || !within(opening.OccurredAt, f.Range) {
				continue
			}
			if s := o.session(session, f); among(f.States, s.State) {
				folds = append(folds, fold{s, *opening})
			}
		}
	}
	slices.SortFunc(folds, func(a, b fold) int {
		if f.Order == query.Ascending {
			return compare(a.opening, b.opening)
		}
		return compare(b.opening, a.opening)
	})
	sessions := []query.Session{}
	for _, fold := range folds {
		sessions = append(sessions, fold.Session)
	}
	return sessions
}

// byUser groups the events up to the moment of the answer by their users.
func (o *Oracle) byUser(account string, f query.SessionFilter) map[string][]event.Stored {
	users := make(map[string][]event.Stored)
	for _, e := range o.pick(account, func(e event.Stored) bool {
		return !e.OccurredAt.After(f.AsOf) && (f.Username == nil || *f.Username == e.Username)
	}) {
		users[e.Username] = append(users[e.Username], e)
	}
	return users
}

// session tells a session by its events, in order. What closed it is told only
// of one that is closed.
func (o *Oracle) session(events []event.Stored, f query.SessionFilter) query.Session {
	a := o.attempt(events, f.AsOf)
	s := query.Session{
		Username: a.Username, SessionID: a.SessionID, OpenedAt: a.LoginAt, Status: a.Status, StatusName: a.StatusName,
		State: a.State, IP: a.IP, UserAgent: a.UserAgent, Events: a.Events,
	}
	if s.State == query.StateClosed {
		s.ClosedAt = a.LogoutAt
	}
	return s
}

package query

import (
	"net/url"
	"slices"
	"time"
)

// SessionFilter asks for the sessions of an account that have opened: a row is
// the events of one user with one session_id, folded as of a moment.
type SessionFilter struct {
	// AsOf is the moment of the answer: later events do not exist in it, and
	// states are those at it. It is always set.
	AsOf time.Time
	// Username matches exactly; nil asks for every user's sessions.
	Username *string
	Range    TimeRange // of the session's latest opening
	States   []State   // any of; empty: every state that an opened session has

	// Order is that of the latest openings, by the contract's order of events.
	Order Order
	Limit int
	// After is the opening of the last row of the page before; nil asks for the
	// first page.
	After *Position
}

// SessionPage is one page of sessions.
type SessionPage struct {
	Sessions []Session
	// Next is where the next page begins; nil on the last page. A page may have
	// fewer rows than its limit and yet not be the last.
	Next      *Position
	Watermark Watermark
}

// SessionStates lists the states that a session which has opened may have.
func SessionStates() []State { return []State{StateOpen, StateClosed, StateExpired} }

// ParseSessions reads the parameters of GET /sessions. at names the moment of
// the answer as as_of does, and asks for what was open then unless state asks
// for something else, so only one of the two can be given.
func ParseSessions(v url.Values, a Asked) (SessionFilter, Cursors, error) {
	in := open(sessionsRoute, v, a)
	f := SessionFilter{
		Username: in.exact("username"),
		Range:    in.timeRange("start", "end"),
		States:   manyOf(in, "state", SessionStates(), list(SessionStates())),
		Order:    choice(in, "order", orders(), Descending),
		Limit:    in.limit(),
		After:    after(in, decodeEventPosition),
	}
	if !in.has("at") {
		f.AsOf = in.asOf()
	} else {
		if in.has("as_of") {
			in.time("as_of", asMoment) // tells what else is wrong with it
			in.failAllowed("at", "is given together with as_of, and each is the moment of the answer", "at or as_of, not both")
		}
		f.AsOf = in.time("at", asMoment)
		if !in.has("state") {
			f.States = []State{StateOpen}
		}
	}
	return f, in.cursors(), in.err()
}

// Openings is when a session that the filter lets through may have opened last;
// false when it lets none through. limit is the session limit: what opened
// before it is open no more, and what opened within it is not expired.
func (f SessionFilter) Openings(limit time.Duration) (r TimeRange, possible bool) {
	r = f.Range
	if behind := f.AsOf.Add(resolution); r.End.IsZero() || r.End.After(behind) {
		r.End = behind
	}
	if len(f.States) > 0 && !slices.Contains(f.States, StateClosed) {
		oldest := f.AsOf.Add(-limit)
		if !slices.Contains(f.States, StateExpired) && r.Start.Before(oldest) {
			r.Start = oldest
		}
		if !slices.Contains(f.States, StateOpen) && oldest.Before(r.End) {
			r.End = oldest
		}
	}
	return r, r.Start.Before(r.End)
}

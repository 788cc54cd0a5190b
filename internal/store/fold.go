package store

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// An attempt is folded from its events when it is shown: exact at any moment,
// and a page of attempts has few events. The table attempts tells where they
// lie. They are folded here and not by ClickHouse, which takes ten times as long
// to plan such a statement as to read a few rows.

// sessionKey names a session; sessionID is empty for the unnamed one.
type sessionKey struct{ username, sessionID string }

// attemptRow is an attempt: a session folded, or an event without session_id
// alone.
type attemptRow struct {
	key            sessionKey
	first          query.Position
	entry          event.Entry
	status         event.Status
	ip             netip.Addr
	userAgent      string
	opened, closed time.Time // 1970 for never
	lastSeen       time.Time
	state          query.State
	ids            []string // oldest first
}

func (r attemptRow) attempt() query.Attempt {
	a := query.Attempt{
		SessionID:  optional(r.key.sessionID),
		Username:   r.key.username,
		StartedAt:  query.At(r.first.At),
		LoginAt:    moment(r.opened),
		LogoutAt:   moment(r.closed),
		Entry:      r.entry,
		EntryName:  r.entry.Name(),
		Status:     r.status,
		StatusName: r.status.Name(),
		Outcome:    r.status.Outcome(),
		State:      r.state,
		UserAgent:  optional(r.userAgent),
		Events:     len(r.ids),
		EventIDs:   r.ids,
	}
	if r.ip.IsValid() {
		a.IP = optional(r.ip.String())
	}
	return a
}

// session tells the same row as a session. When one was closed is told only of
// one that is: the latest closing of a session that opened again lies before its
// opening.
func (r attemptRow) session() query.Session {
	a := r.attempt()
	s := query.Session{
		Username: r.key.username, SessionID: a.SessionID, OpenedAt: a.LoginAt,
		Status: a.Status, StatusName: a.StatusName, State: a.State,
		IP: a.IP, UserAgent: a.UserAgent, Events: a.Events,
	}
	if s.State == query.StateClosed {
		s.ClosedAt = a.LogoutAt
	}
	return s
}

// moment is nil for the time that means never.
func moment(t time.Time) *query.Timestamp {
	if t.UnixMicro() == 0 {
		return nil
	}
	at := query.At(t)
	return &at
}

// attemptEvent is what attempts are folded from.
type attemptEvent struct {
	key       sessionKey
	place     query.Position
	entry     event.Entry
	status    event.Status
	ip        netip.Addr
	userAgent string
	id        string
}

// attemptColumns are an attemptEvent, in the order of scanAttemptEvent.
const attemptColumns = `username, session_id, occurred_at, content_hash, entry, status, ip, user_agent, id_text, id_high, id_low`

func scanAttemptEvent(rows driver.Rows) (e attemptEvent, err error) {
	var at time.Time
	var hash []byte
	var entry, status uint8
	var ip *netip.Addr
	var idText string
	var idHigh, idLow uint64
	err = rows.Scan(&e.key.username, &e.key.sessionID, &at, &hash, &entry, &status, &ip, &e.userAgent, &idText, &idHigh, &idLow)
	e.entry, e.status = event.Entry(entry), event.Status(status)
	e.place = query.Position{At: at, Rank: e.status.Rank()}
	copy(e.place.Hash[:], hash)
	if ip != nil {
		e.ip = ip.Unmap()
	}
	e.id = joinID(idText, idHigh, idLow, at)
	return e, err
}

// attemptEventOf is the same of an event that was read whole.
func attemptEventOf(e query.Event) (attemptEvent, error) {
	a := attemptEvent{key: keyOf(e), place: e.Position(), entry: e.Entry, status: e.Status, id: e.ID}
	if e.UserAgent != nil {
		a.userAgent = *e.UserAgent
	}
	if e.IP != nil {
		var err error
		if a.ip, err = netip.ParseAddr(*e.IP); err != nil {
			return a, fmt.Errorf("parse address: %w", err)
		}
	}
	return a, nil
}

func keyOf(e query.Event) sessionKey {
	key := sessionKey{username: e.Username}
	if e.SessionID != nil {
		key.sessionID = *e.SessionID
	}
	return key
}

// foldAttempt folds the events of one attempt, in any order, with any repeats.
// What opened before openedFrom and did not close has expired.
func foldAttempt(events []attemptEvent, openedFrom time.Time) attemptRow {
	events = slices.SortedFunc(slices.Values(events), func(a, b attemptEvent) int { return comparePositions(a.place, b.place) })
	events = slices.CompactFunc(events, func(a, b attemptEvent) bool { return a.place == b.place })
	epoch := time.UnixMicro(0).UTC()
	last := events[len(events)-1]
	r := attemptRow{
		key: last.key, first: events[0].place, opened: epoch, closed: epoch, lastSeen: last.place.At,
		entry: last.entry, status: last.status, ids: make([]string, len(events)),
	}
	for i, e := range events { // the latest of each kind stays
		r.ids[i] = e.id
		if !noAttempt(e.status) {
			r.entry, r.status = e.entry, e.status
		}
		if e.ip.IsValid() {
			r.ip = e.ip
		}
		r.userAgent = cmp.Or(e.userAgent, r.userAgent)
		if opens(e.status) {
			r.opened = e.place.At
		}
		if closes(e.status) {
			r.closed = e.place.At
		}
	}
	// Of an opening and a closing at the same instant the closing is later by rank.
	r.state = sessionEnds{r.opened, r.closed}.stateSince(openedFrom)
	return r
}

// lone is the attempt that an event without session_id is.
func (e attemptEvent) lone() attemptRow {
	r := foldAttempt([]attemptEvent{e}, time.Time{})
	r.state = query.StateNone
	return r
}

// foldSessions folds sessions as they were at asOf. What had no event then is not
// in the answer.
func (db *DB) foldSessions(ctx context.Context, account string, asOf time.Time, keys []sessionKey) (map[sessionKey]attemptRow, error) {
	spans, err := db.readSpans(ctx, account, keys)
	if err != nil {
		return nil, err
	}
	return db.foldSpans(ctx, account, asOf, spans)
}

// foldSpans is foldSessions for sessions of which it is known where they lie.
func (db *DB) foldSpans(ctx context.Context, account string, asOf time.Time, spans map[sessionKey]query.TimeRange) (map[sessionKey]attemptRow, error) {
	if len(spans) == 0 {
		return map[sessionKey]attemptRow{}, nil
	}
	c := where(account)
	c.within(spans, asOf)
	s := statement{name: "sessions", sql: `SELECT ` + attemptColumns + ` FROM events_by_user WHERE ` + c.String(), params: c.params}
	events, err := db.selectAttemptEvents(ctx, account, s)
	if err != nil {
		return nil, err
	}
	return db.foldAll(events, asOf, func(key sessionKey) bool {
		_, ok := spans[key] // a session of the same name may be another user's
		return ok
	}), nil
}

// foldAll folds those sessions of the events that keep accepts.
func (db *DB) foldAll(events []attemptEvent, asOf time.Time, keep func(sessionKey) bool) map[sessionKey]attemptRow {
	of := make(map[sessionKey][]attemptEvent)
	for _, e := range events {
		if keep(e.key) {
			of[e.key] = append(of[e.key], e)
		}
	}
	folded := make(map[sessionKey]attemptRow, len(of))
	for key, own := range of {
		folded[key] = foldAttempt(own, asOf.Add(-db.sessionLimit))
	}
	return folded
}

func (db *DB) selectAttemptEvents(ctx context.Context, account string, s statement) (events []attemptEvent, err error) {
	err = db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		e, err := scanAttemptEvent(rows)
		events = append(events, e)
		return err
	})
	return events, err
}

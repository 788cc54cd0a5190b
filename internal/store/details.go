package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// The bounds of a details answer.
const (
	maxVersions      = 100
	maxAttemptEvents = 1000
)

// Event answers everything about the events of one id; query.ErrNotFound when
// there is none. now is the moment at which the state of the attempt is told.
func (db *DB) Event(ctx context.Context, account, id string, now time.Time) (query.EventDetails, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.EventDetails{}, err
	}
	versions, err := db.versions(ctx, account, id)
	if err != nil {
		return query.EventDetails{}, err
	}
	d := query.EventDetails{Event: versions[0], Versions: versions, Watermark: mark}
	asOf := now
	if d.Event.OccurredAt.After(asOf) {
		asOf = d.Event.OccurredAt.Time
	}
	if err := db.describeAttempt(ctx, account, &d, asOf); err != nil {
		return query.EventDetails{}, err
	}
	if d.Neighbours, err = db.neighbours(ctx, account, d.Event.Event, d.AttemptEvents); err != nil {
		return query.EventDetails{}, err
	}
	return d, errorsOf(db.markConflicts(ctx, account, d.AttemptEvents), db.markConflicts(ctx, account, d.Neighbours))
}

// errorsOf is the first of two errors.
func errorsOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// versions reads all events of an id with their messages, newest first.
func (db *DB) versions(ctx context.Context, account, id string) ([]query.RawEvent, error) {
	c := where(account)
	c.bind("id = {id:String}", "id", id)
	c.add(`occurred_at IN (SELECT occurred_at FROM event_ids WHERE ` + c.String() + `)`)
	c.params["limit"] = uint64(maxVersions)
	s := statement{
		name: "versions",
		sql: `SELECT ` + eventColumns + `, raw FROM events WHERE ` + c.String() + `
			ORDER BY occurred_at DESC, rank DESC, content_hash DESC, stream_seq
			LIMIT 1 BY content_hash LIMIT {limit:UInt64}`,
		params: c.params,
	}
	var versions []query.RawEvent
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var raw string
		e, err := scanEvent(rows, account, &raw)
		versions = append(versions, query.RawEvent{Event: e, Raw: raw})
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, fmt.Errorf("event: %w", query.ErrNotFound)
	}
	for i := range versions {
		versions[i].Conflict = len(versions) > 1
	}
	return versions, nil
}

// describeAttempt fills in the attempt of the event and its events.
func (db *DB) describeAttempt(ctx context.Context, account string, d *query.EventDetails, asOf time.Time) error {
	e := d.Event.Event
	if e.SessionID == nil {
		d.Attempt = loneAttempt(e)
		d.AttemptEvents = []query.Event{e}
		return nil
	}
	scope := &sessionScope{sessions: []string{*e.SessionID}}
	f := query.AttemptFilter{AsOf: asOf, Username: e.Username}
	rows, err := db.scanAttempts(ctx, account, db.attemptsStatement(account, f, scope))
	if err != nil {
		return err
	}
	if err := db.listAttemptEvents(ctx, account, e.Username, asOf, rows); err != nil {
		return err
	}
	if len(rows) != 1 {
		return fmt.Errorf("fold attempt: %d rows, want 1", len(rows))
	}
	d.Attempt = rows[0].attempt(e.Username)
	d.AttemptEvents, _, err = db.readEvents(ctx, account, query.EventFilter{
		Username: &e.Username, SessionID: e.SessionID, Order: query.Ascending, Limit: maxAttemptEvents,
		Range: query.TimeRange{Start: rows[0].first.At, End: asOf.Add(time.Microsecond)},
	})
	return err
}

// loneAttempt is the attempt that an event without session_id is.
func loneAttempt(e query.Event) query.Attempt {
	a := query.Attempt{
		Username: e.Username, StartedAt: e.OccurredAt,
		Entry: e.Entry, EntryName: e.EntryName, Status: e.Status, StatusName: e.StatusName,
		Outcome: e.Outcome, State: query.StateNone, IP: e.IP, UserAgent: e.UserAgent,
		Events: 1, EventIDs: []string{e.ID},
	}
	if opens(e.Status) {
		a.LoginAt = &e.OccurredAt
	}
	if closes(e.Status) {
		a.LogoutAt = &e.OccurredAt
	}
	return a
}

// neighbours reads the events around e of the same user or the same address,
// without those of its attempt, newest first.
func (db *DB) neighbours(ctx context.Context, account string, e query.Event, attempt []query.Event) ([]query.Event, error) {
	span := query.TimeRange{
		Start: e.OccurredAt.Add(-query.NeighbourSpan),
		End:   e.OccurredAt.Add(query.NeighbourSpan + time.Microsecond),
	}
	limit := query.MaxNeighbours + len(attempt)
	found, _, err := db.readEvents(ctx, account, query.EventFilter{Username: &e.Username, Range: span, Limit: limit})
	if err != nil {
		return nil, err
	}
	if e.IP != nil {
		ip, err := netip.ParseAddr(*e.IP)
		if err != nil {
			return nil, fmt.Errorf("parse address: %w", err)
		}
		same, _, err := db.readEvents(ctx, account, query.EventFilter{
			IP: netip.PrefixFrom(ip, ip.BitLen()), Range: span, Limit: limit,
		})
		if err != nil {
			return nil, err
		}
		found = append(found, same...)
	}
	slices.SortFunc(found, func(a, b query.Event) int { return comparePositions(b.Position(), a.Position()) })
	found = collapse(found)
	found = slices.DeleteFunc(found, func(n query.Event) bool {
		return slices.ContainsFunc(attempt, func(own query.Event) bool { return own.Hash == n.Hash })
	})
	return found[:min(len(found), query.MaxNeighbours)], nil
}

// comparePositions is the contract's order of events.
func comparePositions(a, b query.Position) int {
	if byTime := a.At.Compare(b.At); byTime != 0 {
		return byTime
	}
	if a.Rank != b.Rank {
		return int(a.Rank) - int(b.Rank)
	}
	return slices.Compare(a.Hash[:], b.Hash[:])
}

// openSessions answers the sessions of a user that are open at asOf, newest
// first.
func (db *DB) openSessions(ctx context.Context, account, username string, asOf time.Time) ([]query.Session, error) {
	open, err := db.openSessionIDs(ctx, account, username, asOf)
	if err != nil || len(open) == 0 {
		return []query.Session{}, err
	}
	f := query.AttemptFilter{AsOf: asOf, Username: username}
	rows, err := db.scanAttempts(ctx, account, db.attemptsStatement(account, f, &sessionScope{sessions: open}))
	if err != nil {
		return nil, err
	}
	if err := db.listAttemptEvents(ctx, account, username, asOf, rows); err != nil {
		return nil, err
	}
	sessions := make([]query.Session, len(rows))
	for i, row := range rows {
		sessions[i] = row.session(username)
	}
	return sessions, nil
}

func (db *DB) openSessionIDs(ctx context.Context, account, username string, asOf time.Time) ([]string, error) {
	c := where(account)
	c.bind("username = {username:String}", "username", username)
	c.params["as_of"] = micros(asOf)
	c.params["opened_from"] = micros(asOf.Add(-db.sessionLimit))
	s := statement{name: "open sessions", sql: openSessionsSQL("events_by_user", c), params: c.params}
	var open []string
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var name, session string
		if err := rows.Scan(&name, &session); err != nil {
			return err
		}
		open = append(open, session)
		return nil
	})
	return open, err
}

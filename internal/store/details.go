package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Event answers everything about the events of one id; query.ErrNotFound when
// there is none, or none with q.StreamSeq.
func (db *DB) Event(ctx context.Context, account string, q query.EventQuestion) (query.EventDetails, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.EventDetails{}, err
	}
	d := query.EventDetails{Watermark: mark}
	if err := db.readVersions(ctx, account, q, &d); err != nil {
		return query.EventDetails{}, err
	}
	asOf := q.Now
	if d.Event.OccurredAt.After(asOf) {
		asOf = d.Event.OccurredAt.Time
	}
	if err := db.describeAttempt(ctx, account, &d, asOf); err != nil {
		return query.EventDetails{}, err
	}
	if d.Neighbours, err = db.neighbours(ctx, account, d.Event.Event); err != nil {
		return query.EventDetails{}, err
	}
	return d, cmp.Or(db.markConflicts(ctx, account, d.AttemptEvents), db.markConflicts(ctx, account, d.Neighbours))
}

// readVersions fills in the event and the versions of its id.
func (db *DB) readVersions(ctx context.Context, account string, q query.EventQuestion, d *query.EventDetails) (err error) {
	if d.Versions, err = db.versions(ctx, account, q, versionsOfID); err != nil {
		return err
	}
	if len(d.Versions) == 0 {
		return fmt.Errorf("event: %w", query.ErrNotFound)
	}
	d.Event, d.VersionsTotal = d.Versions[0], len(d.Versions)
	if d.VersionsTotal == query.MaxVersions {
		if d.VersionsTotal, err = db.countVersions(ctx, account, q.ID); err != nil {
			return err
		}
	}
	if q.StreamSeq != 0 {
		chosen, err := db.versions(ctx, account, q, versionOfSeq)
		if err != nil {
			return err
		}
		// A repeat that is not merged yet must not answer for its original.
		if len(chosen) == 0 || chosen[0].StreamSeq != q.StreamSeq {
			return fmt.Errorf("event: %w", query.ErrNotFound)
		}
		d.Event = chosen[0]
		if !slices.ContainsFunc(d.Versions, func(v query.RawEvent) bool { return v.Hash == d.Event.Hash }) {
			d.Versions = append(d.Versions, d.Event) // older than those that are listed
		}
	}
	d.Event.Conflict = d.VersionsTotal > 1
	for i := range d.Versions {
		d.Versions[i].Conflict = d.Event.Conflict
	}
	return nil
}

// countVersions counts the events that have an id.
func (db *DB) countVersions(ctx context.Context, account, id string) (total int, err error) {
	c := where(account)
	c.bind("id_hash = "+idHashSQL("{id:String}"), "id", id)
	s := statement{
		name:   "versions",
		sql:    `SELECT uniqExact(occurred_in, content) FROM event_ids WHERE ` + c.String(),
		params: c.params,
	}
	err = db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var n uint64
		err := rows.Scan(&n)
		total = int(n)
		return err
	})
	return total, err
}

// Where versions of an id lie in events: all of them in the seconds that
// event_ids tells, the one of a sequence by it.
var (
	versionsOfID = `toDateTime(occurred_at, 'UTC') IN (
				SELECT occurred_in FROM event_ids WHERE account = {account:String} AND id_hash = ` + idHashSQL("{id:String}") + `)`
	versionOfSeq = `(occurred_at, content_hash) IN (
				SELECT occurred_at, content_hash FROM events WHERE account = {account:String} AND version = bitNot({seq:UInt64}) AND id = {id:String})`
)

// versions reads events of an id with their messages, newest first, up to
// query.MaxVersions.
func (db *DB) versions(ctx context.Context, account string, q query.EventQuestion, which string) ([]query.RawEvent, error) {
	c := where(account)
	c.bind("id = {id:String}", "id", q.ID)
	c.add(which)
	c.params["seq"] = q.StreamSeq
	c.params["limit"] = uint64(query.MaxVersions)
	s := statement{
		name: "versions",
		sql: `SELECT ` + eventColumns + `, raw FROM events WHERE ` + c.String() + `
			ORDER BY occurred_at DESC, rank DESC, content_hash DESC, version DESC
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
	return versions, err
}

// describeAttempt fills in the attempt of the event and its events.
func (db *DB) describeAttempt(ctx context.Context, account string, d *query.EventDetails, asOf time.Time) error {
	e := d.Event.Event
	if e.SessionID == nil {
		d.Attempt = loneAttempt(e)
		d.AttemptEvents = []query.Event{e}
		return nil
	}
	key := sessionKey{e.Username, *e.SessionID}
	folded, err := db.foldSessions(ctx, account, asOf, []sessionKey{key})
	if err != nil {
		return err
	}
	row, ok := folded[key]
	if !ok { // an insert that has not reached events_by_user yet: the event is all that is known
		d.Attempt = loneAttempt(e)
		d.Attempt.SessionID = e.SessionID
		d.AttemptEvents = []query.Event{e}
		return nil
	}
	d.Attempt = row.attempt()
	d.AttemptEvents, err = db.attemptEvents(ctx, account, e, query.TimeRange{
		Start: row.first.At, End: row.lastSeen.Add(time.Microsecond),
	})
	return err
}

// attemptEvents reads the events of e's session, oldest first; where there are
// more than query.MaxAttemptEvents those around e.
func (db *DB) attemptEvents(ctx context.Context, account string, e query.Event, span query.TimeRange) ([]query.Event, error) {
	f := query.EventFilter{
		Username: &e.Username, SessionID: e.SessionID, Range: span,
		Order: query.Ascending, Limit: query.MaxAttemptEvents,
	}
	all, more, err := db.readEvents(ctx, account, f)
	if err != nil || !more {
		return all, err
	}
	at := e.Position()
	f.After, f.Limit = &at, query.MaxAttemptEvents/2
	behind, _, err := db.readEvents(ctx, account, f)
	if err != nil {
		return nil, err
	}
	f.Order, f.Limit = query.Descending, query.MaxAttemptEvents-1-len(behind)
	before, _, err := db.readEvents(ctx, account, f)
	if err != nil {
		return nil, err
	}
	slices.Reverse(before)
	return slices.Concat(before, []query.Event{e}, behind), nil
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
func (db *DB) neighbours(ctx context.Context, account string, e query.Event) ([]query.Event, error) {
	f := query.EventFilter{Limit: query.MaxNeighbours, Range: query.TimeRange{
		Start: e.OccurredAt.Add(-query.NeighbourSpan),
		End:   e.OccurredAt.Add(query.NeighbourSpan + time.Microsecond),
	}}
	ofUser := f
	ofUser.Username = &e.Username
	found, _, err := db.readEventsBut(ctx, account, ofUser, &e)
	if err != nil {
		return nil, err
	}
	if e.IP != nil {
		ip, err := netip.ParseAddr(*e.IP)
		if err != nil {
			return nil, fmt.Errorf("parse address: %w", err)
		}
		ofAddress := f
		ofAddress.IP = netip.PrefixFrom(ip, ip.BitLen())
		same, _, err := db.readEventsBut(ctx, account, ofAddress, &e)
		if err != nil {
			return nil, err
		}
		found = append(found, same...)
	}
	slices.SortFunc(found, func(a, b query.Event) int { return comparePositions(b.Position(), a.Position()) })
	found = collapse(found)
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
	folded, err := db.foldSessions(ctx, account, asOf, open)
	if err != nil {
		return nil, err
	}
	rows := slices.SortedFunc(maps.Values(folded), func(a, b attemptRow) int {
		return cmp.Or(b.first.At.Compare(a.first.At), slices.Compare(b.first.Hash[:], a.first.Hash[:]))
	})
	sessions := make([]query.Session, len(rows))
	for i, row := range rows {
		sessions[i] = row.session()
	}
	return sessions, nil
}

func (db *DB) openSessionIDs(ctx context.Context, account, username string, asOf time.Time) ([]sessionKey, error) {
	c := where(account)
	c.bind("username = {username:String}", "username", username)
	c.params["as_of"] = micros(asOf)
	c.params["opened_from"] = micros(asOf.Add(-db.sessionLimit))
	s := statement{name: "open sessions", sql: openSessionsSQL("events_by_user", c), params: c.params}
	var open []sessionKey
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var key sessionKey
		err := rows.Scan(&key.username, &key.sessionID)
		open = append(open, key)
		return err
	})
	return open, err
}

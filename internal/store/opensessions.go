package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// fewEvents is up to how many events of a user within the session limit are read
// to find the sessions that are open. Where there are more ClickHouse finds them.
const fewEvents = 500

// openSessions answers the sessions of a user that are open at asOf, newest
// first.
func (db *DB) openSessions(ctx context.Context, account, username string, asOf time.Time) ([]query.Session, error) {
	recent, whole, err := db.recentEvents(ctx, account, username, asOf)
	if err != nil {
		return nil, err
	}
	var open []sessionKey
	if whole {
		for key, row := range db.foldAll(recent, asOf, anySession) {
			if row.state == query.StateOpen {
				open = append(open, key)
			}
		}
	} else if open, err = db.openSessionIDs(ctx, account, username, asOf); err != nil {
		return nil, err
	}
	folded, err := db.foldRecent(ctx, account, asOf, open, recent)
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

func anySession(sessionKey) bool { return true }

// recentEvents reads the events of a user within the session limit before asOf;
// whole is false where there are too many.
func (db *DB) recentEvents(ctx context.Context, account, username string, asOf time.Time) (events []attemptEvent, whole bool, err error) {
	c := where(account)
	c.bind("username = {username:String}", "username", username)
	c.timeRange(query.TimeRange{Start: asOf.Add(-db.sessionLimit), End: asOf.Add(time.Microsecond)})
	c.params["limit"] = uint64(fewEvents)
	s := statement{
		name:   "recent events of a user",
		sql:    `SELECT ` + attemptColumns + ` FROM events_by_user WHERE ` + c.String() + ` LIMIT {limit:UInt64}`,
		params: c.params,
	}
	events, err = db.selectAttemptEvents(ctx, account, s)
	if len(events) == fewEvents {
		return nil, false, err
	}
	return events, true, err
}

// foldRecent folds sessions of a user at asOf. Those that have begun within the
// session limit lie in recent, if that is not empty, as a whole.
func (db *DB) foldRecent(ctx context.Context, account string, asOf time.Time, keys []sessionKey, recent []attemptEvent) (map[sessionKey]attemptRow, error) {
	spans, err := db.readSpans(ctx, account, keys)
	if err != nil {
		return nil, err
	}
	begun := make(map[sessionKey]bool)
	for key, span := range spans {
		if len(recent) > 0 && !span.Start.Before(asOf.Add(-db.sessionLimit)) {
			begun[key] = true
			delete(spans, key)
		}
	}
	folded, err := db.foldSpans(ctx, account, asOf, spans)
	if err == nil {
		maps.Copy(folded, db.foldAll(recent, asOf, func(key sessionKey) bool { return begun[key] }))
	}
	return folded, err
}

// openSessionIDs is openSessions without a word on the sessions.
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

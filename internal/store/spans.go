package store

import (
	"context"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// sessionHash is what the table attempts tells a session by
// (schema/clickhouse/00005_attempts.sql). Where two of a user share one, the
// span is that of both, which is too wide and no more.
func sessionHash(sessionID string) uint64 { return sipHash(sessionID) >> 24 }

// readSpans reads in which range of time the events of sessions lie, in whole
// seconds. Of a session without events there is none.
func (db *DB) readSpans(ctx context.Context, account string, keys []sessionKey) (map[sessionKey]query.TimeRange, error) {
	spans := make(map[sessionKey]query.TimeRange, len(keys))
	if len(keys) == 0 {
		return spans, nil
	}
	type hashed struct {
		username string
		session  uint64
	}
	wanted := make(map[hashed][]sessionKey, len(keys))
	hashes := make([]uint64, len(keys))
	for i, key := range keys {
		hashes[i] = sessionHash(key.sessionID)
		h := hashed{key.username, hashes[i]}
		wanted[h] = append(wanted[h], key)
	}
	c := where(account)
	c.users(keys)
	c.bind("session_hash IN {hashes:Array(UInt64)}", "hashes", hashes)
	s := statement{name: "spans of sessions", sql: `SELECT username, session_hash, first_in, last_in FROM attempts WHERE ` + c.String(), params: c.params}
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var h hashed
		var first, last time.Time
		if err := rows.Scan(&h.username, &h.session, &first, &last); err != nil {
			return err
		}
		for _, key := range wanted[h] { // rows of a session that are not merged yet tell a part each
			span := query.TimeRange{Start: first, End: last.Add(time.Second)}
			if known, ok := spans[key]; ok {
				span = union(known, span)
			}
			spans[key] = span
		}
		return nil
	})
	return spans, err
}

// users adds the condition that a row is of one of the users who have the
// sessions.
func (c *conditions) users(keys []sessionKey) {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = key.username
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 1 {
		c.bind("username = {username:String}", "username", names[0])
	} else {
		c.bind("username IN {usernames:Array(String)}", "usernames", names)
	}
}

// within adds the conditions that hold for the rows of events_by_user that belong
// to the sessions and are not later than asOf. They hold for those of a session
// of the same name of another of the users, too.
func (c *conditions) within(spans map[sessionKey]query.TimeRange, asOf time.Time) {
	keys := make([]sessionKey, 0, len(spans))
	ids := make([]string, 0, len(spans))
	var all query.TimeRange
	for key, span := range spans {
		if len(keys) == 0 {
			all = span
		}
		all = union(all, span)
		keys, ids = append(keys, key), append(ids, key.sessionID)
	}
	c.users(keys)
	slices.Sort(ids)
	c.bind("session_id IN {sessions:Array(String)}", "sessions", slices.Compact(ids))
	if until := asOf.Add(time.Microsecond); until.Before(all.End) {
		all.End = until
	}
	c.timeRange(all)
}

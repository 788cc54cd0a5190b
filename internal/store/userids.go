package store

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"
)

// completeUsers adds to the users of a page what is read for them alone: the
// open sessions and the ids of their events.
func (db *DB) completeUsers(ctx context.Context, account string, asOf time.Time, rows []userRow) error {
	if len(rows) == 0 {
		return nil
	}
	names := make([]string, len(rows))
	byName := make(map[string]*userRow, len(rows))
	for i := range rows {
		names[i], byName[rows[i].username] = rows[i].username, &rows[i]
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return db.knownIDs(gctx, account, names, byName) })
	g.Go(func() error { return db.countOpen(gctx, account, asOf, names, byName) })
	if err := g.Wait(); err != nil {
		return err
	}
	return db.findIDs(ctx, account, rows)
}

// knownIDs fills in the ids that the projection tells.
func (db *DB) knownIDs(ctx context.Context, account string, names []string, byName map[string]*userRow) error {
	c := where(account)
	c.bind("username IN {names:Array(String)}", "names", names)
	s := statement{
		name:   "ids of users",
		sql:    `SELECT username, login_success_id, login_failure_id, login_pending_id, logout_id FROM user_latest WHERE ` + c.String(),
		params: c.params,
	}
	return db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var name string
		var ids [4]string
		if err := rows.Scan(&name, &ids[0], &ids[1], &ids[2], &ids[3]); err != nil {
			return err
		}
		r := byName[name]
		for i, s := range []*slot{&r.success, &r.failure, &r.pending, &r.logout} {
			if s.latest != nil && s.id == "" { // one of the rows that are not merged yet tells it
				s.id = s.unpackID(ids[i])
			}
		}
		return nil
	})
}

// countOpen fills in how many sessions are open.
func (db *DB) countOpen(ctx context.Context, account string, asOf time.Time, names []string, byName map[string]*userRow) error {
	scope := db.usersScope(account, asOf)
	scope.bind("username IN {names:Array(String)}", "names", names)
	s := statement{
		name:   "open sessions of users",
		sql:    `SELECT username, count() FROM (` + openSessionsSQL("events", scope) + `) GROUP BY username`,
		params: scope.params,
	}
	return db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var name string
		var open uint64
		err := rows.Scan(&name, &open)
		byName[name].sessions = max(byName[name].sessions, open)
		return err
	})
}

// findIDs reads the ids that the projection could not tell from the events: of
// who is asked for as of the past, or has a newer event since the list was read.
func (db *DB) findIDs(ctx context.Context, account string, rows []userRow) error {
	type place struct {
		username string
		at       int64
		rank     uint8
		hash     uint64
	}
	var names []string
	var times []int64
	missing := make(map[place]*slot)
	for i := range rows {
		for _, s := range rows[i].slots() {
			if s.id == "" {
				names, times = append(names, rows[i].username), append(times, micros(s.at))
				missing[place{rows[i].username, micros(s.at), s.rank, s.hash}] = s
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	c := where(account)
	c.bind("username IN {names:Array(String)}", "names", names)
	c.bind("occurred_at IN (SELECT fromUnixTimestamp64Micro(arrayJoin({times:Array(Int64)}), 'UTC'))", "times", times)
	s := statement{
		name:   "ids of users' events",
		sql:    `SELECT username, toUnixTimestamp64Micro(occurred_at), rank, content_hash, id FROM events_by_user WHERE ` + c.String(),
		params: c.params,
	}
	return db.selectRows(ctx, account, s, func(scanned driver.Rows) error {
		var p place
		var hash []byte
		var id string
		if err := scanned.Scan(&p.username, &p.at, &p.rank, &hash, &id); err != nil {
			return err
		}
		p.hash = binary.BigEndian.Uint64(hash) >> 1
		if s := missing[p]; s != nil {
			s.id = id
		}
		return nil
	})
}

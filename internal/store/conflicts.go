package store

import (
	"context"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// idHash is what event_ids tells an id by (schema/clickhouse/00005_event_ids_view.sql).
// Of a hundred million ids some two dozen pairs share their 48 bits: what goes by
// the hash is looked at again.
func idHash(id string) uint64 { return sipHash(id) >> 16 }

// markConflicts marks the events whose id another event has too. They may be in
// several lists.
func (db *DB) markConflicts(ctx context.Context, account string, lists ...[]query.Event) error {
	var ids []string
	for _, events := range lists {
		for i := range events {
			ids = append(ids, events[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	conflicts, err := db.inConflict(ctx, account, slices.Compact(ids))
	if err != nil {
		return err
	}
	for _, events := range lists {
		for i := range events {
			events[i].Conflict = conflicts[events[i].ID]
		}
	}
	return nil
}

// inConflict gives those of the ids that several events have.
func (db *DB) inConflict(ctx context.Context, account string, ids []string) (map[string]bool, error) {
	hashes := make([]uint64, len(ids))
	for i, id := range ids {
		hashes[i] = idHash(id)
	}
	c := where(account)
	c.bind("id_hash IN {hashes:Array(UInt64)}", "hashes", hashes)
	suspect := make(map[uint64]bool)
	err := db.selectRows(ctx, account, statement{
		name:   "ids in conflict",
		sql:    `SELECT id_hash FROM event_ids WHERE ` + c.String() + ` GROUP BY id_hash HAVING uniqExact(occurred_in, content) > 1`,
		params: c.params,
	}, func(rows driver.Rows) error {
		var hash uint64
		err := rows.Scan(&hash)
		suspect[hash] = true
		return err
	})
	if err != nil || len(suspect) == 0 {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !suspect[idHash(id)] })
	return db.haveVersions(ctx, account, ids)
}

// haveVersions gives those of the ids, whose hashes stand for several events, that
// several events have. A few of the events of a hash suffice.
func (db *DB) haveVersions(ctx context.Context, account string, ids []string) (map[string]bool, error) {
	hashes := make([]uint64, len(ids))
	for i, id := range ids {
		hashes[i] = idHash(id)
	}
	c := where(account)
	c.bind("id IN {ids:Array(String)}", "ids", ids)
	c.bind(`toDateTime(occurred_at, 'UTC') IN (
			SELECT occurred_in FROM event_ids
			WHERE account = {account:String} AND id_hash IN {hashes:Array(UInt64)}
			LIMIT 16 BY id_hash)`, "hashes", hashes)
	s := statement{
		name:   "conflicts",
		sql:    `SELECT id FROM events WHERE ` + c.String() + ` GROUP BY id HAVING uniqExact(content_hash) > 1`,
		params: c.params,
	}
	found := make(map[string]bool)
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var id string
		err := rows.Scan(&id)
		found[id] = true
		return err
	})
	return found, err
}

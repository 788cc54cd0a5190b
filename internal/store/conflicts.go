package store

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// idKey is what event_ids tells an id by. Two ids may share it: what goes by the key
// is looked at again.
type idKey struct {
	head uint64 // the first 48 bits of a UUID, of another id of its hash
	hash uint32
}

// idKeyOf computes the key of an id as schema/clickhouse/00005_event_ids_view.sql does.
func idKeyOf(id string) idKey {
	hash := sipHash(id)
	head := hash
	var b [16]byte
	if parseUUID(&b, id) {
		head = binary.BigEndian.Uint64(b[:8])
	}
	return idKey{head >> 16, uint32(hash)}
}

// ofIDs adds the condition that a row of event_ids has the key of one of the ids.
// It may have the head of one and the hash of another.
func (c *conditions) ofIDs(ids ...string) {
	heads, hashes := make([]uint64, len(ids)), make([]uint32, len(ids))
	for i, id := range ids {
		key := idKeyOf(id)
		heads[i], hashes[i] = key.head, key.hash
	}
	c.bind("id_head IN {heads:Array(UInt64)}", "heads", heads)
	c.bind("id_hash IN {hashes:Array(UInt32)}", "hashes", hashes)
}

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
	c := where(account)
	c.ofIDs(ids...)
	suspect := make(map[idKey]bool)
	err := db.selectRows(ctx, account, statement{
		name:   "ids in conflict",
		sql:    `SELECT id_head, id_hash FROM event_ids WHERE ` + c.String() + ` GROUP BY id_head, id_hash HAVING uniqExact(occurred_in, content) > 1`,
		params: c.params,
	}, func(rows driver.Rows) error {
		var key idKey
		err := rows.Scan(&key.head, &key.hash)
		suspect[key] = true
		return err
	})
	if err != nil || len(suspect) == 0 {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !suspect[idKeyOf(id)] })
	return db.haveVersions(ctx, account, ids)
}

// haveVersions gives those of the ids, whose keys stand for several events, that
// several events have. A few of the events of a key suffice.
func (db *DB) haveVersions(ctx context.Context, account string, ids []string) (map[string]bool, error) {
	places := where(account)
	places.ofIDs(ids...)
	c := where(account)
	c.bind("id IN {ids:Array(String)}", "ids", ids)
	c.add(`toDateTime(occurred_at, 'UTC') IN (
			SELECT occurred_in FROM event_ids WHERE ` + places.String() + ` LIMIT 16 BY id_head, id_hash)`)
	maps.Copy(c.params, places.params)
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

package store

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// idHashSQL is what event_ids tells an id by. Of a hundred million ids some two
// dozen pairs share their 48 bits: what goes by the hash is looked at again.
func idHashSQL(id string) string { return "bitShiftRight(sipHash64(" + id + "), 16)" }

// markConflicts marks the events whose id another event has too.
func (db *DB) markConflicts(ctx context.Context, account string, events []query.Event) error {
	if len(events) == 0 {
		return nil
	}
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].ID
	}
	conflicts, err := db.selectIDs(ctx, account, ids, `
		SELECT id FROM (SELECT arrayJoin({ids:Array(String)}) AS id) WHERE `+idHashSQL("id")+` IN (
			SELECT id_hash FROM event_ids
			WHERE account = {account:String} AND id_hash IN (SELECT `+idHashSQL("arrayJoin({ids:Array(String)})")+`)
			GROUP BY id_hash HAVING uniqExact(occurred_in, content) > 1)`)
	if err == nil && len(conflicts) > 0 {
		conflicts, err = db.inConflict(ctx, account, conflicts)
	}
	if err != nil {
		return err
	}
	marked := make(map[string]bool, len(conflicts))
	for _, id := range conflicts {
		marked[id] = true
	}
	for i := range events {
		events[i].Conflict = marked[events[i].ID]
	}
	return nil
}

// inConflict gives those of the ids, whose hashes stand for several events, that
// several events have. A few of the events of a hash suffice.
func (db *DB) inConflict(ctx context.Context, account string, ids []string) ([]string, error) {
	return db.selectIDs(ctx, account, ids, `
		SELECT id FROM events
		WHERE account = {account:String} AND id IN {ids:Array(String)} AND toDateTime(occurred_at, 'UTC') IN (
			SELECT occurred_in FROM event_ids
			WHERE account = {account:String} AND id_hash IN (SELECT `+idHashSQL("arrayJoin({ids:Array(String)})")+`)
			LIMIT 16 BY id_hash)
		GROUP BY id HAVING uniqExact(content_hash) > 1`)
}

func (db *DB) selectIDs(ctx context.Context, account string, ids []string, sql string) (found []string, err error) {
	c := where(account)
	c.params["ids"] = append([]string{}, ids...) // never nil
	err = db.selectRows(ctx, account, statement{name: "conflicts", sql: sql, params: c.params}, func(rows driver.Rows) error {
		found = append(found, "")
		return rows.Scan(&found[len(found)-1])
	})
	return found, err
}

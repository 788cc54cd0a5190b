package store

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// conflictMarker marks the events of an export whose id another event has too.
type conflictMarker struct {
	db      *DB
	account string
	few     int            // the most events of which each is asked for; 0: not known yet
	seen    int            // events so far
	suspect map[idKey]bool // the keys of ids that may be in conflict, once asked for
}

const (
	// askedAtOnce is of how many events it is asked at once.
	askedAtOnce = 1000
	// askFactor is how many times dearer it is to ask for an id, which is looked up
	// at a place of its own, than to read a row of the table on the way (52 µs and
	// 0.2 µs). So each is asked for until that has cost as much as reading the whole.
	askFactor = 256
)

func (m *conflictMarker) mark(ctx context.Context, events []query.Event) error {
	m.seen += len(events)
	if m.suspect == nil {
		few, err := m.isFew(ctx)
		if err != nil {
			return err
		}
		if few {
			return m.ask(ctx, events)
		}
		if m.suspect, err = m.db.suspectKeys(ctx, m.account); err != nil {
			return err
		}
	}
	if len(m.suspect) == 0 {
		return nil
	}
	var places []int
	var asked []query.Event
	for i := range events {
		if m.suspect[idKeyOf(events[i].ID)] {
			places, asked = append(places, i), append(asked, events[i])
		}
	}
	if err := m.ask(ctx, asked); err != nil {
		return err
	}
	for i, place := range places {
		events[place].Conflict = asked[i].Conflict
	}
	return nil
}

// isFew tells whether the export has few events so far, for its account.
func (m *conflictMarker) isFew(ctx context.Context) (bool, error) {
	if m.few == 0 && m.seen > askedAtOnce {
		rows, err := m.db.countIDs(ctx, m.account)
		if err != nil {
			return false, err
		}
		m.few = max(askedAtOnce, rows/askFactor)
	}
	return m.few == 0 || m.seen <= m.few, nil
}

// ask marks events by asking for each.
func (m *conflictMarker) ask(ctx context.Context, events []query.Event) error {
	for len(events) > 0 {
		n := min(askedAtOnce, len(events))
		if err := m.db.markConflicts(ctx, m.account, events[:n]); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// countIDs is about how many events the account has.
func (db *DB) countIDs(ctx context.Context, account string) (int, error) {
	c := where(account)
	var n uint64
	s := statement{name: "number of ids", sql: `SELECT count() FROM event_ids WHERE ` + c.String(), params: c.params}
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error { return rows.Scan(&n) })
	return int(n), err
}

// suspectKeys are the keys of the ids of an account that stand for several events:
// those of ids in conflict, and of any that share a key. They are read in the order
// of the table, which takes no memory there.
func (db *DB) suspectKeys(ctx context.Context, account string) (map[idKey]bool, error) {
	c := where(account)
	s := statement{
		name: "ids in conflict",
		sql: `SELECT DISTINCT id_head, id_hash FROM (
				SELECT id_head, id_hash, occurred_in, content,
					lagInFrame(id_head) OVER w AS head_before, lagInFrame(id_hash) OVER w AS hash_before,
					lagInFrame(occurred_in) OVER w AS in_before, lagInFrame(content) OVER w AS content_before
				FROM event_ids WHERE ` + c.String() + `
				WINDOW w AS (ORDER BY id_head, id_hash, occurred_in, content ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
			) WHERE id_head = head_before AND id_hash = hash_before AND (occurred_in != in_before OR content != content_before)`,
		params: c.params,
	}
	keys := make(map[idKey]bool)
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var key idKey
		err := rows.Scan(&key.head, &key.hash)
		keys[key] = true
		return err
	})
	return keys, err
}

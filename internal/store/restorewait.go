package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// How long Restore waits for inserts unless it is told, and how often it looks.
const (
	usualDrain = 2 * time.Minute
	drainPace  = 100 * time.Millisecond
)

// ErrInsertsUnderWay is the error of a Restore that gave up waiting for inserts
// into events that began before it had made the views.
var ErrInsertsUnderWay = errors.New("inserts into events that began before the views were made do not end: wait for them or KILL QUERY them, then restore again")

// drain waits until the inserts into events that are under way have ended. One
// that began before a view was made does not feed it, and what it commits after
// the projection was filled would be in no projection.
func (r *restorer) drain(ctx context.Context) error {
	within := r.Drain
	if within == 0 {
		within = usualDrain
	}
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	ticker := time.NewTicker(drainPace)
	defer ticker.Stop()
	old, err := r.db.insertsUnderWay(ctx)
	for err == nil && len(old) > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout.C:
			return fmt.Errorf("%w: after %s there are query_id %s", ErrInsertsUnderWay, within, shortened(strings.Join(old, ", ")))
		case <-ticker.C:
		}
		var now []string
		now, err = r.db.insertsUnderWay(ctx)
		old = slices.DeleteFunc(old, func(id string) bool { return !slices.Contains(now, id) })
	}
	return err
}

// insertsUnderWay are the ids of the inserts into events that run now, whoever
// began them. It needs to see system.processes, and may name an insert into a
// table events of another database.
func (db *DB) insertsUnderWay(ctx context.Context) (ids []string, err error) {
	s := statement{name: "inserts under way", sql: `
		SELECT query_id FROM system.processes
		WHERE query_kind IN ('Insert', 'AsyncInsertFlush')
			AND (current_database = currentDatabase() OR position(query, currentDatabase()) > 0)
			AND match(query, '(?i)\\binto\\s+(table\\s+)?(\\S+\\.)?[\x60"]?events[\x60"]?([\\s(]|$)')`}
	err = db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		ids = append(ids, "")
		return rows.Scan(&ids[len(ids)-1])
	})
	return ids, err
}

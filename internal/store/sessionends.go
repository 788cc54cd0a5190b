package store

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// sessionEnds is when a session opened and closed last; 1970 for never.
type sessionEnds struct{ opened, closed time.Time }

// stateSince is what the session is; what opened before openedFrom and did not
// close has expired.
func (e sessionEnds) stateSince(openedFrom time.Time) query.State {
	switch {
	case e.opened.UnixMicro() <= 0:
		return query.StateNone
	case !e.closed.Before(e.opened):
		return query.StateClosed
	case e.opened.Before(openedFrom):
		return query.StateExpired
	default:
		return query.StateOpen
	}
}

// readSessionEnds reads when sessions opened and closed last, as it was at asOf.
// It is the little of foldSessions by which most sessions are passed over.
func (db *DB) readSessionEnds(ctx context.Context, account string, asOf time.Time, keys []sessionKey) (map[sessionKey]sessionEnds, error) {
	ends := make(map[sessionKey]sessionEnds, len(keys))
	if len(keys) == 0 {
		return ends, nil
	}
	spans, err := db.readSpans(ctx, account, keys)
	if err != nil || len(spans) == 0 {
		return ends, err
	}
	c := where(account)
	c.within(spans, asOf)
	opening, closing := statusesWhere(opens), statusesWhere(closes)
	c.add("status IN (" + opening + ", " + closing + ")")
	s := statement{
		name: "session ends",
		sql: `SELECT username, session_id, maxIf(occurred_at, status IN (` + opening + `)), maxIf(occurred_at, status IN (` + closing + `))
			FROM events_by_user WHERE ` + c.String() + ` GROUP BY username, session_id`,
		params: c.params,
	}
	err = db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var key sessionKey
		var e sessionEnds
		err := rows.Scan(&key.username, &key.sessionID, &e.opened, &e.closed)
		if _, ok := spans[key]; ok {
			ends[key] = e
		}
		return err
	})
	return ends, err
}

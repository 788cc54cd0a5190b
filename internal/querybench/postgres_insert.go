package main

import (
	"fmt"
	"strconv"
	"time"
)

// The batches of the measurement of inserts, as the statement below cuts them.
const (
	insertBatch   = 1_000
	insertBatches = 20
)

// postgresStage makes events that are new: copies of stored ones, with other ids,
// hashes and sessions, which happen now.
const postgresStage = `
CREATE UNLOGGED TABLE arriving AS
SELECT nth / 1000 AS batch, now() AS occurred_at, now() AS received_at, now() AS ingested_at, stream_seq + 1000000000 AS stream_seq, account_id, user_id,
       gen_random_uuid() AS content_hash, gen_random_uuid() AS id, rank, entry, status, session_id || '-new' AS session_id, ip, user_agent, service, mfa_method,
       device_id, request_id || '-new' AS request_id, reason, attributes, outline
FROM (SELECT *, row_number() OVER () - 1 AS nth FROM events WHERE stream_seq % 7 = 0 LIMIT 20000) e;
CREATE INDEX ON arriving (batch);
ANALYZE arriving;`

// postgresInsert stores a batch of new events as an ingest worker would: once,
// however often they come, with the users' latest activity and the attempts kept up
// to date in the same transaction. It is somewhat less than would be right (ties,
// the ids of all families), and so no slower than it need be.
const postgresInsert = `
WITH fresh AS (
	INSERT INTO events (occurred_at, received_at, ingested_at, stream_seq, account_id, user_id, content_hash, id, rank, entry, status,
	                    session_id, ip, user_agent, service, mfa_method, device_id, request_id, reason, attributes, outline)
	SELECT occurred_at, received_at, ingested_at, stream_seq, account_id, user_id, content_hash, id, rank, entry, status,
	       session_id, ip, user_agent, service, mfa_method, device_id, request_id, reason, attributes, outline
	FROM arriving WHERE batch = $1::bigint
	ON CONFLICT (account_id, content_hash) DO NOTHING RETURNING *
), latest AS (
	UPDATE users u SET last_login_at = greatest(u.last_login_at, f.login), last_success_at = greatest(u.last_success_at, f.success),
	                   last_failure_at = greatest(u.last_failure_at, f.failure), last_logout_at = greatest(u.last_logout_at, f.logout),
	                   last_login_id = f.id, status = f.status
	FROM (SELECT user_id, (array_agg(id))[1] AS id, max(status) AS status,
	             max(occurred_at) FILTER (WHERE status NOT IN (2, 6, 7) AND status NOT BETWEEN 14 AND 19) AS login,
	             max(occurred_at) FILTER (WHERE status IN (1, 21)) AS success, max(occurred_at) FILTER (WHERE status IN (5, 22)) AS failure,
	             max(occurred_at) FILTER (WHERE status IN (2, 6, 7)) AS logout
	      FROM fresh GROUP BY user_id) f
	WHERE u.user_id = f.user_id RETURNING u.user_id
)
INSERT INTO attempts (account_id, user_id, session_id, first_at, last_at, first_hash, opened_at, closed_at, closed_first, entry, status, ip, user_agent, event_ids)
SELECT account_id, user_id, session_id, min(occurred_at), max(occurred_at), (array_agg(content_hash))[1], max(occurred_at) FILTER (WHERE status IN (1, 21)),
       max(occurred_at) FILTER (WHERE status IN (2, 6, 7, 8, 9)), max(occurred_at) FILTER (WHERE status IN (2, 6, 7, 8, 9)),
       max(entry), max(status), max(ip), max(user_agent), array_agg(id)
FROM fresh WHERE session_id IS NOT NULL GROUP BY account_id, user_id, session_id
ON CONFLICT (user_id, session_id) WHERE session_id IS NOT NULL
DO UPDATE SET last_at = excluded.last_at, status = excluded.status, event_ids = attempts.event_ids || excluded.event_ids
RETURNING (SELECT count(*) FROM fresh)`

// pgInserts measures durable inserts, one batch after the other, and gives the
// events a second.
func pgInserts(p *postgres) (float64, error) {
	var took time.Duration
	n := 0
	if _, err := p.do(pgRequest{Op: "script", SQL: postgresStage}); err != nil {
		return 0, err
	}
	for batch := range insertBatches {
		r, err := p.query(postgresInsert, strconv.Itoa(batch))
		if err != nil {
			return 0, err
		}
		if len(r.Keys) > 0 {
			var rows int
			if _, err := fmt.Sscan(r.Keys[0], &rows); err != nil {
				return 0, err
			}
			n += rows
		}
		took += r.Took
	}
	return float64(n) / took.Seconds(), nil
}

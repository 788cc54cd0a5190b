package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Attempts answers one page of the log-in history of a user. A user without an
// event up to f.AsOf is query.ErrNotFound.
func (db *DB) Attempts(ctx context.Context, account string, f query.AttemptFilter) (query.AttemptPage, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.AttemptPage{}, err
	}
	rows, err := db.readAttempts(ctx, account, f)
	if err != nil {
		return query.AttemptPage{}, err
	}
	if len(rows) == 0 && f.After == nil {
		if err := db.requireUser(ctx, account, f.Username, &f.AsOf); err != nil {
			return query.AttemptPage{}, err
		}
	}
	page := query.AttemptPage{Attempts: []query.Attempt{}, Watermark: mark}
	if len(rows) > f.Limit {
		rows = rows[:f.Limit]
		last := rows[len(rows)-1].first
		page.Next = &query.AttemptPosition{StartedAt: last.At, FirstHash: last.Hash}
	}
	for _, row := range rows {
		page.Attempts = append(page.Attempts, row.attempt())
	}
	return page, nil
}

func (db *DB) requireUser(ctx context.Context, account, username string, asOf *time.Time) error {
	found, err := db.userExists(ctx, account, username, asOf)
	if err == nil && !found {
		err = fmt.Errorf("user: %w", query.ErrNotFound)
	}
	return err
}

// readAttempts reads a page and, where there are more, one attempt beyond it.
func (db *DB) readAttempts(ctx context.Context, account string, f query.AttemptFilter) ([]attemptRow, error) {
	if !f.Narrows() {
		rows, whole, err := db.walkAttempts(ctx, account, f)
		if err != nil || whole {
			return rows, err
		}
	}
	return db.foldAttempts(ctx, account, f)
}

// foldAttempts folds the user's whole history to find a page of it: the way for
// filters, which go by what an attempt became.
func (db *DB) foldAttempts(ctx context.Context, account string, f query.AttemptFilter) ([]attemptRow, error) {
	var rows []attemptRow
	err := db.selectRows(ctx, account, db.attemptsStatement(account, f), func(scanned driver.Rows) error {
		row, err := scanAttempt(scanned)
		rows = append(rows, row)
		return err
	})
	if err != nil {
		return nil, err
	}
	var keys []sessionKey
	for _, row := range rows {
		if row.key.sessionID != "" {
			keys = append(keys, row.key)
		}
	}
	folded, err := db.foldSessions(ctx, account, f.AsOf, keys)
	for i, row := range rows {
		if row.key.sessionID != "" {
			rows[i].ids = folded[row.key].ids
		}
	}
	return rows, err
}

// attemptsStatement selects attempts as they are at f.AsOf. Of the ids of the
// events it has those of the attempts that are an event alone.
func (db *DB) attemptsStatement(account string, f query.AttemptFilter) statement {
	c := where(account)
	c.bind("username = {username:String}", "username", f.Username)
	c.bind("occurred_at <= "+asOfParam, "as_of", micros(f.AsOf))
	c.params["opened_from"] = micros(f.AsOf.Add(-db.sessionLimit))
	rowsOf := func(c *conditions, session string) string {
		return `(SELECT *, id, ` + placeSQL + ` AS place FROM events_by_user WHERE ` + c.String() + ` AND ` + session + `)`
	}
	// What the page cannot show of the events alone is left out by time; where a
	// session begins, its events do not tell.
	alone := &conditions{parts: slices.Clone(c.parts), params: c.params}
	alone.timeRange(f.Range)
	if f.After != nil {
		alone.bind("occurred_at "+beyond(f.Order)+"= fromUnixTimestamp64Micro({after_at:Int64}, 'UTC')", "after_at", micros(f.After.StartedAt))
	}
	sql := `
		WITH folded AS (
			SELECT username, session_id, ` + foldedColumns() + `, ` + stateSQL + ` AS state, []::Array(String) AS ids
			FROM ` + rowsOf(c, "session_id != ''") + `
			GROUP BY username, session_id
			UNION ALL
			SELECT username, session_id, ` + foldedColumns() + `, 'none' AS state, [any(id)] AS ids
			FROM ` + rowsOf(alone, "session_id = ''") + `
			GROUP BY username, session_id, occurred_at, rank, content_hash
		)
		SELECT username, session_id, first, final, address, client, opened, closed, last_seen, state, ids
		FROM folded` + filterAttempts(f, c.params)
	return statement{name: "attempts", sql: sql, params: c.params}
}

// foldedColumns fold the events of an attempt. first is the place of its first
// event; final has its latest attempt event, before any other, with its codes;
// address and client the latest event that has one, with it. opened and closed
// are times, 1970 for never: of an opening and a closing at the same instant
// the closing is later by rank, so that times suffice.
func foldedColumns() string {
	return `min(place) AS first,
			max(concat(char(status NOT IN (` + statusesWhere(noAttempt) + `)), place, char(entry), char(status))) AS final,
			max(if(isNull(ip), '', concat(place, reinterpretAsFixedString(assumeNotNull(ip))))) AS address,
			max(if(user_agent = '', '', concat(place, user_agent))) AS client,
			max(if(status IN (` + statusesWhere(opens) + `), occurred_at, ` + never + `)) AS opened,
			max(if(status IN (` + statusesWhere(closes) + `), occurred_at, ` + never + `)) AS closed,
			max(occurred_at) AS last_seen`
}

// stateSQL is the state of what foldedColumns give, unless it is an event alone.
const stateSQL = `multiIf(opened = ` + never + `, 'none', closed >= opened, 'closed',
		               opened >= fromUnixTimestamp64Micro({opened_from:Int64}, 'UTC'), 'open', 'expired')`

// scanAttempt reads a row of username, session_id, foldedColumns, the state and
// the ids.
func scanAttempt(rows driver.Rows) (r attemptRow, err error) {
	var first, final, address, client, state string
	err = rows.Scan(&r.key.username, &r.key.sessionID, &first, &final, &address, &client,
		&r.opened, &r.closed, &r.lastSeen, &state, &r.ids)
	if err != nil {
		return r, err
	}
	r.state, r.ip, r.userAgent = query.State(state), unpackAddress(address), unpackClient(client)
	if r.first, err = unpackPlace(first); err != nil {
		return r, err
	}
	r.entry, r.status, err = unpackFinal(final)
	return r, err
}

// beyond compares what comes later in the order.
func beyond(order query.Order) string {
	if order == query.Ascending {
		return ">"
	}
	return "<"
}

// filterAttempts writes what an attempt must be, on the folded columns, with
// its order and limit.
func filterAttempts(f query.AttemptFilter, p params) string {
	c := conditions{params: p}
	c.add("1")
	if !f.Range.Start.IsZero() {
		c.bind("first >= unhex({first_start:String})", "first_start", hexOf(packTime(f.Range.Start)))
	}
	if !f.Range.End.IsZero() {
		c.bind("first < unhex({first_end:String})", "first_end", hexOf(packTime(f.Range.End)))
	}
	if statuses, all := (query.EventFilter{Statuses: f.Statuses, Outcomes: f.Outcomes}).StatusSet(); !all {
		c.add("reinterpretAsUInt8(substring(final, 28, 1)) IN (" + codeList(statuses) + ")")
	}
	if len(f.Entries) > 0 {
		c.add("reinterpretAsUInt8(substring(final, 27, 1)) IN (" + codeList(f.Entries) + ")")
	}
	if len(f.States) > 0 {
		states := make([]string, len(f.States))
		for i, s := range f.States {
			states[i] = string(s)
		}
		c.bind("state IN {states:Array(String)}", "states", states)
	}
	if f.IP.IsValid() {
		c.packedAddresses(f)
	}
	if f.After != nil {
		sign := beyond(f.Order)
		p["after_start"] = hexOf(packTime(f.After.StartedAt))
		p["after_first"] = hexOf(string(f.After.FirstHash[:]))
		c.add("(substring(first, 1, 8) " + sign + " unhex({after_start:String}) OR (substring(first, 1, 8) = unhex({after_start:String})" +
			" AND substring(first, 10, 16) " + sign + " unhex({after_first:String})))")
	}
	direction := " DESC"
	if f.Order == query.Ascending {
		direction = " ASC"
	}
	p["limit"] = uint64(f.Limit) + 1
	return ` WHERE ` + c.String() + ` ORDER BY substring(first, 1, 8)` + direction + `, substring(first, 10, 16)` + direction + ` LIMIT {limit:UInt64}`
}

// packedAddresses adds the condition that the folded address lies in a range.
func (c *conditions) packedAddresses(f query.AttemptFilter) {
	first, last := bounds(f.IP)
	a, b := first.As16(), last.As16()
	c.bind("substring(address, 26, 16) >= unhex({ip_first:String})", "ip_first", hexOf(string(a[:])))
	c.bind("substring(address, 26, 16) <= unhex({ip_last:String})", "ip_last", hexOf(string(b[:])))
	c.add("address != ''")
	if f.IP.Addr().Is6() {
		c.add("substring(address, 26, 12) != unhex('00000000000000000000FFFF')")
	}
}

package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// Attempts answers one page of the log-in history of a user. A user without an
// event up to f.AsOf is query.ErrNotFound.
func (db *DB) Attempts(ctx context.Context, account string, f query.AttemptFilter) (query.AttemptPage, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.AttemptPage{}, err
	}
	rows, err := db.scanAttempts(ctx, account, db.attemptsStatement(account, f, nil))
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
	if err := db.listAttemptEvents(ctx, account, f.Username, f.AsOf, rows); err != nil {
		return query.AttemptPage{}, err
	}
	for _, row := range rows {
		page.Attempts = append(page.Attempts, row.attempt(f.Username))
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

// attemptRow is a row of the attempts statement, and the ids of its events.
type attemptRow struct {
	sessionID       string
	alone           bool // an event without session_id
	first           query.Position
	entry           event.Entry
	status          event.Status
	address, client string
	opened, closed  time.Time
	lastSeen        time.Time
	state           query.State
	ids             []string
}

func (r attemptRow) attempt(username string) query.Attempt {
	a := query.Attempt{
		SessionID:  optional(r.sessionID),
		Username:   username,
		StartedAt:  query.At(r.first.At),
		LoginAt:    moment(r.opened),
		LogoutAt:   moment(r.closed),
		Entry:      r.entry,
		EntryName:  r.entry.Name(),
		Status:     r.status,
		StatusName: r.status.Name(),
		Outcome:    r.status.Outcome(),
		State:      r.state,
		UserAgent:  optional(unpackClient(r.client)),
		Events:     len(r.ids),
		EventIDs:   r.ids,
	}
	if ip := unpackAddress(r.address); ip.IsValid() {
		a.IP = optional(ip.String())
	}
	return a
}

// session tells the same row as a session.
func (r attemptRow) session(username string) query.Session {
	a := r.attempt(username)
	return query.Session{
		Username: username, SessionID: a.SessionID, OpenedAt: a.LoginAt, ClosedAt: a.LogoutAt,
		Status: a.Status, StatusName: a.StatusName, State: a.State,
		IP: a.IP, UserAgent: a.UserAgent, Events: a.Events,
	}
}

// moment is nil for the time that means never.
func moment(t time.Time) *query.Timestamp {
	if t.UnixMicro() == 0 {
		return nil
	}
	at := query.At(t)
	return &at
}

// foldSQL folds event rows as the view attempts_view does.
func foldSQL(grouping string) string {
	return `min(place) AS first,
			max(concat(char(status NOT IN (` + statusesWhere(noAttempt) + `)), place, char(entry), char(status))) AS final,
			max(if(isNull(ip), '', concat(place, reinterpretAsFixedString(assumeNotNull(ip))))) AS address,
			max(if(user_agent = '', '', concat(place, user_agent))) AS client,
			max(if(status IN (` + statusesWhere(opens) + `), occurred_at, ` + never + `)) AS opened,
			max(if(status IN (` + statusesWhere(closes) + `), occurred_at, ` + never + `)) AS closed,
			max(occurred_at) AS last_seen
		FROM (SELECT *, ` + placeSQL + ` AS place FROM events_by_user WHERE ` + grouping + `)`
}

// attemptsStatement selects attempts as they are at f.AsOf. The projection
// knows the present only; a session with a later event is folded from the
// events instead. Events without session_id are attempts of their own, unless
// only, if not nil, lists the session ids to answer: then the unnamed session,
// whose id is empty, is one like any other.
func (db *DB) attemptsStatement(account string, f query.AttemptFilter, only []string) statement {
	scope := where(account)
	scope.bind("username = {username:String}", "username", f.Username)
	scope.params["as_of"] = micros(f.AsOf)
	scope.params["opened_from"] = micros(f.AsOf.Add(-db.sessionLimit))
	sessions, alone := "session_id != ''", aloneSQL(scope, f)
	if only != nil {
		sessions, alone = "session_id IN {sessions:Array(String)}", ""
		scope.params["sessions"] = only
	}
	named := scope.String() + " AND " + sessions
	sql := `
		WITH later AS (
			SELECT session_id FROM attempts WHERE ` + named + `
			GROUP BY session_id HAVING max(last_seen) > ` + asOfParam + `
		), folded AS (
			SELECT session_id, 0 AS alone, '' AS id, min(a.first) AS first, max(a.final) AS final,
			       max(a.address) AS address, max(a.client) AS client,
			       max(a.opened) AS opened, max(a.closed) AS closed, max(a.last_seen) AS last_seen
			FROM attempts AS a WHERE ` + named + ` AND session_id NOT IN (later)
			GROUP BY session_id
			UNION ALL
			SELECT session_id, 0 AS alone, '' AS id, ` +
		foldSQL(named+" AND session_id IN (later) AND occurred_at <= "+asOfParam) + `
			GROUP BY session_id` + alone + `
		)
		SELECT session_id, alone, id, first, final, address, client, opened, closed, last_seen,
		       multiIf(alone = 1 OR opened = ` + never + `, 'none', closed >= opened, 'closed',
		               opened >= fromUnixTimestamp64Micro({opened_from:Int64}, 'UTC'), 'open', 'expired') AS state
		FROM folded` + filterAttempts(f, scope.params)
	return statement{name: "attempts", sql: sql, params: scope.params}
}

// aloneSQL adds the events without session_id to the folded sessions. What the
// page cannot show is left out here already, by time.
func aloneSQL(scope *conditions, f query.AttemptFilter) string {
	c := conditions{parts: slices.Clone(scope.parts), params: scope.params}
	c.add("session_id = ''")
	c.add("occurred_at <= " + asOfParam)
	c.timeRange(f.Range)
	if f.After != nil {
		sign := map[bool]string{true: ">=", false: "<="}[f.Order == query.Ascending]
		c.bind("occurred_at "+sign+" fromUnixTimestamp64Micro({after_at:Int64}, 'UTC')", "after_at", micros(f.After.StartedAt))
	}
	return `
			UNION ALL
			SELECT session_id, 1 AS alone, any(id) AS id, ` + foldSQL(c.String()) + `
			GROUP BY session_id, occurred_at, rank, content_hash`
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
	direction, sign := " DESC", "<"
	if f.Order == query.Ascending {
		direction, sign = " ASC", ">"
	}
	if f.After != nil {
		p["after_start"] = hexOf(packTime(f.After.StartedAt))
		p["after_first"] = hexOf(string(f.After.FirstHash[:]))
		c.add("(substring(first, 1, 8) " + sign + " unhex({after_start:String}) OR (substring(first, 1, 8) = unhex({after_start:String})" +
			" AND substring(first, 10, 16) " + sign + " unhex({after_first:String})))")
	}
	limit := ""
	if f.Limit > 0 {
		p["limit"] = uint64(f.Limit) + 1
		limit = " LIMIT {limit:UInt64}"
	}
	return ` WHERE ` + c.String() + ` ORDER BY substring(first, 1, 8)` + direction + `, substring(first, 10, 16)` + direction + limit
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

func (db *DB) scanAttempts(ctx context.Context, account string, s statement) ([]attemptRow, error) {
	var found []attemptRow
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var r attemptRow
		var alone uint8
		var id, first, final, state string
		err := rows.Scan(&r.sessionID, &alone, &id, &first, &final, &r.address, &r.client,
			&r.opened, &r.closed, &r.lastSeen, &state)
		if err != nil {
			return err
		}
		r.alone, r.state = alone == 1, query.State(state)
		if r.alone {
			r.ids = []string{id}
		}
		if r.first, err = unpackPlace(first); err != nil {
			return err
		}
		r.entry, r.status, err = unpackFinal(final)
		found = append(found, r)
		return err
	})
	return found, err
}

// listAttemptEvents fills in the ids of the events of the sessions in rows.
// They are counted here, not in the projection: a sum would count repeats.
func (db *DB) listAttemptEvents(ctx context.Context, account, username string, asOf time.Time, rows []attemptRow) error {
	bySession := make(map[string]*attemptRow)
	var from, to time.Time
	for i := range rows {
		r := &rows[i]
		if r.alone {
			continue
		}
		if len(bySession) == 0 || r.first.At.Before(from) {
			from = r.first.At
		}
		if r.lastSeen.After(to) {
			to = r.lastSeen
		}
		bySession[r.sessionID] = r
	}
	if len(bySession) == 0 {
		return nil
	}
	sessions := make([]string, 0, len(bySession))
	for id := range bySession {
		sessions = append(sessions, id)
	}
	c := where(account)
	c.bind("username = {username:String}", "username", username)
	c.bind("session_id IN {sessions:Array(String)}", "sessions", sessions)
	c.bind("occurred_at <= "+asOfParam, "as_of", micros(asOf))
	c.timeRange(query.TimeRange{Start: from, End: to.Add(time.Microsecond)})
	s := statement{
		name: "attempt events",
		sql: `SELECT DISTINCT session_id, id, occurred_at, rank, content_hash FROM events_by_user WHERE ` + c.String() + `
			ORDER BY occurred_at, rank, content_hash`,
		params: c.params,
	}
	return db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var session, id string
		var at time.Time
		var rank uint8
		var hash []byte
		if err := rows.Scan(&session, &id, &at, &rank, &hash); err != nil {
			return err
		}
		row := bySession[session]
		row.ids = append(row.ids, id)
		return nil
	})
}

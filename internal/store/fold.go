package store

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// An attempt is folded from its events when it is shown: exact at any moment,
// and a page of attempts has few events. The table attempts tells where they
// lie.

// sessionKey names a session; sessionID is empty for the unnamed one.
type sessionKey struct{ username, sessionID string }

// attemptRow is an attempt: a session folded, or an event without session_id
// alone.
type attemptRow struct {
	username, sessionID string
	first               query.Position
	entry               event.Entry
	status              event.Status
	address, client     string
	opened, closed      time.Time
	lastSeen            time.Time
	state               query.State
	ids                 []string // oldest first
}

func (r attemptRow) attempt() query.Attempt {
	a := query.Attempt{
		SessionID:  optional(r.sessionID),
		Username:   r.username,
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

// session tells the same row as a session. When one was closed is told only of
// one that is: the latest closing of a session that opened again lies before its
// opening.
func (r attemptRow) session() query.Session {
	a := r.attempt()
	s := query.Session{
		Username: r.username, SessionID: a.SessionID, OpenedAt: a.LoginAt,
		Status: a.Status, StatusName: a.StatusName, State: a.State,
		IP: a.IP, UserAgent: a.UserAgent, Events: a.Events,
	}
	if s.State == query.StateClosed {
		s.ClosedAt = a.LogoutAt
	}
	return s
}

// moment is nil for the time that means never.
func moment(t time.Time) *query.Timestamp {
	if t.UnixMicro() == 0 {
		return nil
	}
	at := query.At(t)
	return &at
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

// idsColumn lists the ids of the events of an attempt, each once.
const idsColumn = `arrayMap(e -> e.2, arraySort(groupUniqArray((place, id)))) AS ids`

// stateSQL is the state of what foldedColumns give, unless it is an event alone.
const stateSQL = `multiIf(opened = ` + never + `, 'none', closed >= opened, 'closed',
		               opened >= fromUnixTimestamp64Micro({opened_from:Int64}, 'UTC'), 'open', 'expired')`

// foldSessions folds sessions as they were at asOf. What had no event then is not
// in the answer.
func (db *DB) foldSessions(ctx context.Context, account string, asOf time.Time, keys []sessionKey) (map[sessionKey]attemptRow, error) {
	folded := make(map[sessionKey]attemptRow, len(keys))
	if len(keys) == 0 {
		return folded, nil
	}
	c := where(account)
	c.sessionsUntil(asOf, keys)
	c.params["opened_from"] = micros(asOf.Add(-db.sessionLimit))
	s := statement{
		name: "sessions",
		sql: `SELECT username, session_id, ` + foldedColumns() + `, ` + stateSQL + ` AS state, ` + idsColumn + `
			FROM (SELECT *, id, ` + placeSQL + ` AS place FROM events_by_user WHERE ` + c.String() + `)
			GROUP BY username, session_id`,
		params: c.params,
	}
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		r, err := scanAttempt(rows)
		folded[sessionKey{r.username, r.sessionID}] = r
		return err
	})
	return folded, err
}

// sessionsUntil adds the conditions that a row of events_by_user belongs to one
// of the sessions and is not later than asOf; attempts tells where to look.
func (c *conditions) sessionsUntil(asOf time.Time, keys []sessionKey) {
	names, ids := make([]string, len(keys)), make([]string, len(keys))
	several := false
	for i, k := range keys {
		names[i], ids[i] = k.username, k.sessionID
		several = several || k.username != keys[0].username
	}
	if several {
		c.bind("username IN {names:Array(String)}", "names", names)
		c.bind("(username, session_id) IN (SELECT arrayJoin(arrayZip({names:Array(String)}, {sessions:Array(String)})))", "sessions", ids)
	} else {
		c.bind("username = {username:String}", "username", names[0])
		c.bind("session_id IN {sessions:Array(String)}", "sessions", ids)
	}
	c.bind("occurred_at <= "+asOfParam, "as_of", micros(asOf))
	// The bounds are made DateTime64: compared with a DateTime, the embedded engine
	// leaves out rows of the last second (26.7.2, a key condition that rounds).
	spans := spansSQL(several)
	c.add("occurred_at >= (SELECT toDateTime64(min(first_in), 6, 'UTC') " + spans + ")")
	c.add("occurred_at < (SELECT toDateTime64(max(last_in) + 1, 6, 'UTC') " + spans + ")")
}

// spansSQL is where attempts tells of the sessions that sessionsUntil wants.
func spansSQL(several bool) string {
	const hashed = "(SELECT arrayMap(s -> bitShiftRight(sipHash64(s), 24), {sessions:Array(String)}))"
	if !several {
		return "FROM attempts WHERE account = {account:String} AND username = {username:String} AND session_hash IN (SELECT arrayJoin(" + hashed + "))"
	}
	return "FROM attempts WHERE account = {account:String} AND username IN {names:Array(String)} AND (username, session_hash) IN (" +
		"SELECT arrayJoin(arrayZip({names:Array(String)}, " + hashed + ")))"
}

// scanAttempt reads a row of username, session_id, foldedColumns, the state and
// the ids.
func scanAttempt(rows driver.Rows) (r attemptRow, err error) {
	var first, final, state string
	err = rows.Scan(&r.username, &r.sessionID, &first, &final, &r.address, &r.client,
		&r.opened, &r.closed, &r.lastSeen, &state, &r.ids)
	if err != nil {
		return r, err
	}
	r.state = query.State(state)
	if r.first, err = unpackPlace(first); err != nil {
		return r, err
	}
	r.entry, r.status, err = unpackFinal(final)
	return r, err
}

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// Users answers one page of the users of an account.
func (db *DB) Users(ctx context.Context, account string, f query.UserFilter) (query.UserPage, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.UserPage{}, err
	}
	s := db.usersStatement(account, f, nil)
	s.sql += orderUsers(f) + " LIMIT {limit:UInt64}"
	s.params["limit"] = uint64(f.Limit) + 1
	rows, err := db.scanUsers(ctx, account, s)
	if err != nil {
		return query.UserPage{}, err
	}
	page := query.UserPage{Users: []query.User{}, Watermark: mark}
	for i, row := range rows {
		if i == f.Limit {
			page.Next = rows[i-1].position(f.Sort)
			break
		}
		page.Users = append(page.Users, row.user())
	}
	return page, nil
}

// User answers one user, with the sessions that are open at asOf. A user
// without an event up to asOf is query.ErrNotFound.
func (db *DB) User(ctx context.Context, account, username string, asOf time.Time) (query.UserDetail, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.UserDetail{}, err
	}
	s := db.usersStatement(account, query.UserFilter{AsOf: asOf}, &username)
	rows, err := db.scanUsers(ctx, account, s)
	if err != nil {
		return query.UserDetail{}, err
	}
	if len(rows) == 0 {
		return query.UserDetail{}, fmt.Errorf("user: %w", query.ErrNotFound)
	}
	detail := query.UserDetail{User: rows[0].user(), Watermark: mark}
	detail.Sessions, err = db.openSessions(ctx, account, username, asOf)
	return detail, err
}

// userRow is a row of the users statement.
type userRow struct {
	username                              string
	success, failure, login, logout, last *latest
	sessions                              uint64
}

func (r userRow) user() query.User {
	return query.User{
		Username:         r.username,
		LastLogin:        r.login.activity(),
		LastLoginSuccess: r.success.activity(),
		LastLoginFailure: r.failure.activity(),
		LastLogout:       r.logout.activity(),
		Entry:            r.last.entry,
		EntryName:        r.last.entry.Name(),
		Status:           r.last.status,
		StatusName:       r.last.status.Name(),
		LoggedIn:         r.sessions > 0,
		OpenSessions:     int(r.sessions),
	}
}

func (r userRow) position(sort query.UserSort) *query.UserPosition {
	p := &query.UserPosition{Username: r.username}
	at := map[query.UserSort]*latest{query.SortLastLogin: r.login, query.SortLastLogout: r.logout}[sort]
	if at != nil {
		p.Event = &at.place
	}
	return p
}

func (l *latest) activity() *query.Activity {
	if l == nil {
		return nil
	}
	return &query.Activity{
		At:      query.At(l.place.At),
		EventID: l.id,
		Status:  l.status,
		Outcome: l.status.Outcome(),
	}
}

// usersStatement selects users as they are at f.AsOf. The projection knows the
// present only; whoever has a later event (few, unless f.AsOf lies far back) is
// folded from the events instead. only, unless nil, is the one user to answer.
func (db *DB) usersStatement(account string, f query.UserFilter, only *string) statement {
	scope, laterFrom := where(account), "events"
	scope.params["as_of"] = micros(f.AsOf)
	scope.params["opened_from"] = micros(f.AsOf.Add(-db.sessionLimit))
	if only != nil {
		scope.bind("username = {only:String}", "only", *only)
		laterFrom = "events_by_user"
	}
	if f.Text != "" {
		scope.holds(f.Text, "username")
	}
	slot := func(name string, keep func(event.Status) bool) string {
		return "maxIf(packed, status IN (" + statusesWhere(keep) + ")) AS " + name
	}
	sql := `
		WITH later AS (
			SELECT DISTINCT username FROM ` + laterFrom + `
			WHERE ` + scope.String() + ` AND occurred_at > ` + asOfParam + `
		), open AS (
			` + openSessionsSQL(laterFrom, scope) + `
		), latest_of AS (
			SELECT username, max(login_success) AS success, max(login_failure) AS failure,
			       max(login_pending) AS pending, max(logout) AS logged_out, max(other) AS rest
			FROM user_latest
			WHERE ` + scope.String() + ` AND username NOT IN (later)
			GROUP BY username
			UNION ALL
			SELECT username, ` + slot("success", loginSuccess) + `, ` + slot("failure", loginFailure) + `,
			       ` + slot("pending", loginPending) + `, ` + slot("logged_out", logoutAttempt) + `,
			       ` + slot("rest", noAttempt) + `
			FROM (
				SELECT username, status, concat(` + placeSQL + `, char(entry), char(status), id) AS packed
				FROM events_by_user
				WHERE ` + scope.String() + ` AND username IN (later) AND occurred_at <= ` + asOfParam + `
			)
			GROUP BY username
		)
		SELECT username, success, failure, logged_out,
		       greatest(success, failure, pending) AS login,
		       if(login = '' AND logged_out = '', rest, greatest(login, logged_out)) AS last,
		       sessions
		FROM latest_of
		LEFT JOIN (SELECT username, count() AS sessions FROM open GROUP BY username) AS opened USING (username)
		WHERE username != ''` + filterUsers(f, scope.params)
	return statement{name: "users", sql: sql, params: scope.params}
}

func loginSuccess(s event.Status) bool {
	return s.Attempt() == event.AttemptLogin && s.Outcome() == event.OutcomeSuccess
}

func loginFailure(s event.Status) bool {
	return s.Attempt() == event.AttemptLogin && s.Outcome() == event.OutcomeFailure
}

func loginPending(s event.Status) bool {
	return s.Attempt() == event.AttemptLogin && s.Outcome() == event.OutcomePending
}

func logoutAttempt(s event.Status) bool { return s.Attempt() == event.AttemptLogout }

func noAttempt(s event.Status) bool { return s.Attempt() == event.AttemptNone }

// openSessionsSQL selects the (username, session_id) that are open at as_of.
// What opened before opened_from is expired, and a closing event that counts
// comes after the opening, so no event outside that window matters.
func openSessionsSQL(from string, scope *conditions) string {
	opening, closing := statusesWhere(opens), statusesWhere(closes)
	return `SELECT username, session_id FROM ` + from + `
			WHERE ` + scope.String() + `
			  AND occurred_at >= fromUnixTimestamp64Micro({opened_from:Int64}, 'UTC') AND occurred_at <= ` + asOfParam + `
			  AND status IN (` + opening + `, ` + closing + `)
			GROUP BY username, session_id
			HAVING maxIf(occurred_at, status IN (` + opening + `)) > maxIf(occurred_at, status IN (` + closing + `))`
}

// filterUsers writes what a user must be, on the columns of the outer SELECT.
func filterUsers(f query.UserFilter, p params) string {
	c := conditions{params: p}
	if len(f.Statuses) > 0 {
		c.add("reinterpretAsUInt8(substring(last, 27, 1)) IN (" + codeList(f.Statuses) + ")")
	}
	if len(f.Entries) > 0 {
		c.add("reinterpretAsUInt8(substring(last, 26, 1)) IN (" + codeList(f.Entries) + ")")
	}
	if f.LoggedIn != nil {
		c.add(map[bool]string{true: "sessions > 0", false: "sessions = 0"}[*f.LoggedIn])
	}
	if f.NeverLoggedIn != nil {
		c.add(map[bool]string{true: "success = ''", false: "success != ''"}[*f.NeverLoggedIn])
	}
	if !f.LastLogin.Start.IsZero() {
		c.bind("login >= unhex({login_start:String})", "login_start", hexOf(packTime(f.LastLogin.Start)))
	}
	if !f.LastLogin.End.IsZero() {
		c.bind("login != '' AND login < unhex({login_end:String})", "login_end", hexOf(packTime(f.LastLogin.End)))
	}
	if f.After != nil {
		c.add(afterUser(f, p))
	}
	if len(c.parts) == 0 {
		return ""
	}
	return " AND " + c.String()
}

// sortColumn is the column of the outer SELECT that a sort by time goes by.
func sortColumn(sort query.UserSort) string {
	return map[query.UserSort]string{query.SortLastLogin: "login", query.SortLastLogout: "logged_out"}[sort]
}

// afterUser is the condition for the users behind f.After. Users without the
// event come last in both directions, by username.
func afterUser(f query.UserFilter, p params) string {
	p["after_username"] = f.After.Username
	column, sign := sortColumn(f.Sort), ">"
	if f.Descending {
		sign = "<"
	}
	switch {
	case column == "":
		return "username " + sign + " {after_username:String}"
	case f.After.Event == nil:
		return column + " = '' AND username > {after_username:String}"
	default:
		p["after_place"] = hexOf(packPlace(*f.After.Event))
		return "(" + column + " = '' OR substring(" + column + ", 1, 25) " + sign + " unhex({after_place:String}))"
	}
}

func orderUsers(f query.UserFilter) string {
	direction := " ASC"
	if f.Descending {
		direction = " DESC"
	}
	column := sortColumn(f.Sort)
	if column == "" {
		return " ORDER BY username" + direction
	}
	return " ORDER BY " + column + " = '' ASC, " + column + direction + ", username ASC"
}

func (db *DB) scanUsers(ctx context.Context, account string, s statement) ([]userRow, error) {
	var found []userRow
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var r userRow
		var success, failure, logout, login, last string
		if err := rows.Scan(&r.username, &success, &failure, &logout, &login, &last, &r.sessions); err != nil {
			return err
		}
		for _, slot := range []struct {
			from string
			to   **latest
		}{{success, &r.success}, {failure, &r.failure}, {logout, &r.logout}, {login, &r.login}, {last, &r.last}} {
			unpacked, err := unpackLatest(slot.from)
			if err != nil {
				return err
			}
			*slot.to = unpacked
		}
		if r.last == nil {
			return fmt.Errorf("user without an event")
		}
		found = append(found, r)
		return nil
	})
	return found, err
}

// Accounts lists the accounts that have events, sorted by bytes.
func (db *DB) Accounts(ctx context.Context) ([]string, error) {
	accounts := []string{}
	s := statement{name: "accounts", sql: `SELECT DISTINCT account FROM accounts ORDER BY account`}
	err := db.selectRows(ctx, allAccounts, s, func(rows driver.Rows) error {
		var account string
		if err := rows.Scan(&account); err != nil {
			return err
		}
		accounts = append(accounts, account)
		return nil
	})
	return accounts, err
}

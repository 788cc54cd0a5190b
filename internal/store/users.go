package store

import (
	"context"
	"fmt"
	"math/big"
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
	s := db.usersStatement(account, f)
	s.sql += orderUsers(f) + " LIMIT {limit:UInt64}"
	s.params["limit"] = uint64(f.Limit) + 1
	rows, err := db.scanUsers(ctx, account, s)
	if err != nil {
		return query.UserPage{}, err
	}
	page := query.UserPage{Users: []query.User{}, Watermark: mark}
	if len(rows) > f.Limit {
		rows = rows[:f.Limit]
		page.Next = rows[len(rows)-1].position(f.Sort)
	}
	if err := db.completeUsers(ctx, account, f.AsOf, rows); err != nil {
		return query.UserPage{}, err
	}
	for _, row := range rows {
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
	rows, err := db.scanUsers(ctx, account, db.userStatement(account, username, asOf))
	if err != nil {
		return query.UserDetail{}, err
	}
	if len(rows) == 0 {
		return query.UserDetail{}, fmt.Errorf("user: %w", query.ErrNotFound)
	}
	detail := query.UserDetail{Watermark: mark}
	if detail.Sessions, err = db.openSessions(ctx, account, username, asOf); err != nil {
		return query.UserDetail{}, err
	}
	rows[0].sessions = uint64(len(detail.Sessions))
	if err := db.findIDs(ctx, account, rows); err != nil {
		return query.UserDetail{}, err
	}
	detail.User = rows[0].user()
	return detail, nil
}

// slot is what one slot of user_latest tells: an event, and its id once that is
// known.
type slot struct {
	*latest
	id string
}

// userRow is a row of the users statement.
type userRow struct {
	username                          string
	success, failure, pending, logout slot
	last                              *latest // what entry and status are those of
	sessions                          uint64
}

// slots are those that have an event, and so an id.
func (r *userRow) slots() []*slot {
	var filled []*slot
	for _, s := range []*slot{&r.success, &r.failure, &r.pending, &r.logout} {
		if s.latest != nil {
			filled = append(filled, s)
		}
	}
	return filled
}

// login is the latest log-in attempt, whatever its outcome.
func (r *userRow) login() slot {
	login := r.success
	for _, s := range []slot{r.failure, r.pending} {
		if s.latest != nil && (login.latest == nil || comparePositions(s.position(), login.position()) > 0) {
			login = s
		}
	}
	return login
}

func (r *userRow) user() query.User {
	return query.User{
		Username:         r.username,
		LastLogin:        r.login().activity(),
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

func (r *userRow) position(sort query.UserSort) *query.UserPosition {
	p := &query.UserPosition{Username: r.username}
	at := map[query.UserSort]slot{query.SortLastLogin: r.login(), query.SortLastLogout: r.logout}[sort]
	if at.latest != nil {
		place := at.position()
		p.Event = &place
	}
	return p
}

func (s slot) activity() *query.Activity {
	if s.latest == nil {
		return nil
	}
	return &query.Activity{
		At:      query.At(s.at),
		EventID: s.id,
		Status:  s.status,
		Outcome: s.status.Outcome(),
	}
}

// usersStatement selects users as they are at f.AsOf. The projection knows the
// present only; whoever has a later event (few, unless f.AsOf lies far back) is
// folded from the events instead.
func (db *DB) usersStatement(account string, f query.UserFilter) statement {
	scope := db.usersScope(account, f.AsOf)
	if f.Text != "" {
		scope.holds(f.Text, "username")
	}
	if f.After != nil && sortColumn(f.Sort) == "" {
		scope.add(afterUser(f, scope.params))
	}
	sessions, join := "toUInt64(0)", ""
	if f.LoggedIn != nil {
		sessions = "sessions"
		join = `
		LEFT JOIN (SELECT username, count() AS sessions FROM (` + openSessionsSQL("events", scope) + `) GROUP BY username) AS opened USING (username)`
	}
	later := `SELECT DISTINCT username FROM events WHERE ` + scope.String() + ` AND occurred_at > ` + asOfParam
	return statement{
		name: "users",
		sql: `WITH later AS (` + later + `)
		SELECT ` + userColumns + `, ` + sessions + `, '', '', '', ''
		FROM (
			SELECT username, login_success AS success, login_failure AS failure, login_pending AS pending, logout AS logged_out, other AS rest
			FROM user_latest FINAL
			WHERE ` + scope.String() + ` AND username NOT IN (later)
			UNION ALL
			` + foldUsersSQL(scope.String()+" AND username IN (later)") + `
		) AS latest_of` + join + `
		WHERE username != ''` + filterUsers(f, scope.params),
		params: scope.params,
	}
}

// userStatement selects one user, with the ids that the projection knows.
func (db *DB) userStatement(account, username string, asOf time.Time) statement {
	scope := db.usersScope(account, asOf)
	scope.bind("username = {only:String}", "only", username)
	later := `SELECT username FROM events_by_user WHERE ` + scope.String() + ` AND occurred_at > ` + asOfParam + ` LIMIT 1`
	return statement{
		name: "user",
		sql: `WITH later AS (` + later + `)
		SELECT ` + userColumns + `, toUInt64(0), success_id, failure_id, pending_id, logout_id
		FROM (
			SELECT username, login_success AS success, login_failure AS failure, login_pending AS pending, logout AS logged_out, other AS rest,
			       login_success_id AS success_id, login_failure_id AS failure_id, login_pending_id AS pending_id, logout_id
			FROM user_latest FINAL
			WHERE ` + scope.String() + ` AND username NOT IN (later)
			UNION ALL
			SELECT *, '' AS success_id, '' AS failure_id, '' AS pending_id, '' AS logout_id
			FROM (` + foldUsersSQL(scope.String()+" AND username IN (later)") + `)
		)
		WHERE username != ''`,
		params: scope.params,
	}
}

func (db *DB) usersScope(account string, asOf time.Time) *conditions {
	scope := where(account)
	scope.params["as_of"] = micros(asOf)
	scope.params["opened_from"] = micros(asOf.Add(-db.sessionLimit))
	return scope
}

// userColumns are what filters and sorts go by, in the order of scanUsers.
const userColumns = `username, success, failure, pending, logged_out,
		       greatest(success, failure, pending) AS login,
		       if(login = 0 AND logged_out = 0, rest, greatest(login, logged_out)) AS last`

// foldUsersSQL folds events as the view user_latest_view does.
func foldUsersSQL(condition string) string {
	slot := func(name string, keep func(event.Status) bool) string {
		return "maxIf(packed, status IN (" + statusesWhere(keep) + ")) AS " + name
	}
	return `SELECT username, ` + slot("success", loginSuccess) + `, ` + slot("failure", loginFailure) + `,
			       ` + slot("pending", loginPending) + `, ` + slot("logged_out", logoutAttempt) + `,
			       ` + slot("rest", noAttempt) + `
			FROM (
				SELECT username, status, ` + slotSQL + ` AS packed
				FROM events_by_user
				WHERE ` + condition + ` AND occurred_at <= ` + asOfParam + `
			)
			GROUP BY username`
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
		c.add(slotStatusSQL + " IN (" + codeList(f.Statuses) + ")")
	}
	if len(f.Entries) > 0 {
		c.add(slotEntrySQL + " IN (" + codeList(f.Entries) + ")")
	}
	if f.LoggedIn != nil {
		c.add(map[bool]string{true: "sessions > 0", false: "sessions = 0"}[*f.LoggedIn])
	}
	if f.NeverLoggedIn != nil {
		c.add(map[bool]string{true: "success = 0", false: "success != 0"}[*f.NeverLoggedIn])
	}
	if !f.LastLogin.Start.IsZero() {
		c.bind("bitShiftRight(login, 76) >= {login_start:Int64}", "login_start", micros(f.LastLogin.Start))
	}
	if !f.LastLogin.End.IsZero() {
		c.bind("login != 0 AND bitShiftRight(login, 76) < {login_end:Int64}", "login_end", micros(f.LastLogin.End))
	}
	if f.After != nil && sortColumn(f.Sort) != "" {
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
		return column + " = 0 AND username > {after_username:String}"
	default:
		p["after_slot"] = packSlot(*f.After.Event).String()
		return "(" + column + " = 0 OR bitShiftRight(" + column + ", 9) " + sign + " toUInt128({after_slot:String}))"
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
	return " ORDER BY " + column + " = 0 ASC, " + column + direction + ", username ASC"
}

func (db *DB) scanUsers(ctx context.Context, account string, s statement) ([]userRow, error) {
	var found []userRow
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var r userRow
		var success, failure, pending, logout, login, last big.Int
		var ids [4]string
		err := rows.Scan(&r.username, &success, &failure, &pending, &logout, &login, &last, &r.sessions, &ids[0], &ids[1], &ids[2], &ids[3])
		if err != nil {
			return err
		}
		for i, into := range []struct {
			slot *slot
			from *big.Int
		}{{&r.success, &success}, {&r.failure, &failure}, {&r.pending, &pending}, {&r.logout, &logout}} {
			if into.slot.latest = unpackLatest(into.from); into.slot.latest != nil {
				into.slot.id = into.slot.unpackID(ids[i])
			}
		}
		if r.last = unpackLatest(&last); r.last == nil {
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

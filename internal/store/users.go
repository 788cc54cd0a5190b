package store

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// slot is what one slot of user_latest tells: an event, and its id once that is
// known.
type slot struct {
	*latest
	id string
}

// userRow is a row of the users statement.
type userRow struct {
	username                                string
	success, failure, pending, logout, rest slot
	sessions                                uint64
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

// last is what the user's entry and status are those of: the latest attempt, or of
// who has none the latest event.
func (r *userRow) last() slot {
	last := r.login()
	if r.logout.latest != nil && (last.latest == nil || comparePositions(r.logout.position(), last.position()) > 0) {
		last = r.logout
	}
	if last.latest == nil {
		last = r.rest
	}
	return last
}

// hasLater reports whether the user has an event behind asOf.
func (r *userRow) hasLater(asOf time.Time) bool {
	return slices.ContainsFunc([]slot{r.success, r.failure, r.pending, r.logout, r.rest}, func(s slot) bool {
		return s.latest != nil && s.at.After(asOf)
	})
}

func (r *userRow) user() query.User {
	last := r.last()
	return query.User{
		Username:         r.username,
		LastLogin:        r.login().activity(),
		LastLoginSuccess: r.success.activity(),
		LastLoginFailure: r.failure.activity(),
		LastLogout:       r.logout.activity(),
		Entry:            last.entry,
		EntryName:        last.entry.Name(),
		Status:           last.status,
		StatusName:       last.status.Name(),
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

// usersStatement selects users as they are at f.AsOf. later says that some of
// them may have an event behind it, and are folded from their events.
func (db *DB) usersStatement(account string, f query.UserFilter, later bool) statement {
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
	with, from := "", `SELECT username, `+slotColumns+` FROM user_latest FINAL WHERE `+scope.String()
	if later {
		with = `later AS (SELECT DISTINCT username FROM events WHERE ` + scope.String() + ` AND occurred_at > ` + asOfParam + `), `
		from += ` AND username NOT IN (later) UNION ALL ` + foldUsersSQL(scope.String()+" AND username IN (later)")
	}
	scope.params["limit"] = uint64(f.Limit) + 1
	return statement{
		name: "users",
		sql: `WITH ` + with + userColumns + `
		SELECT username, success, failure, pending, logged_out, rest, ` + sessions + `, '', '', '', ''
		FROM (` + from + `) AS latest_of` + join + `
		WHERE username != ''` + filterUsers(f, scope.params) + orderUsers(f) + ` LIMIT {limit:UInt64}`,
		params: scope.params,
	}
}

func (db *DB) usersScope(account string, asOf time.Time) *conditions {
	scope := where(account)
	scope.params["as_of"] = micros(asOf)
	scope.params["opened_from"] = micros(asOf.Add(-db.sessionLimit))
	return scope
}

// slotColumns are the slots of user_latest, in the order of scanUsers.
const slotColumns = `login_success AS success, login_failure AS failure, login_pending AS pending, logout AS logged_out, other AS rest`

// userColumns are what else filters and sorts go by.
const userColumns = `greatest(success, failure, pending) AS login,
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
		var slots [5]big.Int
		var ids [4]string
		err := rows.Scan(&r.username, &slots[0], &slots[1], &slots[2], &slots[3], &slots[4], &r.sessions, &ids[0], &ids[1], &ids[2], &ids[3])
		if err != nil {
			return err
		}
		for i, into := range []*slot{&r.success, &r.failure, &r.pending, &r.logout} {
			if into.latest = unpackLatest(&slots[i]); into.latest != nil {
				into.id = into.unpackID(ids[i])
			}
		}
		if r.rest.latest = unpackLatest(&slots[4]); r.last().latest == nil {
			return fmt.Errorf("user without an event")
		}
		found = append(found, r)
		return nil
	})
	return found, err
}

package store

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Users answers one page of the users of an account.
func (db *DB) Users(ctx context.Context, account string, f query.UserFilter) (query.UserPage, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.UserPage{}, err
	}
	rows, err := db.readUsers(ctx, account, f)
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

// fresh is how old a moment may be at which an account has hardly an event that is
// later.
const fresh = time.Minute

// readUsers reads a page of users and, where there are more, one beyond it. The
// projection knows the present only; whoever has a later event (few, unless
// f.AsOf lies far back) has to be folded from the events instead. That is looked
// up beside the reading, as long as it is unlikely.
func (db *DB) readUsers(ctx context.Context, account string, f query.UserFilter) (rows []userRow, err error) {
	later := true
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		later, err = db.hasLater(gctx, account, f.AsOf)
		return err
	})
	if time.Since(f.AsOf) < fresh {
		g.Go(func() (err error) {
			rows, err = db.scanUsers(gctx, account, db.usersStatement(account, f, false))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if !later && rows != nil {
		return rows, nil
	}
	return db.scanUsers(ctx, account, db.usersStatement(account, f, later))
}

// hasLater reports whether an account has an event behind asOf.
func (db *DB) hasLater(ctx context.Context, account string, asOf time.Time) (bool, error) {
	c := where(account)
	c.bind("occurred_at > "+asOfParam, "as_of", micros(asOf))
	return db.hasRow(ctx, account, "events", c)
}

// User answers one user, with the sessions that are open at asOf. A user
// without an event up to asOf is query.ErrNotFound.
func (db *DB) User(ctx context.Context, account, username string, asOf time.Time) (query.UserDetail, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.UserDetail{}, err
	}
	detail := query.UserDetail{Watermark: mark}
	var rows []userRow
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		rows, err = db.readUser(gctx, account, username, asOf)
		return err
	})
	g.Go(func() (err error) {
		detail.Sessions, err = db.openSessions(gctx, account, username, asOf)
		return err
	})
	if err := g.Wait(); err != nil {
		return query.UserDetail{}, err
	}
	if len(rows) == 0 {
		return query.UserDetail{}, fmt.Errorf("user: %w", query.ErrNotFound)
	}
	rows[0].sessions = uint64(len(detail.Sessions))
	if err := db.findIDs(ctx, account, rows); err != nil {
		return query.UserDetail{}, err
	}
	detail.User = rows[0].user()
	return detail, nil
}

// readUser reads one user at asOf; no row where there is no event up to then.
func (db *DB) readUser(ctx context.Context, account, username string, asOf time.Time) ([]userRow, error) {
	c := where(account)
	c.bind("username = {username:String}", "username", username)
	rows, err := db.scanUsers(ctx, account, statement{
		name: "user",
		sql: `SELECT username, ` + slotColumns + `, toUInt64(0), login_success_id, login_failure_id, login_pending_id, logout_id
			FROM user_latest FINAL WHERE ` + c.String(),
		params: c.params,
	})
	if err != nil || len(rows) == 0 || !rows[0].hasLater(asOf) {
		return rows, err
	}
	c.params["as_of"] = micros(asOf)
	return db.scanUsers(ctx, account, statement{
		name:   "user of the past",
		sql:    `SELECT *, toUInt64(0), '', '', '', '' FROM (` + foldUsersSQL(c.String()) + `) WHERE username != ''`,
		params: c.params,
	})
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

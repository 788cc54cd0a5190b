package oracle

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// userFold is a user with the events that its answer is made of.
type userFold struct {
	query.User
	login, logout *event.Stored
}

// Users lists every user that the filter lets through, whatever its limit.
func (o *Oracle) Users(account string, f query.UserFilter) []query.User {
	byName := make(map[string][]event.Stored)
	for _, e := range o.pick(account, func(e event.Stored) bool { return !e.OccurredAt.After(f.AsOf) }) {
		if e.Username != "" {
			byName[e.Username] = append(byName[e.Username], e)
		}
	}
	var folds []userFold
	for name, events := range byName {
		if fold := o.foldUser(name, events, f.AsOf); wanted(fold, f) {
			folds = append(folds, fold)
		}
	}
	slices.SortFunc(folds, func(a, b userFold) int { return compareUsers(a, b, f) })
	users := []query.User{}
	for _, fold := range folds {
		users = append(users, fold.User)
	}
	return users
}

// User answers one user; false without an event up to asOf.
func (o *Oracle) User(account, username string, asOf time.Time) (query.User, bool) {
	events := o.pick(account, func(e event.Stored) bool {
		return e.Username == username && !e.OccurredAt.After(asOf)
	})
	if len(events) == 0 {
		return query.User{}, false
	}
	return o.foldUser(username, events, asOf).User, true
}

func (o *Oracle) foldUser(name string, events []event.Stored, asOf time.Time) userFold {
	fold := userFold{User: query.User{Username: name}}
	final := events[len(events)-1]
	attempted := false
	for _, e := range events { // in order: what comes later replaces
		switch e.Status.Attempt() {
		case event.AttemptLogin:
			fold.login, fold.LastLogin = &e, activity(e)
			switch e.Status.Outcome() {
			case event.OutcomeSuccess:
				fold.LastLoginSuccess = activity(e)
			case event.OutcomeFailure:
				fold.LastLoginFailure = activity(e)
			}
		case event.AttemptLogout:
			fold.logout, fold.LastLogout = &e, activity(e)
		}
		if e.Status.Attempt() != event.AttemptNone {
			attempted, final = true, e
		} else if !attempted {
			final = e
		}
	}
	fold.Entry, fold.EntryName = final.Entry, final.Entry.Name()
	fold.Status, fold.StatusName = final.Status, final.Status.Name()
	for _, session := range bySession(events) {
		if o.state(session, asOf) == query.StateOpen {
			fold.OpenSessions++
		}
	}
	fold.LoggedIn = fold.OpenSessions > 0
	return fold
}

func activity(e event.Stored) *query.Activity {
	return &query.Activity{At: query.At(e.OccurredAt), EventID: e.ID, Status: e.Status, Outcome: e.Status.Outcome()}
}

func wanted(u userFold, f query.UserFilter) bool {
	never := u.LastLoginSuccess == nil
	switch {
	case f.Text != "" && !query.Holds(u.Username, f.Text),
		!among(f.Statuses, u.Status), !among(f.Entries, u.Entry),
		f.LoggedIn != nil && *f.LoggedIn != u.LoggedIn,
		f.NeverLoggedIn != nil && *f.NeverLoggedIn != never:
		return false
	}
	if f.LastLogin == (query.TimeRange{}) {
		return true
	}
	return u.LastLogin != nil && within(u.LastLogin.At.Time, f.LastLogin)
}

// compareUsers sorts by the filter's column. What is absent comes last in both
// directions, by username.
func compareUsers(a, b userFold, f query.UserFilter) int {
	byName := strings.Compare(a.Username, b.Username)
	x, y := a.login, b.login
	switch f.Sort {
	case query.SortLastLogin:
	case query.SortLastLogout:
		x, y = a.logout, b.logout
	default:
		if f.Descending {
			return -byName
		}
		return byName
	}
	switch {
	case x == nil && y == nil:
		return byName
	case x == nil:
		return 1
	case y == nil:
		return -1
	}
	order := compare(*x, *y)
	if f.Descending {
		order = -order
	}
	return cmp.Or(order, byName)
}

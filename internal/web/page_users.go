package web

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// usersBody is what the template users shows.
type usersBody struct {
	Rows []userRow
	// Columns are those that the list can be sorted by.
	Columns  []column
	Pages    turns
	Filtered bool
}

// turns are the ways to other pages of a list.
type turns struct {
	// First and Next are the first and the next page; "" where this is it, or
	// where there is none.
	First, Next string
	// Word says what Next leads to.
	Word string
}

// column is a column that a list can be sorted by.
type column struct {
	Label string
	// Sort is ascending, descending or none, as aria-sort has it.
	Sort string
	// Href is the list sorted by it or, where it is, the other way round.
	Href string
}

// userRow is a user with the latest activity.
type userRow struct {
	Name, Href            string
	LastLogin, LastLogout *activityView
	Entry                 event.Entry
	Status                event.Status
	LoggedIn              bool
	OpenSessions          int
}

// activityView is one of a user's latest events, and where its details are.
type activityView struct {
	At      moment
	Href    string
	Status  event.Status
	Outcome event.Outcome
}

// usersPage lists the users of the account with their latest activity.
func (p *page) usersPage(w http.ResponseWriter, r *http.Request) error {
	q, err := p.question(r)
	if err != nil {
		return err
	}
	v, a := p.listView(q, "users", links{account: q.account()}.Users(nil), false)
	v.Title, v.Tab = "Users", "users"
	v.Form = a.form(userFields())
	filtered := len(v.Form.Chips) > 0
	body := usersBody{Columns: userColumns(a), Filtered: filtered}
	v.Body = &body
	shownBy(r).view = v

	filter, cursors, err := query.ParseUsers(a.asked, q.asked)
	if err != nil {
		return err
	}
	answer, err := p.store.Users(r.Context(), q.account(), filter)
	if err != nil {
		return fmt.Errorf("list users: %w", err)
	}
	for _, u := range answer.Users {
		body.Rows = append(body.Rows, v.userRow(u))
	}
	body.Pages = turns{a.first(q), a.next(cursors.User(answer.Next)), "Next page"}
	v.Freshness = v.Clock.freshness(answer.Watermark)
	p.render(w, r, http.StatusOK, v)
	return nil
}

// listView starts the view of a list: what all lists have in common.
func (p *page) listView(q question, template, path string, ranged bool) (*view, listAddress) {
	zone := zoneOf(q.values)
	a := newListAddress(pathOf(path), q.values, ranged)
	return &view{
		Template: template, Account: q.account(),
		Links: links{account: q.account(), zone: zone.String()},
		Clock: clock{now: q.asked.Now, zone: zone},
	}, a
}

// first is the first page of the list; "" where this is it.
func (a listAddress) first(q question) string {
	if !q.values.Has("cursor") {
		return ""
	}
	return a.href(a.base)
}

func userFields() (fields, more []field, keep string) {
	return []field{
			{Name: "q", Label: "Username contains", Kind: textField, Wide: true},
			statusField(), entryField(), yesNoField("logged_in", "Logged in"),
			{Name: "last_login_after", Label: "Last log-in from", Kind: timeField, Suggestions: suggestedTimes()},
			{Name: "last_login_before", Label: "Last log-in to", Kind: timeField, Suggestions: suggestedTimes()},
		}, []field{
			yesNoField("never_logged_in", "Never logged in"), asOfField(), zoneField(), limitField(),
		}, "sort"
}

func userColumns(a listAddress) []column {
	current := a.asked.Get("sort")
	if current == "" {
		current = string(query.SortUsername)
	}
	return []column{
		a.column("Username", "sort", current, "username", "-username"),
		a.column("Last log-in attempt", "sort", current, "-last_login", "last_login"),
		a.column("Last log-out attempt", "sort", current, "-last_logout", "last_logout"),
	}
}

// column makes the link that sorts by a column: parameter becomes first or,
// where that is current, second.
func (a listAddress) column(label, parameter, current, first, second string) column {
	c := column{Label: label, Sort: "none", Href: a.href(with(a.base, parameter, first))}
	switch {
	case current != first && current != second:
	case strings.HasPrefix(current, "-") || current == string(query.Descending):
		c.Sort = "descending"
	default:
		c.Sort = "ascending"
	}
	if current == first {
		c.Href = a.href(with(a.base, parameter, second))
	}
	return c
}

func (v *view) userRow(u query.User) userRow {
	return userRow{
		Name: u.Username, Href: v.Links.User(u.Username, nil),
		LastLogin: v.activity(u.LastLogin), LastLogout: v.activity(u.LastLogout),
		Entry: u.Entry, Status: u.Status, LoggedIn: u.LoggedIn, OpenSessions: u.OpenSessions,
	}
}

func (v *view) activity(a *query.Activity) *activityView {
	if a == nil {
		return nil
	}
	return &activityView{At: v.Clock.at(a.At), Href: v.Links.Event(a.EventID), Status: a.Status, Outcome: a.Outcome}
}

package web

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// historyBody is what the templates history and events show.
type historyBody struct {
	// User is whose history it is; nil for all of the account.
	User *userView
	// EventsView tells that the rows are Events, else Attempts. Switch is the
	// same question about the other.
	EventsView bool
	Switch     string
	Attempts   []attemptRow
	Events     []eventRow
	Time       column
	Newest     bool
	// Range is what Start and End came to.
	Range rangeView
	// Default tells that nobody asked for this range.
	Default  bool
	Pages    turns
	Filtered bool
}

// Empty reports whether there are no rows.
func (b *historyBody) Empty() bool { return len(b.Attempts)+len(b.Events) == 0 }

func (b *historyBody) nextWord() string {
	if b.Newest {
		return "Older"
	}
	return "Newer"
}

// rangeView is a half-open range; nil is no bound.
type rangeView struct{ Start, End *moment }

// userView is the latest state of a user.
type userView struct {
	userRow
	LastSuccess, LastFailure *activityView
	Sessions                 []sessionRow
	AsOf                     *moment
}

type sessionRow struct {
	ID     *string
	Opened *moment
	Status event.Status
	IP     *string
	Agent  *string
}

// attemptRow is a row of the log-in history.
type attemptRow struct {
	// Href is the details of the latest of its events.
	Href                 string
	SessionID, IP, Agent *string
	IPHref               string
	Started              moment
	LogIn, LogOut        *moment
	// Lasted is the time from log-in to log-out, in words.
	Lasted  string
	Entry   event.Entry
	Status  event.Status
	Outcome event.Outcome
	State   query.State
	Events  int
}

// eventRow is an event in a list.
type eventRow struct {
	query.Event
	Href, UserHref, IPHref string
	At                     moment
	// Current marks the event that a page is about.
	Current bool
}

// eventInTable is an event in a table; in the user's Own it needs no username.
type eventInTable struct {
	eventRow
	Own bool
}

// In puts the event into the table of a user, or into one of many users.
func (e eventRow) In(u *userView) eventInTable { return eventInTable{e, u != nil} }

// historyPage shows the log-in history of one user, or with view=events its
// single events.
func (p *page) historyPage(w http.ResponseWriter, r *http.Request) error {
	name, err := nameOrQuery(r, "username", "name")
	if err != nil {
		return err
	}
	q, err := p.question(r)
	if err != nil {
		return err
	}
	q.asked.Username = &name
	v, a := p.listView(q, "history", links{account: q.account()}.User(name, nil), true)
	v.Title, v.Tab = plain(name), "users"
	body := &historyBody{EventsView: q.values.Get("view") == "events"}
	v.Body = body
	if body.EventsView {
		v.Form = a.form(eventFields(true))
	} else {
		v.Form = a.form(attemptFields())
	}
	body.describe(a, v)
	shownBy(r).view = v

	err = p.answerHistory(r, q, a, v)
	if errors.Is(err, query.ErrNotFound) {
		shownBy(r).view = nil
		return notFound.because("no event of this account has the username " + plain(name))
	}
	if err != nil {
		return err
	}
	p.render(w, r, http.StatusOK, v)
	return nil
}

// describe fills in what follows from the address alone.
func (b *historyBody) describe(a listAddress, v *view) {
	b.Filtered = len(v.Form.Chips) > 0
	b.Default = !a.base.Has("start")
	order := query.Order(a.asked.Get("order"))
	if order == "" {
		order = query.Descending
	}
	b.Newest = order == query.Descending
	other, label := "events", "Started"
	if b.EventsView {
		other, label = "", "Time"
	}
	b.Time = a.column(label, "order", string(order), string(query.Descending), string(query.Ascending))
	b.Switch = a.href(with(a.only("name", "start", "end", "tz", "status", "entry", "outcome", "ip", "limit", "order"), "view", other))
}

// answerHistory asks for the user and the rows. The user is told also where
// the parameters are wrong.
func (p *page) answerHistory(r *http.Request, q question, a listAddress, v *view) error {
	body, _ := v.Body.(*historyBody)
	ask, asOf, wrong := p.rows(r, q, a, v)
	detail, err := p.store.User(r.Context(), q.account(), *q.asked.Username, asOf)
	if err != nil {
		return fmt.Errorf("show user: %w", err)
	}
	body.User = v.userView(detail)
	if a.asked.Has("as_of") {
		body.User.AsOf = v.Clock.maybe(new(query.At(asOf)))
	}
	if wrong != nil {
		return wrong
	}
	return ask()
}

// rows reads the parameters; what it returns asks for the rows.
func (p *page) rows(r *http.Request, q question, a listAddress, v *view) (ask func() error, asOf time.Time, err error) {
	if view := q.values.Get("view"); view != "" && view != "events" {
		return nil, q.asked.Now, &query.InvalidError{Errors: []query.ParameterError{{
			Parameter: "view", Detail: "is unknown", Allowed: "events, or absent for attempts",
		}}}
	}
	body, _ := v.Body.(*historyBody)
	if body.EventsView {
		filter, cursors, err := query.ParseEvents(a.asked, q.asked)
		return func() error { return p.askEvents(r, q, v, events{filter, cursors, a}) }, q.asked.Now, err
	}
	filter, cursors, err := query.ParseAttempts(a.asked, q.asked)
	if err != nil {
		return nil, q.asked.Now, err
	}
	return func() error { return p.askAttempts(r, q, v, attempts{filter, cursors, a}) }, filter.AsOf, nil
}

// attempts and events are questions for rows, read.
type attempts struct {
	filter  query.AttemptFilter
	cursors query.Cursors
	address listAddress
}

type events struct {
	filter  query.EventFilter
	cursors query.Cursors
	address listAddress
}

func (p *page) askAttempts(r *http.Request, q question, v *view, ask attempts) error {
	body, _ := v.Body.(*historyBody)
	body.Range = v.rangeView(ask.filter.Range)
	answer, err := p.store.Attempts(r.Context(), q.account(), ask.filter)
	if err != nil {
		return fmt.Errorf("list attempts: %w", err)
	}
	for _, attempt := range answer.Attempts {
		row := v.attemptRow(attempt)
		row.IPHref = ask.address.filtered("ip", row.IP)
		body.Attempts = append(body.Attempts, row)
	}
	body.Pages = turns{ask.address.first(q), ask.address.next(ask.cursors.Attempt(answer.Next)), body.nextWord()}
	v.Freshness = v.Clock.freshness(answer.Watermark)
	return nil
}

func (p *page) askEvents(r *http.Request, q question, v *view, ask events) error {
	body, _ := v.Body.(*historyBody)
	body.Range = v.rangeView(ask.filter.Range)
	answer, err := p.store.Events(r.Context(), q.account(), ask.filter)
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	for _, e := range answer.Events {
		row := v.eventRow(e)
		row.IPHref = ask.address.filtered("ip", row.IP)
		body.Events = append(body.Events, row)
	}
	body.Pages = turns{ask.address.first(q), ask.address.next(ask.cursors.Event(answer.Next)), body.nextWord()}
	v.Freshness = v.Clock.freshness(answer.Watermark)
	return nil
}

// eventsPage shows the events of the account.
func (p *page) eventsPage(w http.ResponseWriter, r *http.Request) error {
	q, err := p.question(r)
	if err != nil {
		return err
	}
	v, a := p.listView(q, "events", links{account: q.account()}.Events(nil), true)
	v.Title, v.Tab = "Events", "events"
	v.Form = a.form(eventFields(false))
	body := &historyBody{EventsView: true}
	v.Body = body
	body.describe(a, v)
	shownBy(r).view = v

	filter, cursors, err := query.ParseEvents(a.asked, q.asked)
	if err != nil {
		return err
	}
	if err := p.askEvents(r, q, v, events{filter, cursors, a}); err != nil {
		return err
	}
	p.render(w, r, http.StatusOK, v)
	return nil
}

// filtered is the list with one more filter.
func (a listAddress) filtered(name string, value *string) string {
	if value == nil {
		return ""
	}
	return a.href(with(a.base, name, *value))
}

func attemptFields() (fields, more []field, keep string) {
	return []field{
			startField(), endField(), statusField(), entryField(), outcomeField(),
			{Name: "state", Label: "Session", Kind: manyField, Options: choices(query.States()...)}, ipField(),
		}, []field{
			asOfField(), zoneField(), limitField(),
		}, "order"
}

func eventFields(ofUser bool) (fields, more []field, keep string) {
	fields = []field{
		startField(), endField(), statusField(), entryField(), outcomeField(),
		{Name: "kind", Label: "Kind", Kind: manyField, Options: choices(event.Kinds()...)}, ipField(),
	}
	text := field{Name: "q", Label: "Text", Kind: textField, Placeholder: "in username, reason, client"}
	more = []field{
		{Name: "session_id", Label: "Session id", Kind: textField},
		{Name: "service", Label: "Service", Kind: textField},
		{Name: "mfa_method", Label: "MFA method", Kind: selectField, Options: append([]option{{Label: "any"}}, choices(event.MFAMethods()...)...)},
		zoneField(), limitField(),
	}
	if !ofUser {
		fields = append(fields, text)
		more = append([]field{
			{Name: "username", Label: "Username, exactly", Kind: textField},
			{Name: "unnamed", Label: "Only events without a username", Kind: checkField},
		}, more...)
	} else {
		text.Placeholder = "in reason, client"
		fields = append(fields, text)
	}
	return fields, more, "order"
}

func (v *view) rangeView(r query.TimeRange) (shown rangeView) {
	if !r.Start.IsZero() {
		shown.Start = v.Clock.maybe(new(query.At(r.Start)))
	}
	if !r.End.IsZero() {
		shown.End = v.Clock.maybe(new(query.At(r.End)))
	}
	return shown
}

func (v *view) userView(d query.UserDetail) *userView {
	u := &userView{userRow: v.userRow(d.User), LastSuccess: v.activity(d.LastLoginSuccess), LastFailure: v.activity(d.LastLoginFailure)}
	for _, s := range d.Sessions {
		u.Sessions = append(u.Sessions, sessionRow{s.SessionID, v.Clock.maybe(s.OpenedAt), s.Status, s.IP, s.UserAgent})
	}
	return u
}

func (v *view) attemptRow(a query.Attempt) attemptRow {
	row := attemptRow{
		SessionID: a.SessionID, IP: a.IP, Agent: a.UserAgent, Started: v.Clock.at(a.StartedAt),
		LogIn: v.Clock.maybe(a.LoginAt), LogOut: v.Clock.maybe(a.LogoutAt),
		Entry: a.Entry, Status: a.Status, Outcome: a.Outcome, State: a.State, Events: a.Events,
	}
	if n := len(a.EventIDs); n > 0 {
		row.Href = v.Links.Event(a.EventIDs[n-1])
	}
	if a.LoginAt != nil && a.LogoutAt != nil && !a.LogoutAt.Before(a.LoginAt.Time) {
		row.Lasted = inWords(a.LogoutAt.Sub(a.LoginAt.Time))
	}
	return row
}

func (v *view) eventRow(e query.Event) eventRow {
	row := eventRow{Event: e, Href: v.Links.Version(e), At: v.Clock.at(e.OccurredAt)}
	if e.Username != "" {
		row.UserHref = v.Links.User(e.Username, nil)
	}
	return row
}

// pathOf is an address without its parameters.
func pathOf(href string) string {
	path, _, _ := strings.Cut(href, "?")
	return path
}

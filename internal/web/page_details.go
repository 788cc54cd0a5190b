package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// detailsBody is what the template details shows.
type detailsBody struct {
	eventRow
	// Did is what the user did, Why the status where it adds to that.
	Did      string
	Why      bool
	Received moment
	Ingested moment
	// Delay is the time from the event to its arrival in the store.
	Delay string
	Hash  string
	// Pretty is the message laid out, Raw its exact bytes.
	Pretty, Raw string
	Attributes  []pair
	// Unknown are the members that the contract does not name.
	Unknown []pair
	// Versions are events with the id, VersionsTotal how many there are; more
	// than one is a conflict. AllEvents is the list of events that leads to all.
	Versions      []versionView
	VersionsTotal int
	AllEvents     string
	Attempt       attemptRow
	Steps         []eventRow
	// Neighbours are other events of the user or the address around the time.
	Neighbours []eventRow
	// User is the state of the user now; nil where it has no name.
	User *userView
	// The same user, session and address in the list of events.
	SameUser, SameSession, SameIP, SameDevice, JSON string
}

// versionView is one of several events with the same id.
type versionView struct {
	eventRow
	Hash, Pretty string
}

// detailsPage shows everything about the events of one id.
func (p *page) detailsPage(w http.ResponseWriter, r *http.Request) error {
	id, err := nameOrQuery(r, "id", "id")
	if err != nil {
		return err
	}
	q, err := p.question(r)
	if err != nil {
		return err
	}
	ask, err := eventQuestion(q, id)
	if err != nil {
		return err
	}
	details, err := p.store.Event(r.Context(), q.account(), ask)
	if errors.Is(err, query.ErrNotFound) {
		return notFound.because("no event of this account has the id " + plain(id))
	}
	if err != nil {
		return fmt.Errorf("show event: %w", err)
	}
	v, _ := p.listView(q, "details", "", false)
	v.Title = "Event " + plain(id)
	v.Freshness = v.Clock.freshness(details.Watermark)
	body := v.details(details)
	if name := details.Event.Username; name != "" {
		user, err := p.store.User(r.Context(), q.account(), name, q.asked.Now)
		switch {
		case err == nil:
			body.User = v.userView(user)
		case !errors.Is(err, query.ErrNotFound): // an event from the next minutes is not there yet
			return fmt.Errorf("show user: %w", err)
		}
	}
	v.Body = body
	p.render(w, r, http.StatusOK, v)
	return nil
}

// eventQuestion reads what the API reads, and the time zone of the page.
func eventQuestion(q question, id string) (query.EventQuestion, error) {
	rest := with(q.values, "tz", "")
	if isDots(id) {
		rest.Del("id")
	}
	if _, err := query.ParseUser(query.WithoutBlank(url.Values{"tz": q.values["tz"]}), q.asked); err != nil {
		return query.EventQuestion{}, err
	}
	return query.ParseEvent(query.WithoutBlank(rest), id, q.asked)
}

// eventTable is a table of events with the id of its heading.
type eventTable struct {
	ID   string
	Rows []eventRow
}

// Table is rows under the heading id.
func (*detailsBody) Table(id string, rows []eventRow) eventTable { return eventTable{id, rows} }

func (v *view) details(d query.EventDetails) *detailsBody {
	e := d.Event
	b := &detailsBody{
		eventRow: v.eventRow(e.Event), Received: v.Clock.at(e.ReceivedAt), Ingested: v.Clock.at(e.IngestedAt),
		Hash: e.Hash.String(), Raw: e.Raw, Pretty: pretty(e.Raw), Unknown: unknownMembers(e.Raw),
		Attempt: v.attemptRow(d.Attempt), VersionsTotal: d.VersionsTotal, AllEvents: v.Links.Events(url.Values{"start": {""}}),
	}
	b.Did, b.Why = did(e.Status)
	if delay := e.IngestedAt.Sub(e.OccurredAt.Time); delay >= 0 {
		b.Delay = inWords(delay)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		b.Attributes = append(b.Attributes, pair{name, e.Attributes[name]})
	}
	for _, version := range d.Versions {
		b.Versions = append(b.Versions, versionView{v.eventRow(version.Event), version.Hash.String(), pretty(version.Raw)})
	}
	for _, step := range d.AttemptEvents {
		row := v.eventRow(step)
		row.Current = step.Hash == e.Hash
		b.Steps = append(b.Steps, row)
	}
	for _, n := range d.Neighbours {
		b.Neighbours = append(b.Neighbours, v.eventRow(n))
	}
	v.related(b, d)
	return b
}

// related makes the ways on from an event.
func (v *view) related(b *detailsBody, d query.EventDetails) {
	e := d.Event
	around := func(name, value string) string {
		const day = 24 * time.Hour
		return v.Links.Events(url.Values{
			name: {value}, "start": {query.At(e.OccurredAt.Add(-day)).String()}, "end": {query.At(e.OccurredAt.Add(day)).String()},
		})
	}
	if e.Username != "" {
		b.SameUser = around("username", e.Username)
	} else {
		b.SameUser = around("unnamed", "true")
	}
	if e.IP != nil {
		b.SameIP = around("ip", *e.IP)
	}
	if e.SessionID != nil {
		b.SameSession = v.Links.Events(url.Values{
			"session_id": {*e.SessionID}, "username": {e.Username}, "start": {d.Attempt.StartedAt.String()},
		})
	}
	b.JSON = "/api/v1/accounts/" + url.PathEscape(v.Account) + "/events/" + url.PathEscape(e.ID)
	if isDots(e.ID) {
		b.JSON = "" // a browser cannot ask for it
	}
}

// did says in words what a status means for the user, and whether its name
// says more.
func did(s event.Status) (what string, why bool) {
	switch {
	case s == 2:
		return "logged out", false
	case s.Attempt() == event.AttemptLogout:
		return "was logged out", true
	case s.Attempt() == event.AttemptLogin && s.Session() == event.SessionCloses:
		return "was refused, which ends the session", true
	case s.Attempt() == event.AttemptLogin && s.Outcome() == event.OutcomeSuccess:
		return "logged in", false
	case s.Attempt() == event.AttemptLogin && s.Outcome() == event.OutcomePending:
		return "was asked for a second factor", true
	case s.Attempt() == event.AttemptLogin:
		return "could not log in", true
	case s == 15:
		return "reset the password", false
	case s.Kind() == event.KindReset:
		return "could not reset the password", true
	default:
		return "changed how the second factor is used", true
	}
}

// pretty lays a message out. Its texts stay as they were sent.
func pretty(raw string) string {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(raw), "", "  "); err != nil {
		return raw // no event's message is anything but JSON
	}
	return b.String()
}

// unknownMembers lists the members of a message that the contract does not name.
func unknownMembers(raw string) []pair {
	e, _, err := event.Decode([]byte(raw))
	if err != nil {
		return nil
	}
	var members []pair
	for _, name := range slices.Sorted(maps.Keys(e.Unknown)) {
		members = append(members, pair{name, strings.TrimSpace(string(e.Unknown[name]))})
	}
	return members
}

package query

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The Parse functions read the parameters of contract §4. A parameter that is
// wrong is told, together with all others that are, in an [*InvalidError];
// they return no other error. What is returned beside an error is of no use.

// ParseUsers reads the parameters of GET /users.
func ParseUsers(v url.Values, a Asked) (UserFilter, Cursors, error) {
	in := open(usersRoute, v, a)
	f := UserFilter{
		AsOf:          in.asOf(),
		Text:          in.text("q"),
		Statuses:      statuses(in),
		Entries:       entries(in),
		LoggedIn:      in.yesNo("logged_in"),
		LastLogin:     in.timeRange("last_login_after", "last_login_before"),
		NeverLoggedIn: in.yesNo("never_logged_in"),
		Limit:         in.limit(),
	}
	sort := choice(in, "sort", userSorts(), string(SortUsername))
	f.Sort, f.Descending = UserSort(strings.TrimPrefix(sort, "-")), strings.HasPrefix(sort, "-")
	f.After = after(in, decodeUserPosition)
	return f, in.cursors(), in.err()
}

// ParseUser reads the parameters of GET /users/{username}: the moment of the
// answer.
func ParseUser(v url.Values, a Asked) (asOf time.Time, err error) {
	in := open(userRoute, v, a)
	asOf = in.asOf()
	return asOf, in.err()
}

// ParseAttempts reads the parameters of GET /users/{username}/attempts; the
// username is that of a.
func ParseAttempts(v url.Values, a Asked) (AttemptFilter, Cursors, error) {
	in := open(attemptsRoute, v, a)
	f := AttemptFilter{
		AsOf:     in.asOf(),
		Range:    in.timeRange("start", "end"),
		Statuses: statuses(in),
		Entries:  entries(in),
		Outcomes: outcomes(in),
		States:   many(in, "state", States()),
		IP:       in.prefix("ip"),
		Order:    choice(in, "order", orders(), Descending),
		Limit:    in.limit(),
		After:    after(in, decodeAttemptPosition),
	}
	if a.Username != nil {
		f.Username = *a.Username
	}
	return f, in.cursors(), in.err()
}

// ParseEvents reads the parameters of GET /events and, where a names a user,
// of GET /users/{username}/events, which takes no username of its own.
func ParseEvents(v url.Values, a Asked) (EventFilter, Cursors, error) {
	r := eventsRoute
	if a.Username != nil {
		r = userEventsRoute
	}
	in := open(r, v, a)
	f := in.events()
	f.Order = choice(in, "order", orders(), Descending)
	f.Limit = in.limit()
	f.After = after(in, decodeEventPosition)
	if a.Username != nil {
		f.Username = a.Username
	}
	return f, in.cursors(), in.err()
}

// events reads which events are meant: the same parameters wherever events are
// listed, counted, exported or followed.
func (in *input) events() EventFilter {
	return EventFilter{
		Range:     in.timeRange("start", "end"),
		Statuses:  statuses(in),
		Entries:   entries(in),
		Kinds:     kinds(in),
		Outcomes:  outcomes(in),
		Username:  in.exact("username"),
		SessionID: in.exact("session_id"),
		Service:   in.exact("service"),
		MFAMethod: in.method("mfa_method"),
		IP:        in.prefix("ip"),
		Text:      in.text("q"),
	}
}

// ParseHistogram reads the parameters of GET /histogram.
func ParseHistogram(v url.Values, a Asked) (HistogramQuestion, error) {
	in := open(histogramRoute, v, a)
	q := HistogramQuestion{
		Filter: in.events(), Interval: choice(in, "interval", Intervals(), ""),
		Zone: in.clock.zone, Now: in.clock.now,
	}
	if q.Filter.Range.End.IsZero() {
		in.moves()
	}
	return q, in.err()
}

// ParseFacets reads the parameters of GET /facets.
func ParseFacets(v url.Values, a Asked) (FacetsQuestion, error) {
	in := open(facetsRoute, v, a)
	q := FacetsQuestion{Filter: in.events(), Fields: many(in, "fields", Facets()), Top: in.number("top", DefaultTop, MaxTop)}
	if len(q.Fields) == 0 {
		q.Fields = Facets()
	}
	return q, in.err()
}

// ParseEvent reads the parameters of GET /events/{id}; the id is the path's.
func ParseEvent(v url.Values, id string, a Asked) (EventQuestion, error) {
	in := open(eventRoute, v, a)
	q := EventQuestion{ID: id, Now: a.Now}
	in.moves() // the state of its attempt
	if value, ok := in.one("stream_seq"); ok {
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || n == 0 {
			in.fail("stream_seq", shown(value)+" is not a sequence of the stream")
		}
		q.StreamSeq = n
	}
	return q, in.err()
}

// ParseNone refuses every parameter: for questions that take none.
func ParseNone(v url.Values) error {
	return open(noParameters, v, Asked{}).err()
}

// WithoutBlank is v without the values that are empty. A form sends every
// field, also those that nobody filled in; a program that sends an empty
// value means it.
func WithoutBlank(v url.Values) url.Values {
	kept := make(url.Values, len(v))
	for name, values := range v {
		for _, value := range values {
			if value != "" {
				kept.Add(name, value)
			}
		}
	}
	return kept
}

package client

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// Moment is a time as the API takes it: RFC 3339 ("2026-11-01T09:30:00Z"), a date
// ("2026-11-01": the whole of that day, as an end too) or a time without offset
// ("2026-11-01T09:30"), both in the zone of the filter, "now", or back from now
// ("-90s", "-30m", "-24h", "-7d", "-2w"). Empty is none.
type Moment string

// At is a moment as an exact time, to the microsecond.
func At(t time.Time) Moment { return Moment(Time{t}.String()) }

// Order is the direction of a list by time.
type Order string

// The directions; Descending, newest first, is the default.
const (
	Descending Order = "desc"
	Ascending  Order = "asc"
)

// EventFilter says which events are meant. The zero value means all of them;
// several values of one field mean any of them.
type EventFilter struct {
	// Start is in the range, End is not; a date means all of its day.
	Start, End Moment
	// TZ is the IANA zone of dates and of times without offset; empty: UTC.
	TZ       string
	Statuses []event.Status
	Entries  []event.Entry
	Kinds    []event.Kind
	Outcomes []event.Outcome
	// Username, SessionID, Service and MFAMethod match exactly; nil does not
	// filter, and empty finds the events without: new("ann") is one user,
	// new("") those whom nobody recognised.
	Username, SessionID, Service *string
	MFAMethod                    *event.MFAMethod
	// IP is an address, or a range such as 192.0.2.0/24.
	IP string
	// Text stands somewhere in the username, the reason or the user agent,
	// whatever the case.
	Text string
	// Order is the direction of lists and exports.
	Order Order
}

func (f EventFilter) values() url.Values {
	v := url.Values{}
	add(v, "start", f.Start)
	add(v, "end", f.End)
	add(v, "tz", f.TZ)
	addCodes(v, "status", f.Statuses)
	addCodes(v, "entry", f.Entries)
	add(v, "kind", f.Kinds...)
	add(v, "outcome", f.Outcomes...)
	addExact(v, "username", f.Username)
	addExact(v, "session_id", f.SessionID)
	addExact(v, "service", f.Service)
	addExact(v, "mfa_method", f.MFAMethod)
	add(v, "ip", f.IP)
	add(v, "q", f.Text)
	add(v, "order", f.Order)
	return v
}

// UserSort is the order of users; - in front is descending. What is absent comes
// last in both directions.
type UserSort string

// The sorts of users; SortUsername, by bytes, is the default.
const (
	SortUsername           UserSort = "username"
	SortUsernameDescending UserSort = "-username"
	SortOldestLogin        UserSort = "last_login"
	SortLatestLogin        UserSort = "-last_login"
	SortOldestLogout       UserSort = "last_logout"
	SortLatestLogout       UserSort = "-last_logout"
)

// UserFilter says which users are meant, and when. The zero value means all of
// them, now.
type UserFilter struct {
	// Text stands somewhere in the username, whatever the case.
	Text     string
	Statuses []event.Status
	Entries  []event.Entry
	// LoggedIn and NeverLoggedIn (without a successful log-in) do not filter when
	// nil: new(true), new(false).
	LoggedIn, NeverLoggedIn *bool
	// LastLoginAfter is in the range, LastLoginBefore is not.
	LastLoginAfter, LastLoginBefore Moment
	Sort                            UserSort
	// AsOf is the moment of the answer: later events do not exist in it.
	AsOf Moment
	TZ   string
}

func (f UserFilter) values() url.Values {
	v := url.Values{}
	add(v, "q", f.Text)
	addCodes(v, "status", f.Statuses)
	addCodes(v, "entry", f.Entries)
	addBool(v, "logged_in", f.LoggedIn)
	addBool(v, "never_logged_in", f.NeverLoggedIn)
	add(v, "last_login_after", f.LastLoginAfter)
	add(v, "last_login_before", f.LastLoginBefore)
	add(v, "sort", f.Sort)
	add(v, "as_of", f.AsOf)
	add(v, "tz", f.TZ)
	return v
}

// MomentFilter says when: as of which moment. The zero value is now.
type MomentFilter struct {
	AsOf Moment
	TZ   string
}

func (f MomentFilter) values() url.Values {
	v := url.Values{}
	add(v, "as_of", f.AsOf)
	add(v, "tz", f.TZ)
	return v
}

// AttemptFilter says which rows of the log-in history are meant. The zero value
// means all of them, now.
type AttemptFilter struct {
	// Start and End are about the attempt's start.
	Start, End Moment
	TZ         string
	Statuses   []event.Status
	Entries    []event.Entry
	Outcomes   []event.Outcome
	States     []State
	// IP is an address, or a range such as 192.0.2.0/24.
	IP string
	// AsOf is the moment of the answer: later events do not exist in it.
	AsOf  Moment
	Order Order
}

func (f AttemptFilter) values() url.Values {
	v := url.Values{}
	add(v, "start", f.Start)
	add(v, "end", f.End)
	add(v, "tz", f.TZ)
	addCodes(v, "status", f.Statuses)
	addCodes(v, "entry", f.Entries)
	add(v, "outcome", f.Outcomes...)
	add(v, "state", f.States...)
	add(v, "ip", f.IP)
	add(v, "as_of", f.AsOf)
	add(v, "order", f.Order)
	return v
}

// SessionFilter says which sessions are meant. The zero value means all of them,
// now.
type SessionFilter struct {
	// Start and End are about the latest opening.
	Start, End Moment
	TZ         string
	States     []State
	// At asks who was logged in at that moment; with States, what was in these
	// states then. It excludes AsOf.
	At Moment
	// AsOf is the moment of the answer: later events do not exist in it.
	AsOf Moment
	// Username matches exactly; nil does not filter.
	Username *string
	Order    Order
}

func (f SessionFilter) values() url.Values {
	v := url.Values{}
	add(v, "start", f.Start)
	add(v, "end", f.End)
	add(v, "tz", f.TZ)
	add(v, "state", f.States...)
	add(v, "at", f.At)
	add(v, "as_of", f.AsOf)
	addExact(v, "username", f.Username)
	add(v, "order", f.Order)
	return v
}

// HistogramFilter is the events to count, and how long a bar is.
type HistogramFilter struct {
	EventFilter
	// Interval is 1s, 10s, 1m, 5m, 15m, 30m, 1h, 3h, 6h, 12h, 1d, 1w, 1mo, 3mo or
	// 1y; empty has the server choose, for about 60 bars.
	Interval string
}

// FacetFilter is the events to count, and by which fields.
type FacetFilter struct {
	EventFilter
	// Fields are status, entry, kind, outcome, username, ip, service, mfa_method,
	// user_agent; empty: all.
	Fields []string
	// Top is how many values of each field are told, 1 to 100; 0: 10.
	Top int
}

// Page says which page of a list is meant. The zero value is the first 100 rows.
type Page struct {
	// Limit is the most rows of the page, 1 to 1,000; 0: 100. It may differ from
	// page to page.
	Limit int
	// Cursor is the NextCursor of the page before, of the same question.
	Cursor string
}

func (p Page) add(v url.Values) url.Values {
	if p.Limit != 0 {
		v.Set("limit", strconv.Itoa(p.Limit))
	}
	add(v, "cursor", p.Cursor)
	return v
}

func add[T ~string](v url.Values, name string, texts ...T) {
	for _, text := range texts {
		if text != "" {
			v.Add(name, string(text))
		}
	}
}

func addCodes[T ~uint8](v url.Values, name string, codes []T) {
	for _, code := range codes {
		v.Add(name, strconv.Itoa(int(code)))
	}
}

func addExact[T ~string](v url.Values, name string, text *T) {
	if text != nil {
		v.Set(name, string(*text))
	}
}

func addBool(v url.Values, name string, b *bool) {
	if b != nil {
		v.Set(name, fmt.Sprint(*b))
	}
}

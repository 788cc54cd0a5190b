package query

import (
	"fmt"
	"slices"
	"strings"

	"github.com/loginaudit/loginaudit/event"
)

// route is a question: its name and the parameters that it takes, in the
// order in which they are told.
type route struct {
	name  string
	names []string
}

func (r route) takes(name string) bool { return slices.Contains(r.names, name) }

func (r route) allowed() string {
	if len(r.names) == 0 {
		return "no parameters"
	}
	return strings.Join(r.names, ", ")
}

// eventParameters say which events are meant.
var eventParameters = []string{
	"start", "end", "tz", "status", "entry", "kind", "outcome", "username", "ip",
	"session_id", "service", "mfa_method", "q",
}

// The questions of the contract, §4.
var (
	usersRoute = route{"users", []string{
		"q", "status", "entry", "logged_in", "last_login_after", "last_login_before",
		"never_logged_in", "sort", "as_of", "tz", "limit", "cursor",
	}}
	userRoute     = route{"user", []string{"as_of", "tz"}}
	attemptsRoute = route{"attempts", []string{
		"start", "end", "tz", "status", "entry", "outcome", "state", "ip", "as_of",
		"limit", "cursor", "order",
	}}
	eventsRoute     = route{"events", slices.Concat(eventParameters, []string{"limit", "cursor", "order"})}
	userEventsRoute = route{"user events", []string{
		"start", "end", "tz", "status", "entry", "kind", "outcome", "ip",
		"session_id", "service", "mfa_method", "q", "limit", "cursor", "order",
	}}
	histogramRoute = route{"histogram", slices.Concat(eventParameters, []string{"interval"})}
	facetsRoute    = route{"facets", slices.Concat(eventParameters, []string{"fields", "top"})}
	exportRoute    = route{"export", slices.Concat(eventParameters, []string{"format", "order"})}
	eventRoute     = route{"event", []string{"stream_seq"}}
	sessionsRoute  = route{"sessions", []string{
		"state", "at", "as_of", "username", "start", "end", "tz", "limit", "cursor", "order",
	}}
	noParameters = route{name: "no parameters"}
)

// parameter is what is common to a parameter wherever it is taken.
type parameter struct {
	many    bool
	allowed string
}

// parameters is every parameter of the contract.
var parameters = map[string]parameter{
	"stream_seq":        {allowed: "the stream_seq of a version of the event"},
	"start":             {allowed: allowedTime},
	"end":               {allowed: allowedTime},
	"as_of":             {allowed: allowedTime},
	"at":                {allowed: allowedTime},
	"last_login_after":  {allowed: allowedTime},
	"last_login_before": {allowed: allowedTime},
	"tz":                {allowed: "a time zone of the IANA database, such as UTC or Europe/Berlin"},
	"status":            {many: true, allowed: "a status code of /api/v1/codes: " + list(event.Statuses())},
	"entry":             {many: true, allowed: "an entry code of /api/v1/codes: " + list(event.Entries())},
	"kind":              {many: true, allowed: list(event.Kinds())},
	"outcome":           {many: true, allowed: list(event.Outcomes())},
	"state":             {many: true, allowed: list(States())},
	"mfa_method":        {allowed: list(event.MFAMethods()) + ", or empty for events without"},
	"username":          {allowed: "one username in UTF-8, exactly as typed; empty for events without"},
	"session_id":        {allowed: "one session id, exactly; empty for events without"},
	"service":           {allowed: "one service, exactly; empty for events without"},
	"ip":                {allowed: "an address (192.0.2.7, 2001:db8::7) or a range (192.0.2.0/24, 2001:db8::/32)"},
	"q":                 {allowed: "one text in UTF-8"},
	"logged_in":         {allowed: "true, false"},
	"never_logged_in":   {allowed: "true, false"},
	"format":            {allowed: list(ExportFormats())},
	"sort":              {allowed: "username, last_login, last_logout; - in front for descending"},
	"order":             {allowed: "desc, asc"},
	"limit":             {allowed: fmt.Sprintf("1 to %d", MaxLimit)},
	"interval":          {allowed: list(Intervals())},
	"fields":            {many: true, allowed: list(Facets())},
	"top":               {allowed: fmt.Sprintf("1 to %d", MaxTop)},
	"last_event_id":     {allowed: "the id of the last message of a tail: a sequence of the stream"},
	"cursor":            {allowed: "the next_cursor of the page before, with the same path and filters"},
}

func allowed(name string) string { return parameters[name].allowed }

// list writes values as the parameters take them.
func list[T any](values []T) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = spell(v)
	}
	return strings.Join(words, ", ")
}

// States lists the states of the contract.
func States() []State { return []State{StateOpen, StateClosed, StateExpired, StateNone} }

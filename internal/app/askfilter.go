package app

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/event"
	"github.com/spf13/pflag"
)

// The parameters of the API as flags of the same names. What is wrong with a value
// the server tells; here names of codes become codes.

// RangeSettings say when the events occurred that are meant.
type RangeSettings struct {
	Start string `koanf:"start" help:"only events from this time on: RFC 3339, a date, a time without offset, now, or -24h, -7d"`
	End   string `koanf:"end" help:"only events before this time; a date means until its end"`
	Order string `koanf:"order" help:"desc: newest first (default); asc"`
}

// within puts the range and the order into a filter.
func (s RangeSettings) within(f client.EventFilter, ask AskSettings) client.EventFilter {
	f.Start, f.End, f.TZ, f.Order = client.Moment(s.Start), client.Moment(s.End), ask.zoneFor(s.Start, s.End), client.Order(s.Order)
	return f
}

// EventFilterSettings say which events are meant, whenever they occurred.
type EventFilterSettings struct {
	Status    []string `koanf:"status" help:"only this status, a code or a name; may be repeated"`
	Entry     []string `koanf:"entry" help:"only this entry, a code or a name; may be repeated"`
	Kind      []string `koanf:"kind" help:"only this kind: login, logout, mfa, reset; may be repeated"`
	Outcome   []string `koanf:"outcome" help:"only this outcome: success, failure, pending; may be repeated"`
	Username  string   `koanf:"username" help:"only this user, exactly; empty: the events without a username"`
	IP        string   `koanf:"ip" help:"only this address, or range of addresses (192.0.2.0/24)"`
	SessionID string   `koanf:"session-id" help:"only this session, exactly; empty: the events without one"`
	Service   string   `koanf:"service" help:"only this emitting service, exactly; empty: the events without one"`
	MFAMethod string   `koanf:"mfa-method" help:"only this second factor; empty: the events without one"`
	Q         string   `koanf:"q" help:"only events with this text in the username, the reason or the user agent"`
}

// Validate names what is no code and no name of one.
func (s EventFilterSettings) Validate() error {
	_, statuses := statusCodes(s.Status)
	_, entries := entryCodes(s.Entry)
	return errors.Join(statuses, entries)
}

// filter is the filter; given tells which flags were, also those that are empty.
func (s EventFilterSettings) filter(given func(string) bool) client.EventFilter {
	f := client.EventFilter{
		Kinds: texts[event.Kind](s.Kind), Outcomes: texts[event.Outcome](s.Outcome),
		Username:  exact[string](s.Username, given("username")),
		SessionID: exact[string](s.SessionID, given("session-id")),
		Service:   exact[string](s.Service, given("service")),
		MFAMethod: exact[event.MFAMethod](s.MFAMethod, given("mfa-method")),
		IP:        s.IP, Text: s.Q,
	}
	f.Statuses, _ = statusCodes(s.Status) // validated
	f.Entries, _ = entryCodes(s.Entry)
	return f
}

// PageSettings say how much of a list is shown.
type PageSettings struct {
	Limit  int    `koanf:"limit" help:"most rows in all; 0: all"`
	Cursor string `koanf:"cursor" help:"go on where an answer with this next_cursor ended; all else must be the same"`
}

// defaultRows is how many rows of a list are shown.
const defaultRows = 100

// Validate names what is out of its range.
func (s PageSettings) Validate() error {
	if s.Limit < 0 {
		return fmt.Errorf("limit: %d is not allowed; 0 or more", s.Limit)
	}
	return nil
}

// UserFilterSettings say which users are meant, and when.
type UserFilterSettings struct {
	Q               string   `koanf:"q" help:"only users with this text in the username"`
	Status          []string `koanf:"status" help:"only users whose status is this one, a code or a name; may be repeated"`
	Entry           []string `koanf:"entry" help:"only users whose entry is this one, a code or a name; may be repeated"`
	LoggedIn        string   `koanf:"logged-in" help:"only users who are logged in; false: who are not"`
	NeverLoggedIn   string   `koanf:"never-logged-in" help:"only users without a successful log-in; false: with one"`
	LastLoginAfter  string   `koanf:"last-login-after" help:"only users whose last log-in attempt is from this time or later"`
	LastLoginBefore string   `koanf:"last-login-before" help:"only users whose last log-in attempt is from before this time"`
	Sort            string   `koanf:"sort" help:"order: username, last_login, last_logout; with - in front descending"`
	AsOf            string   `koanf:"as-of" help:"answer as of this time: later events do not exist"`
}

// Validate names what is no code and no name of one, and what is not true or false.
func (s UserFilterSettings) Validate() error {
	_, statuses := statusCodes(s.Status)
	_, entries := entryCodes(s.Entry)
	_, loggedIn := trueOrFalse("logged-in", s.LoggedIn)
	_, never := trueOrFalse("never-logged-in", s.NeverLoggedIn)
	return errors.Join(statuses, entries, loggedIn, never)
}

func (s UserFilterSettings) filter(ask AskSettings) client.UserFilter {
	f := client.UserFilter{
		Text: s.Q, Sort: client.UserSort(s.Sort), AsOf: client.Moment(s.AsOf),
		LastLoginAfter: client.Moment(s.LastLoginAfter), LastLoginBefore: client.Moment(s.LastLoginBefore),
		TZ: ask.zoneFor(s.AsOf, s.LastLoginAfter, s.LastLoginBefore),
	}
	f.Statuses, _ = statusCodes(s.Status) // validated, as all that follows
	f.Entries, _ = entryCodes(s.Entry)
	f.LoggedIn, _ = trueOrFalse("", s.LoggedIn)
	f.NeverLoggedIn, _ = trueOrFalse("", s.NeverLoggedIn)
	return f
}

// AttemptFilterSettings say which rows of the log-in history are meant.
type AttemptFilterSettings struct {
	Start   string   `koanf:"start" help:"only attempts that started at this time or later: RFC 3339, a date, a time without offset, now, or -24h, -7d"`
	End     string   `koanf:"end" help:"only attempts that started before this time; a date means until its end"`
	Status  []string `koanf:"status" help:"only this final status, a code or a name; may be repeated"`
	Entry   []string `koanf:"entry" help:"only this entry, a code or a name; may be repeated"`
	Outcome []string `koanf:"outcome" help:"only this outcome: success, failure, pending; may be repeated"`
	State   []string `koanf:"state" help:"only this state of the session: open, closed, expired, none; may be repeated"`
	IP      string   `koanf:"ip" help:"only this address, or range of addresses (192.0.2.0/24)"`
	AsOf    string   `koanf:"as-of" help:"answer as of this time: later events do not exist"`
	Order   string   `koanf:"order" help:"desc: newest first (default); asc"`
}

// Validate names what is no code and no name of one.
func (s AttemptFilterSettings) Validate() error {
	_, statuses := statusCodes(s.Status)
	_, entries := entryCodes(s.Entry)
	return errors.Join(statuses, entries)
}

func (s AttemptFilterSettings) filter(ask AskSettings) client.AttemptFilter {
	f := client.AttemptFilter{
		Start: client.Moment(s.Start), End: client.Moment(s.End), AsOf: client.Moment(s.AsOf), TZ: ask.zoneFor(s.Start, s.End, s.AsOf),
		Outcomes: texts[event.Outcome](s.Outcome), States: texts[client.State](s.State), IP: s.IP, Order: client.Order(s.Order),
	}
	f.Statuses, _ = statusCodes(s.Status) // validated
	f.Entries, _ = entryCodes(s.Entry)
	return f
}

// SessionFilterSettings say which sessions are meant.
type SessionFilterSettings struct {
	State    []string `koanf:"state" help:"only this state: open, closed, expired; may be repeated"`
	At       string   `koanf:"at" help:"who was logged in at this time"`
	AsOf     string   `koanf:"as-of" help:"answer as of this time: later events do not exist"`
	Username string   `koanf:"username" help:"only this user, exactly"`
	Start    string   `koanf:"start" help:"only sessions that opened at this time or later: RFC 3339, a date, a time without offset, now, or -24h, -7d"`
	End      string   `koanf:"end" help:"only sessions that opened before this time; a date means until its end"`
	Order    string   `koanf:"order" help:"desc: the latest opening first (default); asc"`
}

func (s SessionFilterSettings) filter(ask AskSettings, given func(string) bool) client.SessionFilter {
	return client.SessionFilter{
		Start: client.Moment(s.Start), End: client.Moment(s.End), At: client.Moment(s.At), AsOf: client.Moment(s.AsOf),
		TZ: ask.zoneFor(s.Start, s.End, s.At, s.AsOf), States: texts[client.State](s.State),
		Username: exact[string](s.Username, given("username")), Order: client.Order(s.Order),
	}
}

func texts[T ~string](list []string) []T {
	var all []T
	for _, text := range list {
		all = append(all, T(text))
	}
	return all
}

// exact is a text that is compared as it stands, the empty one too if it is given.
func exact[T ~string](text string, given bool) *T {
	if text == "" && !given {
		return nil
	}
	return new(T(text))
}

func trueOrFalse(key, text string) (*bool, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // not given is not wrong
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is neither true nor false", key, text)
	}
	return &b, nil
}

func statusCodes(list []string) ([]event.Status, error) {
	return codes("status", list, event.Statuses(), event.Status.Name)
}

func entryCodes(list []string) ([]event.Entry, error) {
	return codes("entry", list, event.Entries(), event.Entry.Name)
}

// codes reads codes, or names of codes in any case: the whole of one, or a part
// that no other has. Which numbers are codes is the server's to say.
func codes[T ~uint8](key string, list []string, all []T, name func(T) string) ([]T, error) {
	var read []T
	var errs []error
	for _, text := range list {
		if n, err := strconv.ParseUint(text, 10, 8); err == nil {
			read = append(read, T(n))
			continue
		}
		found := namedCodes(text, all, name)
		if len(found) == 1 {
			read = append(read, found[0])
			continue
		}
		what := "is no code and no name"
		if len(found) > 1 {
			what = "may be each of these"
		} else {
			found = all
		}
		var allowed []string
		for _, code := range found {
			allowed = append(allowed, fmt.Sprintf("%d %s", code, name(code)))
		}
		errs = append(errs, fmt.Errorf("%s: %q %s: %s", key, text, what, strings.Join(allowed, ", ")))
	}
	return read, errors.Join(errs...)
}

func namedCodes[T ~uint8](text string, all []T, name func(T) string) (found []T) {
	for _, code := range all {
		if strings.EqualFold(name(code), text) {
			return []T{code}
		}
		if text != "" && strings.Contains(strings.ToLower(name(code)), strings.ToLower(text)) {
			found = append(found, code)
		}
	}
	return found
}

// flagOf is the flag of a parameter of the API; the parameter where there is none.
func flagOf(flags *pflag.FlagSet, parameter string) string {
	if name := strings.ReplaceAll(parameter, "_", "-"); flags.Lookup(name) != nil {
		return "--" + name
	}
	return parameter
}

// completions are the values that a flag may have, each with a word about it.
func completions(flag string) []string {
	switch flag {
	case "status":
		return codeCompletions(event.Statuses(), event.Status.Name)
	case "entry":
		return codeCompletions(event.Entries(), event.Entry.Name)
	case "kind":
		return words(event.Kinds())
	case "outcome":
		return words(event.Outcomes())
	case "mfa-method":
		return words(event.MFAMethods())
	case "state":
		return words(client.States())
	case "order":
		return []string{"desc\tnewest first", "asc\toldest first"}
	case "sort":
		return words([]client.UserSort{
			client.SortUsername, client.SortUsernameDescending, client.SortOldestLogin, client.SortLatestLogin,
			client.SortOldestLogout, client.SortLatestLogout,
		})
	case "format":
		return words(client.Formats())
	case "output":
		return outputs()
	case "logged-in", "never-logged-in":
		return []string{"true", "false"}
	}
	return nil
}

func codeCompletions[T ~uint8](all []T, name func(T) string) []string {
	var list []string
	for _, code := range all {
		list = append(list, fmt.Sprintf("%d\t%s", code, name(code)))
	}
	return list
}

func words[T ~string](all []T) []string {
	var list []string
	for _, word := range all {
		list = append(list, string(word))
	}
	return slices.Clip(list)
}

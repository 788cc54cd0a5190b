package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/loginaudit/loginaudit/internal/query"
)

// securityPath is where the pages of an account are.
const securityPath = "/accounts/{account}/security"

// links are the addresses of the pages of one account. They carry the time
// zone along.
type links struct{ account, zone string }

// Users is the address of the list of users.
func (l links) Users(v url.Values) string { return l.href("", v) }

// Events is the address of the list of events.
func (l links) Events(v url.Values) string { return l.href("/events", v) }

// User is the address of the history of a user. A browser takes . and .., even
// escaped, as steps on the path, so these two names go into the query.
func (l links) User(name string, v url.Values) string {
	if isDots(name) {
		return l.href("/user", with(v, "name", name))
	}
	return l.href("/users/"+url.PathEscape(name), v)
}

// Event is the address of the details of an event.
func (l links) Event(id string) string { return l.event(id, nil) }

// Version is the address of the details of one of the events that share an id.
func (l links) Version(e query.Event) string {
	if !e.Conflict {
		return l.Event(e.ID)
	}
	return l.event(e.ID, url.Values{"stream_seq": {strconv.FormatUint(e.StreamSeq, 10)}})
}

func (l links) event(id string, v url.Values) string {
	if isDots(id) {
		return l.href("/event", with(v, "id", id))
	}
	return l.href("/events/"+url.PathEscape(id), v)
}

func isDots(name string) bool { return name == "." || name == ".." }

func (l links) href(path string, v url.Values) string {
	if l.zone != "" && l.zone != "UTC" && !v.Has("tz") {
		v = with(v, "tz", l.zone)
	}
	return address("/accounts/"+url.PathEscape(l.account)+"/security"+path, v)
}

// address joins a path and its parameters.
func address(path string, v url.Values) string {
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// clone is a copy of v that can be changed.
func clone(v url.Values) url.Values {
	c := make(url.Values, len(v))
	for name, values := range v {
		c[name] = slices.Clone(values)
	}
	return c
}

// with is v with the one value of name replaced; without it where value is "".
func with(v url.Values, name, value string) url.Values {
	c := clone(v)
	c.Del(name)
	if value != "" {
		c.Set(name, value)
	}
	return c
}

// without is v without one value of name.
func without(v url.Values, name, value string) url.Values {
	c := clone(v)
	if c[name] = slices.DeleteFunc(c[name], func(s string) bool { return s == value }); len(c[name]) == 0 {
		c.Del(name)
	}
	return c
}

// nameOrQuery is a part of the path or, where its route has none, the
// parameter of the query.
func nameOrQuery(r *http.Request, part, parameter string) (string, error) {
	name, err := nameOf(r, part)
	if err == nil {
		return name, nil
	}
	if name = r.URL.Query().Get(parameter); isDots(name) {
		return name, nil
	}
	return "", query.ErrNotFound
}

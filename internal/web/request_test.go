package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

func TestRequestsReachTheStoreAsFilters(t *testing.T) {
	bob := "bob"
	for target, want := range map[string][]any{
		"/users?status=1&sort=-last_login&limit=5": {"acme", query.UserFilter{
			AsOf: now, Statuses: []event.Status{1}, Sort: query.SortLastLogin, Descending: true, Limit: 5,
		}},
		"/users/bob":           {"acme", "bob", now},
		"/users/bob?as_of=-1h": {"acme", "bob", now.Add(-time.Hour)},
		"/users/bob/attempts":  {"acme", query.AttemptFilter{AsOf: now, Username: "bob", Order: query.Descending, Limit: 100}},
		"/users/bob/events?entry=2": {"user", "acme", query.EventFilter{
			Username: &bob, Entries: []event.Entry{2}, Order: query.Descending, Limit: 100,
		}},
		"/events?username=bob&order=asc": {"acme", query.EventFilter{Username: &bob, Order: query.Ascending, Limit: 100}},
		"/events/e-1":                    {"acme", "e-1", now},
		"/sessions?at=-1h&username=bob": {"acme", query.SessionFilter{
			AsOf: now.Add(-time.Hour), Username: &bob, States: []query.State{query.StateOpen}, Order: query.Descending, Limit: 100,
		}},
	} {
		t.Run(target, func(t *testing.T) {
			s := serve(t)
			if w := s.get(acme + target); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if !reflect.DeepEqual(s.shapes.asked, want) {
				t.Errorf("the store was asked\n%+v, want\n%+v", s.shapes.asked, want)
			}
		})
	}
}

func TestRequestsForTheNextPageGoOnWhereThePageEnded(t *testing.T) {
	s := serve(t)
	at := query.Position{At: now.Add(-time.Hour), Rank: 3, Hash: event.Hash{1, 2}}
	s.shapes.events.Next = &at
	s.shapes.users.Next = &query.UserPosition{Username: "bob", Event: &at}
	s.shapes.history.Next = &query.AttemptPosition{StartedAt: now, FirstHash: event.Hash{3}}
	s.shapes.opened.Next = &at
	next := func(target string) []any {
		t.Helper()
		first := decoded[struct {
			Next *string `json:"next_cursor"`
		}](t, s.get(acme+target))
		if first.Next == nil {
			t.Fatalf("%s has no next page", target)
		}
		if w := s.get(acme + target + "&cursor=" + *first.Next); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return s.shapes.asked
	}
	if f := next("/events?start=-2h")[1].(query.EventFilter); !reflect.DeepEqual(f.After, &at) {
		t.Errorf("events go on after %+v", f.After)
	}
	if f := next("/users/bob/events?start=-2h")[2].(query.EventFilter); !reflect.DeepEqual(f.After, &at) {
		t.Errorf("events of a user go on after %+v", f.After)
	}
	if f := next("/users?sort=last_login")[1].(query.UserFilter); !reflect.DeepEqual(f.After, s.shapes.users.Next) {
		t.Errorf("users go on after %+v", f.After)
	}
	if f := next("/users/bob/attempts?state=open")[1].(query.AttemptFilter); !reflect.DeepEqual(f.After, s.shapes.history.Next) {
		t.Errorf("attempts go on after %+v", f.After)
	}
	if f := next("/sessions?at=-2h")[1].(query.SessionFilter); !reflect.DeepEqual(f.After, &at) {
		t.Errorf("sessions go on after %+v", f.After)
	}
	wantProblem(t, s.get(acme+"/events?cursor=AAAA"), invalidParameter, "cursor")
}

// raw sends a request line as it stands: HTTP clients clean paths.
func raw(t testing.TB, address, path, token string) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", path, token)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestRequestsForNamesOfAnyBytesWorkPercentEncoded(t *testing.T) {
	for path, want := range map[string]string{
		"bob": "bob", "%62ob": "bob", "b%20b": "b b", "b+b": "b+b", "b%2Bb": "b+b", "a%2Fb": "a/b", "a%2fb": "a/b",
		".": ".", "..": "..", "%2E": ".", "%2e%2e": "..", "..%2f..%2Fetc": "../../etc", "%2F": "/", "%5C": `\`,
		"%00": "\x00", "a%00b": "a\x00b", "%25": "%", "%2525": "%25", "%252F": "%2F", "%3F": "?", "%23": "#", "a;b=c": "a;b=c",
		"%C3%A9": "é", "%F0%9F%98%80": "😀", "*": "*", "%7Busername%7D": "{username}", "a:b@c,d$&'()!": "a:b@c,d$&'()!",
		"%0D%0A": "\r\n", "events": "events", "attempts": "attempts", "%22%3Cx%3E": `"<x>`, "a%E2%80%A8": "a\u2028",
	} {
		t.Run(path, func(t *testing.T) {
			s := serve(t)
			server := httptest.NewServer(s.Handler())
			defer server.Close()
			address := server.Listener.Addr().String()
			for _, below := range []string{"", "/attempts", "/events"} {
				s.shapes.asked = nil
				if status, body := raw(t, address, acme+"/users/"+path+below, s.token.Secret()); status != http.StatusOK {
					t.Fatalf("%s: %d %s", below, status, body)
				}
				var got string
				switch asked := s.shapes.asked[len(s.shapes.asked)-1].(type) {
				case time.Time:
					got = s.shapes.asked[1].(string)
				case query.AttemptFilter:
					got = asked.Username
				case query.EventFilter:
					got = *asked.Username
				}
				if got != want {
					t.Errorf("%s: the store was asked for %q, want %q", below, got, want)
				}
			}
			if status, _ := raw(t, address, acme+"/events/"+path, s.token.Secret()); status != http.StatusOK || s.shapes.asked[1] != want {
				t.Errorf("event: %d, the store was asked for %q, want %q", status, s.shapes.asked[1], want)
			}
		})
	}
}

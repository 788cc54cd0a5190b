package client_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/event"
)

// listing answers with n users, page by page, and keeps the limits that were
// asked for.
func listing(t testing.TB, n int, options ...client.Option) (c *client.Client, limits *[]string) {
	t.Helper()
	limits = &[]string{}
	_, c = answering(t, func(w http.ResponseWriter, r *http.Request) {
		v := r.URL.Query()
		*limits = append(*limits, v.Get("limit"))
		from, _ := strconv.Atoi(v.Get("cursor"))
		limit, _ := strconv.Atoi(v.Get("limit"))
		to := min(from+limit, n)
		var rows []string
		for i := from; i < to; i++ {
			rows = append(rows, fmt.Sprintf(`{"username":"u%d"}`, i))
		}
		next := "null"
		if to < n {
			next = strconv.Quote(strconv.Itoa(to))
		}
		answerJSON(w, fmt.Sprintf(`{"users":[%s],"next_cursor":%s}`, strings.Join(rows, ","), next))
	}, options...)
	return c, limits
}

func TestIteratorAsksForPageAfterPage(t *testing.T) {
	c, limits := listing(t, 2500)
	n := 0
	for u, err := range c.Users(t.Context(), "acme", client.UserFilter{}) {
		if err != nil || u.Username != fmt.Sprintf("u%d", n) {
			t.Fatalf("%d: %+v, %v", n, u, err)
		}
		n++
	}
	if n != 2500 || !slices.Equal(*limits, []string{"100", "1000", "1000", "1000"}) {
		t.Errorf("%d users by pages of %v", n, *limits)
	}
}

func TestIteratorStopsAskingWhenTheCallerStops(t *testing.T) {
	c, limits := listing(t, 2500)
	for u, err := range c.Users(t.Context(), "acme", client.UserFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if u.Username == "u99" {
			break
		}
	}
	if len(*limits) != 1 {
		t.Errorf("pages of %v are asked for", *limits)
	}
}

func TestIteratorAsksForShorterPagesWhereAnAnswerIsTooLarge(t *testing.T) {
	c, limits := listing(t, 25, client.WithMaxAnswer(150))
	n := 0
	for _, err := range c.Users(t.Context(), "acme", client.UserFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 25 || !slices.Equal((*limits)[:4], []string{"100", "10", "1", "1"}) {
		t.Errorf("%d users by pages of %v", n, *limits)
	}
	c, _ = listing(t, 25, client.WithMaxAnswer(10))
	for _, err := range c.Users(t.Context(), "acme", client.UserFilter{}) {
		if !errors.Is(err, client.ErrTooLarge) {
			t.Fatal(err)
		}
	}
}

func TestIteratorEndsWithTheFirstError(t *testing.T) {
	pages := 0
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		if pages++; pages > 1 {
			answerProblem(w, 422, `{"title":"Too heavy"}`)
			return
		}
		answerJSON(w, `{"users":[{"username":"ann"}],"next_cursor":"x"}`)
	})
	var errs []error
	for _, err := range c.Users(t.Context(), "acme", client.UserFilter{}) {
		errs = append(errs, err)
	}
	if len(errs) != 2 || errs[0] != nil || !client.IsTooHeavy(errs[1]) {
		t.Errorf("%v", errs)
	}
	_, c = answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, `{"users":[],"next_cursor":"same"}`) })
	errs = nil
	for _, err := range c.Users(t.Context(), "acme", client.UserFilter{}) {
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.Is(errs[0], client.ErrNotAPI) {
		t.Errorf("a cursor that leads nowhere: %v", errs)
	}
}

// Every parameter of the API has its field, and no other is sent.
func TestFiltersAreTheParametersOfTheAPI(t *testing.T) {
	at := client.At(time.Date(2026, 11, 1, 10, 30, 0, 1_000, time.FixedZone("", 3600)))
	events := client.EventFilter{
		Start: "-24h", End: at, TZ: "Europe/Berlin", Statuses: []event.Status{1, 5}, Entries: []event.Entry{2},
		Kinds: event.Kinds(), Outcomes: []event.Outcome{"failure"}, Username: new(""), SessionID: new("s"), Service: new("sso"),
		MFAMethod: new(event.MFAMethod("totp")), IP: "192.0.2.0/24", Text: "50%",
	}
	same := "end=2026-11-01T09%3A30%3A00.000001Z&entry=2&FIELDSINTERVALip=192.0.2.0%2F24&kind=login&kind=logout&kind=mfa&kind=reset&" +
		"mfa_method=totp&ORDERoutcome=failure&q=50%25&service=sso&session_id=s&start=-24h&status=1&status=5&TOPtz=Europe%2FBerlin&username="
	with := func(pairs ...string) string {
		all := []string{"FIELDS", "", "INTERVAL", "", "ORDER", "", "TOP", ""}
		return strings.NewReplacer(append(pairs, all...)...).Replace(same)
	}
	ordered := events
	ordered.Order = client.Ascending
	var got string
	_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		got = strings.TrimPrefix(r.RequestURI, "/api/v1/accounts/acme")
		answerJSON(w, `{}`)
	})
	ctx := t.Context()
	for want, ask := range map[string]func() error{
		"/events?" + with("ORDER", "order=asc&"): func() error {
			_, err := c.EventsPage(ctx, "acme", ordered, client.Page{})
			return err
		},
		"/events?cursor=c&limit=7": func() error {
			_, err := c.EventsPage(ctx, "acme", client.EventFilter{}, client.Page{Limit: 7, Cursor: "c"})
			return err
		},
		"/users/ann/events?order=desc": func() error {
			_, err := c.UserEventsPage(ctx, "acme", "ann", client.EventFilter{Order: client.Descending}, client.Page{})
			return err
		},
		"/histogram?" + with("INTERVAL", "interval=1h&"): func() error {
			_, err := c.Histogram(ctx, "acme", client.HistogramFilter{EventFilter: ordered, Interval: "1h"})
			return err
		},
		"/facets?" + with("FIELDS", "fields=ip&fields=kind&", "TOP", "top=3&"): func() error {
			_, err := c.Facets(ctx, "acme", client.FacetFilter{EventFilter: ordered, Fields: []string{"ip", "kind"}, Top: 3})
			return err
		},
		"/users?as_of=now&entry=1&last_login_after=-7d&last_login_before=-1d&limit=5&logged_in=true&never_logged_in=false&q=an&sort=-last_login&status=2&tz=UTC": func() error {
			_, err := c.UsersPage(ctx, "acme", client.UserFilter{
				Text: "an", Statuses: []event.Status{2}, Entries: []event.Entry{1}, LoggedIn: new(true), NeverLoggedIn: new(false),
				LastLoginAfter: "-7d", LastLoginBefore: "-1d", Sort: client.SortLatestLogin, AsOf: "now", TZ: "UTC",
			}, client.Page{Limit: 5})
			return err
		},
		"/users/ann?as_of=-1d&tz=UTC": func() error {
			_, err := c.User(ctx, "acme", "ann", client.MomentFilter{AsOf: "-1d", TZ: "UTC"})
			return err
		},
		"/users/ann/attempts?as_of=now&end=now&entry=1&ip=%3A%3A1&order=asc&outcome=pending&start=-1d&state=open&state=none&status=1&tz=UTC": func() error {
			_, err := c.AttemptsPage(ctx, "acme", "ann", client.AttemptFilter{
				Start: "-1d", End: "now", TZ: "UTC", Statuses: []event.Status{1}, Entries: []event.Entry{1}, Outcomes: []event.Outcome{"pending"},
				States: []client.State{"open", "none"}, IP: "::1", AsOf: "now", Order: "asc",
			}, client.Page{})
			return err
		},
		"/sessions?as_of=now&at=-1h&end=now&order=asc&start=-1d&state=expired&tz=UTC&username=ann": func() error {
			_, err := c.SessionsPage(ctx, "acme", client.SessionFilter{
				Start: "-1d", End: "now", TZ: "UTC", States: []client.State{"expired"}, At: "-1h", AsOf: "now", Username: new("ann"), Order: "asc",
			}, client.Page{})
			return err
		},
		"/events/e-1":              func() error { _, err := c.Event(ctx, "acme", "e-1", 0); return err },
		"/events/e-1?stream_seq=9": func() error { _, err := c.Event(ctx, "acme", "e-1", 9); return err },
		"/api/v1/codes":            func() error { _, err := c.Codes(ctx); return err },
		"/api/v1/status":           func() error { _, err := c.Status(ctx); return err },
	} {
		if err := ask(); err != nil || got != want {
			t.Errorf("%v\n got %s\nwant %s", err, got, want)
		}
	}
	if _, err := url.ParseQuery(with()); err != nil {
		t.Error(err)
	}
}

// The golden files are what the server's own tests compare its answers with:
// a member that is renamed, added or gone there fails here.
func TestAnswersOfTheServerAreReadWholeAndWrittenBackAsTheyWere(t *testing.T) {
	kinds := map[string]func([]byte) ([]byte, error){
		"users": again[client.UserList], "user": again[client.UserDetail], "attempts": again[client.AttemptList],
		"events": again[client.EventList], "user_events": again[client.EventList], "events_with_gaps": again[client.EventList],
		"event": again[client.EventDetails], "sessions": again[client.SessionList], "histogram": again[client.Histogram],
		"bars": again[client.Histogram], "facets": again[client.Facets], "status": again[client.Status], "codes": again[client.Codes],
	}
	files, err := filepath.Glob("../internal/web/testdata/*.json")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		name := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(file), ".json"), "empty_")
		read := kinds[name]
		if read == nil {
			t.Errorf("%s is an answer that the client has no type for", file)
			continue
		}
		seen[name] = true
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		back, err := read(text)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if string(back) != string(text) {
			t.Errorf("%s is written back as\n%s", file, back)
		}
	}
	delete(kinds, "bars")
	if missing := slices.DeleteFunc(slices.Sorted(maps.Keys(kinds)), func(n string) bool { return seen[n] }); len(missing) > 0 {
		t.Errorf("no answers of %v", missing)
	}
}

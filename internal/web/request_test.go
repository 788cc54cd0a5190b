package web

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/access"
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

func TestRequestsForNamesThatCannotBeAreNotFound(t *testing.T) {
	s := serve(t)
	for _, path := range []string{
		"/users/%FF", "/users/%C3", "/users/%ED%A0%80", "/users//events", "/users//attempts", "/users/%FF/events",
		"/events/%FF", "/users/", "/events/", "/users/a/b", "/users/a/b/events", "/events/a/b", "/", "",
		"/users/bob/", "/Users", "/sessions/x",
	} {
		wantProblem(t, s.get(acme+path), notFound)
		if s.shapes.asked != nil {
			t.Errorf("%s: the store was asked %v", path, s.shapes.asked)
		}
	}
}

func TestRequestsForAccountsThatCannotBeNameTheAccount(t *testing.T) {
	s := serve(t)
	for _, account := range []string{"a.b", "%2e%2e", "a%2Fb", "a%20b", "%C3%A9", "%FF", "*", strings.Repeat("a", 65)} {
		wantProblem(t, s.get("/api/v1/accounts/"+account+"/users"), invalidParameter, "account")
	}
	if w := s.get("/api/v1/accounts/" + strings.Repeat("a", 64) + "/users"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.get("/api/v1/accounts/a%63me/users"); w.Code != http.StatusOK || s.shapes.asked[0] != "acme" {
		t.Errorf("%d %s, asked %v", w.Code, w.Body, s.shapes.asked)
	}
}

func TestRequestsWithWrongParametersNameThem(t *testing.T) {
	s := serve(t)
	for target, names := range map[string][]string{
		acme + "/users?start=now":                        {"start"},
		acme + "/users?limit=0&status=4":                 {"status", "limit"},
		acme + "/users/bob?limit=1":                      {"limit"},
		acme + "/users/bob/attempts?kind=login":          {"kind"},
		acme + "/users/bob/events?username=bob":          {"username"},
		acme + "/events?start=2026-11-02&end=2026-11-01": {"end"},
		acme + "/events?limit=1&limit=1":                 {"limit"},
		acme + "/events?tz=Nowhere&ip=x":                 {"tz", "ip"},
		acme + "/events/e-1?x=1":                         {"x"},
		"/api/v1/codes?x=1":                              {"x"},
		acme + "/events?q=%zz":                           {"query string"},
		acme + "/events?q=a;status=1":                    {"query string"},
		acme + "/users?%":                                {"query string"},
		acme + "/users/bob?%":                            {"query string"},
		acme + "/users/bob/attempts?%":                   {"query string"},
		acme + "/users/bob/events?%":                     {"query string"},
		acme + "/events/e-1?%":                           {"query string"},
		"/api/v1/codes?%":                                {"query string"},
	} {
		t.Run(target, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			path, q, _ := strings.Cut(target, "?")
			r.URL.Path, r.URL.RawQuery = path, q
			r.Header.Set("Authorization", "Bearer "+s.token.Secret())
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			wantProblem(t, w, invalidParameter, names...)
		})
	}
}

func TestRequestsThatTheStoreCannotAnswer(t *testing.T) {
	secret := errors.New("clickhouse: password of reader is hunter2")
	for _, c := range []struct {
		err  error
		kind problemKind
	}{
		{fmt.Errorf("user: %w", query.ErrNotFound), notFound},
		{fmt.Errorf("%w: %w", query.ErrTooHeavy, secret), tooHeavy},
		{fmt.Errorf("%w: %w", query.ErrUnavailable, secret), unavailable},
		{&query.InvalidError{Errors: []query.ParameterError{{Parameter: "q", Detail: "d", Allowed: "a"}}}, invalidParameter},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), tooHeavy},
		{secret, internalError},
	} {
		t.Run(c.kind.slug, func(t *testing.T) {
			s := serve(t)
			s.shapes.err = c.err
			for _, path := range []string{"/users", "/users/bob", "/users/bob/attempts", "/users/bob/events", "/events", "/events/e-1"} {
				w := s.get(acme + path)
				var names []string
				if c.kind.slug == invalidParameter.slug {
					names = []string{"q"}
				}
				wantProblem(t, w, c.kind, names...)
				if strings.Contains(w.Body.String(), "hunter2") {
					t.Errorf("the answer tells what happened inside: %s", w.Body)
				}
				if (w.Header().Get("Retry-After") != "") != (c.kind.slug == unavailable.slug) {
					t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
				}
			}
			logged := s.logs.FilterMessage("request failed").Len() + s.logs.FilterMessage("store is unavailable").Len()
			if (logged == 6) != (c.kind.slug == internalError.slug || c.kind.slug == unavailable.slug) {
				t.Errorf("%d causes are in the log", logged)
			}
		})
	}
}

func TestRequestsThatTakeTooLongAreTooHeavy(t *testing.T) {
	s := serve(t)
	s.queryTimeout = time.Nanosecond
	s.shapes.wait = true
	p := wantProblem(t, s.get(acme+"/events"), tooHeavy)
	if !strings.Contains(p.Detail, "narrow") {
		t.Errorf("%q does not say how to narrow the question", p.Detail)
	}
}

func TestRequestsWhoseAskerIsGoneAreNobodysFault(t *testing.T) {
	s := serve(t)
	s.shapes.wait = true
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequest(http.MethodGet, acme+"/events", nil).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+s.token.Secret())
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	wantProblem(t, w, gone)
	if s.logs.FilterMessage("request failed").Len() != 0 {
		t.Error("it is logged as our fault")
	}
}

func TestRequestsWithoutValidCredentialsAreToldWhich(t *testing.T) {
	s := serve(t)
	paths := []string{"/api/v1/codes"}
	for _, route := range s.accountRoutes() {
		paths = append(paths, acme+strings.NewReplacer("{username}", "bob", "{id}", "e-1").Replace(route.path))
	}
	for _, path := range paths {
		w := s.get(path, "Authorization", "")
		wantProblem(t, w, unauthorized)
		if got := w.Header().Get("WWW-Authenticate"); got != `Bearer realm="loginaudit"` {
			t.Errorf("%s: the challenge is %s", path, got)
		}
		w = s.get(path, "Authorization", "Bearer wrong")
		wantProblem(t, w, unauthorized)
		if got := w.Header().Get("WWW-Authenticate"); !strings.Contains(got, `error="invalid_token"`) {
			t.Errorf("%s: the challenge is %s", path, got)
		}
	}
	// Who is not known does not learn which accounts are well-formed.
	wantProblem(t, s.get("/api/v1/accounts/a.b/users", "Authorization", ""), unauthorized)
	if s.shapes.asked != nil {
		t.Errorf("the store was asked %v", s.shapes.asked)
	}
}

func TestRequestsWithoutTheRightAreRefused(t *testing.T) {
	s := serve(t)
	s.authenticate = func(*http.Request) (access.Viewer, error) {
		return access.Viewer{Name: "x", Grants: map[string][]access.Right{
			"acme": {access.AccessRead}, "mine": {access.SecurityRead},
		}}, nil
	}
	for _, route := range s.accountRoutes() {
		path := strings.NewReplacer("{username}", "bob", "{id}", "e-1").Replace(route.path)
		p := wantProblem(t, s.get(acme+path), missingRight)
		if !strings.Contains(p.Detail, string(route.right)) {
			t.Errorf("%q does not name the right %s", p.Detail, route.right)
		}
		// To who has no right on an account at all, it does not exist.
		wantProblem(t, s.get("/api/v1/accounts/other"+path), notFound)
	}
	if s.shapes.asked != nil {
		t.Errorf("the store was asked %v", s.shapes.asked)
	}
	if w := s.get("/api/v1/accounts/mine/users"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRequestsForPathsAndMethodsThatDoNotExist(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/api/", "/api/v1", "/api/v1/", "/api/v2/codes", "/api/v1/codes/", "/api/v1/accounts", acme, acme + "/nothing"} {
		wantProblem(t, s.get(path), notFound)
	}
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
		w := s.send(method, acme+"/users")
		wantProblem(t, w, wrongMethod)
		if w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: Allow is %q", method, w.Header().Get("Allow"))
		}
	}
	if w := s.get("/no/such/page"); w.Code != http.StatusNotFound {
		t.Errorf("a page that does not exist is %d", w.Code)
	}
}

func TestRequestsWithHeadAreAnsweredLikeGetWithoutBody(t *testing.T) {
	s := serve(t)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	for _, path := range []string{acme + "/users", acme + "/events?limit=0", "/api/v1/codes", acme + "/nothing"} {
		results := map[string]result{}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			results[method] = s.over(t, server, method, path)
		}
		get, head := results[http.MethodGet], results[http.MethodHead]
		if get.status != head.status || get.length != head.length || head.body != "" || get.body == "" {
			t.Errorf("%s: GET %+v, HEAD %+v", path, get, head)
		}
	}
}

type result struct {
	status int
	length int64
	body   string
}

// over sends a request over a connection.
func (s served) over(t testing.TB, server *httptest.Server, method, path string) result {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token.Secret())
	r.Header.Set("Accept-Encoding", "identity")
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return result{res.StatusCode, res.ContentLength, string(body)}
}

func TestRequestsAreNamedByTheAskerOrByUs(t *testing.T) {
	s := serve(t)
	if got := s.get("/api/v1/codes", "X-Request-Id", "abc-1._").Header().Get("X-Request-Id"); got != "abc-1._" {
		t.Errorf("the name is %q", got)
	}
	seen := map[string]bool{}
	for _, bad := range []string{"", "a b", "a\nb", "é", strings.Repeat("a", 65), `"`, "<x>"} {
		got := s.get("/api/v1/codes", "X-Request-Id", bad).Header().Get("X-Request-Id")
		if !requestIDForm.MatchString(got) || got == bad || seen[got] {
			t.Errorf("%q gives %q", bad, got)
		}
		seen[got] = true
	}
}

func TestRequestsLeaveNoPersonalDataInLogAndMetrics(t *testing.T) {
	s := serve(t)
	s.get(acme + "/users/bobby%2F?as_of=now")
	s.get(acme + "/users/bobby/attempts?ip=203.0.113.99&q=x")
	s.get(acme + "/events?username=bobby&ip=203.0.113.99")
	s.get("/bobby")
	s.get(acme + "/events/bobby?x")
	s.send("BOBBY", acme+"/users/bobby")
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	written := fmt.Sprint(families)
	for _, entry := range s.logs.All() {
		written += fmt.Sprintln(entry.Message, entry.ContextMap())
	}
	for _, personal := range []string{"bobby", "BOBBY", "203.0.113.99", s.token.Secret()} {
		if strings.Contains(written, personal) {
			t.Errorf("%s is in the log or the metrics", personal)
		}
	}
	if !strings.Contains(written, "/api/v1/accounts/{account}/users/{username}") {
		t.Error("the route is not in the log")
	}
}

func TestRequestsAreCountedByRoute(t *testing.T) {
	s := serve(t)
	s.get(acme + "/users")
	s.get(acme + "/users")
	s.get(acme + "/users?x")
	want := func(n float64, labels ...string) {
		t.Helper()
		if got := s.counted(t, "loginaudit_web_requests_total", labels...); got != n {
			t.Errorf("%v is %v, want %v", labels, got, n)
		}
	}
	want(2, "GET", "/api/v1/accounts/{account}/users", "200")
	want(1, "GET", "/api/v1/accounts/{account}/users", "400")
	lines := s.logs.FilterMessage("request").FilterField(zap.String("route", "/api/v1/accounts/{account}/users")).Len()
	if lines != 3 {
		t.Errorf("%d lines in the log, want 3", lines)
	}
}

func TestRequestsWhoseHandlerPanicsAreAnsweredAndLogged(t *testing.T) {
	s := serve(t)
	s.authenticate = func(*http.Request) (access.Viewer, error) { panic("boom") }
	w := s.get(acme + "/users")
	wantProblem(t, w, internalError)
	if strings.Contains(w.Body.String(), "boom") {
		t.Errorf("the answer tells what happened inside: %s", w.Body)
	}
	if s.logs.FilterMessage("handler panicked").Len() != 1 || s.counted(t, "loginaudit_web_panics_total") != 1 {
		t.Error("the panic is not in the log or the metrics")
	}
	s.authenticate = func(*http.Request) (access.Viewer, error) { panic(http.ErrAbortHandler) }
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // net/http compares it, too
			t.Error("an abort was answered")
		}
	}()
	s.get(acme + "/users")
}

func TestAnswersMayNotBeStoredNorEmbedded(t *testing.T) {
	s := serve(t)
	for _, path := range []string{acme + "/users", acme + "/nothing", "/sign-in"} {
		h := s.get(path).Header()
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q, want %q", path, name, h.Get(name), want)
			}
		}
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: Content-Security-Policy is %q", path, csp)
		}
		if h.Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: Strict-Transport-Security without TLS", path)
		}
	}
	server := httptest.NewTLSServer(s.Handler())
	defer server.Close()
	res, err := server.Client().Get(server.URL + "/sign-in")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.Header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security over TLS")
	}
}

func TestAnswersAreCompressedForWhoTakesIt(t *testing.T) {
	s := serve(t)
	plain := s.get("/api/v1/codes")
	packed := s.get("/api/v1/codes", "Accept-Encoding", "gzip")
	if packed.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(packed.Header().Get("Vary"), "Accept-Encoding") {
		t.Fatalf("the headers are %v", packed.Header())
	}
	r, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != plain.Body.String() {
		t.Errorf("the answer is %q, %v", got, err)
	}
}

func TestProblemsAreExplainedAtTheirType(t *testing.T) {
	s := serve(t)
	for _, k := range problemKinds() {
		w := s.get(problemPath+k.slug, "Authorization", "")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), k.about) {
			t.Errorf("%s: %d %s", k.slug, w.Code, w.Body)
		}
	}
}

func TestFailureWithoutAPageIsPlainText(t *testing.T) {
	w := httptest.NewRecorder()
	plainFailure(w, httptest.NewRequest(http.MethodGet, "/", nil), tooHeavy.because("<b>"))
	if w.Code != http.StatusUnprocessableEntity || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || !strings.Contains(w.Body.String(), "<b>") {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if text := tooHeavy.because("why").Error(); text != "why" {
		t.Errorf("the error says %s", text)
	}
}

func TestRequestsForWhatDoesNotExistAreToldWhatIsMissingWithoutItsText(t *testing.T) {
	const hostile = "%3Cscript%3E"
	for path, want := range map[string]string{
		acme + "/users/" + hostile + "?as_of=2026-11-01T00:00:00Z":          "no event of this account up to 2026-11-01T00:00:00.000000Z has this username",
		acme + "/users/" + hostile + "/attempts?as_of=2026-11-01T00:00:00Z": "no event of this account up to 2026-11-01T00:00:00.000000Z has this username",
		acme + "/users/" + hostile + "/events":                              "no event of this account has this username",
		acme + "/users/%FF":                                                 "no event of this account has this username",
		acme + "/events/" + hostile:                                         "no event of this account has this id",
		acme + "/events/" + hostile + "?stream_seq=7":                       "no event of this account has this id and this stream_seq",
		acme + "/events/%FF":                                                "no event of this account has this id",
		acme + "/" + hostile:                                                "there is no such path, or it is about an account that is not yours to know of",
	} {
		s := serve(t)
		s.shapes.err = fmt.Errorf("ask: %w", query.ErrNotFound)
		w := s.get(path)
		if p := wantProblem(t, w, notFound); p.Detail != want {
			t.Errorf("%s: %q, want %q", path, p.Detail, want)
		}
		if strings.Contains(w.Body.String(), "script") {
			t.Errorf("%s: the answer repeats what was asked: %s", path, w.Body)
		}
	}
}

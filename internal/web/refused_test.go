package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

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
		acme + "/sessions?at=now&as_of=now&state=none":   {"state", "at"},
		acme + "/sessions?%":                             {"query string"},
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
			for _, path := range []string{"/users", "/users/bob", "/users/bob/attempts", "/users/bob/events", "/events", "/events/e-1", "/sessions"} {
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
			if (logged == 7) != (c.kind.slug == internalError.slug || c.kind.slug == unavailable.slug) {
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

package web

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

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

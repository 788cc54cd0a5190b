package web

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/apicheck"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/schema"
)

// That the answers are those of the document is checked in every test of this
// package, by the handler that serve and pageServer give.

func TestTheDocumentIsServedToWhoHasNoCredentials(t *testing.T) {
	s := serve(t)
	w := s.get("/api/v1/openapi.yaml", "Authorization", "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/yaml" || !bytes.Equal(w.Body.Bytes(), schema.OpenAPI) {
		t.Errorf("%d %s, %d bytes", w.Code, w.Header().Get("Content-Type"), w.Body.Len())
	}
	wantProblem(t, s.get("/api/v1/openapi.yaml?x=1&y=2", "Authorization", ""), invalidParameter, "x", "y")
	wantProblem(t, s.get("/api/v1/openapi.yaml?%", "Authorization", ""), invalidParameter, "query string")
}

func TestTheDocumentHasTheRoutesThatThereAre(t *testing.T) {
	s := serve(t)
	served := map[string][]string{}
	err := chi.Walk(s.routes(), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if strings.HasPrefix(route, "/api/") {
			served[route] = append(served[route], method)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, o := range apicheck.Served(t).Operations() {
		documented[o.Path] = true
		slices.Sort(served[o.Path])
		if got := served[o.Path]; !slices.Equal(got, []string{http.MethodGet, http.MethodHead}) {
			t.Errorf("%s is documented, and served for %v; want GET and HEAD", o.Path, got)
		}
	}
	for route := range served {
		if !documented[route] {
			t.Errorf("%s is served and not documented", route)
		}
	}
}

// target is a question at a path of the document.
func target(path string) string {
	return strings.NewReplacer("{account}", "acme", "{username}", "bob", "{id}", "e-1").Replace(path)
}

// TestTheDocumentHasTheParametersThatAreTaken: whoever sends one that is not is
// told all that are.
func TestTheDocumentHasTheParametersThatAreTaken(t *testing.T) {
	s := serve(t)
	for _, o := range apicheck.Served(t).Operations() {
		p := wantProblem(t, s.get(target(o.Path)+"?nonsense=1"), invalidParameter, "nonsense")
		taken := strings.Split(p.Errors[0].Allowed, ", ")
		if p.Errors[0].Allowed == "no parameters" {
			taken = nil
		}
		slices.Sort(taken)
		if documented := slices.Sorted(maps.Keys(o.Query)); !slices.Equal(taken, documented) {
			t.Errorf("%s takes %v, and the document has %v", o.Path, taken, documented)
		}
	}
}

// words writes values as the parameters take them.
func words[T any](values []T) []string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = fmt.Sprint(v)
	}
	return all
}

// numbers writes codes as the parameters take them.
func numbers[T ~uint8](codes []T) []string {
	all := make([]string, len(codes))
	for i, c := range codes {
		all[i] = fmt.Sprint(uint8(c))
	}
	return all
}

func TestTheDocumentHasTheValuesThatThereAre(t *testing.T) {
	known := map[string][]string{
		"status": numbers(event.Statuses()), "entry": numbers(event.Entries()), "kind": words(event.Kinds()),
		"outcome": words(event.Outcomes()), "mfa_method": append([]string{""}, words(event.MFAMethods())...),
		"interval": words(query.Intervals()), "fields": words(query.Facets()),
	}
	s := serve(t)
	for _, o := range apicheck.Served(t).Operations() {
		for name, values := range o.Query {
			if want := known[name]; want != nil && !slices.Equal(values, want) {
				t.Errorf("%s: the document has the values %v of %s, want %v", o.Path, values, name, want)
			}
			if values == nil || strings.HasSuffix(o.Path, "/stream") || strings.HasSuffix(o.Path, "/export") {
				continue // those who stream are asked by their own tests
			}
			for _, value := range values {
				if w := s.get(target(o.Path) + "?" + name + "=" + value); w.Code != http.StatusOK {
					t.Errorf("%s: %s=%s is documented and refused: %s", o.Path, name, value, w.Body)
				}
			}
			p := wantProblem(t, s.get(target(o.Path)+"?"+name+"=nonsense"), invalidParameter, name)
			for _, value := range values {
				if !strings.Contains(p.Errors[0].Allowed, strings.TrimPrefix(value, "-")) {
					t.Errorf("%s: %s=%s is documented and not in %q", o.Path, name, value, p.Errors[0].Allowed)
				}
			}
		}
	}
}

func TestTheDocumentHasTheBoundsThatThereAre(t *testing.T) {
	s := serve(t)
	for _, o := range apicheck.Served(t).Operations() {
		for name, most := range map[string]int{"limit": query.MaxLimit, "top": query.MaxTop} {
			if _, ok := o.Query[name]; !ok {
				continue
			}
			for _, n := range []int{1, most} { // the document has bounds too
				if w := s.get(fmt.Sprintf("%s?%s=%d", target(o.Path), name, n)); w.Code != http.StatusOK {
					t.Errorf("%s: %s=%d is %d", o.Path, name, n, w.Code)
				}
			}
			for _, n := range []int{0, most + 1} {
				wantProblem(t, s.get(fmt.Sprintf("%s?%s=%d", target(o.Path), name, n)), invalidParameter, name)
			}
		}
	}
}

// TestEveryWrongParameterOfARequestIsNamed, whatever the question.
func TestEveryWrongParameterOfARequestIsNamed(t *testing.T) {
	wrong := map[string]string{
		"start": "x", "end": "x", "as_of": "x", "at": "x", "last_login_after": "x", "last_login_before": "x", "tz": "Nowhere",
		"ip": "x", "logged_in": "x", "never_logged_in": "x", "limit": "x", "cursor": "x", "stream_seq": "x", "top": "x", "last_event_id": "x",
	}
	s := serve(t)
	for _, o := range apicheck.Served(t).Operations() {
		var sent, want []string
		for name, values := range o.Query {
			value, known := wrong[name]
			if values != nil {
				value, known = "nonsense", true
			}
			if known {
				sent, want = append(sent, name+"="+value), append(want, name)
			}
		}
		sent, want = append(sent, "other=1"), append(want, "other")
		w := s.get(target(o.Path) + "?" + strings.Join(sent, "&"))
		named := map[string]bool{}
		for _, e := range decoded[problem](t, w).Errors {
			named[e.Parameter] = true
		}
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(named)); w.Code != http.StatusBadRequest || !slices.Equal(got, want) {
			t.Errorf("%s: %d names %v, want %v", o.Path, w.Code, got, want)
		}
	}
}

// provoked are the statuses of a question in every situation that there is.
func provoked(t *testing.T, path string) map[string]bool {
	t.Helper()
	seen := map[string]bool{}
	ask := func(prepare func(served), query string, headers ...string) {
		t.Helper()
		s := serve(t)
		s.stand("1")
		prepare(s)
		seen[fmt.Sprint(s.get(target(path)+query, headers...).Code)] = true
	}
	nothing := func(served) {}
	ask(nothing, "")
	ask(nothing, "?nonsense=1")
	ask(nothing, "", "Authorization", "")
	for _, err := range []error{query.ErrTooHeavy, query.ErrUnavailable, errors.New("our fault")} {
		ask(func(s served) { s.shapes.err = err }, "")
	}
	ask(func(s served) { s.authenticate = func(*http.Request) (access.Viewer, error) { panic("our fault") } }, "")
	for _, account := range []string{"acme", "other"} { // of other accounts nobody learns that they exist
		ask(func(s served) {
			s.authenticate = func(*http.Request) (access.Viewer, error) {
				return access.Viewer{Grants: map[string][]access.Right{account: {access.AccessRead}}}, nil
			}
		}, "")
	}
	for _, settled := range []string{"", "?as_of=2026-11-01", "?end=2026-11-01"} {
		s := serve(t)
		s.stand("1")
		if tag := s.get(target(path) + settled).Header().Get("ETag"); tag != "" {
			ask(nothing, settled, "If-None-Match", tag)
		}
	}
	return seen
}

// TestTheDocumentHasTheStatusesThatThereAre, and no others.
func TestTheDocumentHasTheStatusesThatThereAre(t *testing.T) {
	elsewhere := map[string][]string{ // these have tests of their own
		"/api/v1/openapi.yaml":              {"500"},
		"/api/v1/accounts/{account}/export": {"426", "429"},
		"/api/v1/accounts/{account}/stream": {"200", "500"},
	}
	for _, o := range apicheck.Served(t).Operations() {
		seen := provoked(t, o.Path)
		for _, status := range elsewhere[o.Path] {
			seen[status] = true
		}
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, o.Statuses) {
			t.Errorf("%s answers %v, and the document has %v", o.Path, got, o.Statuses)
		}
	}
}

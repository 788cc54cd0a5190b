package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests need the zones on every machine

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/apicheck"
	"github.com/loginaudit/loginaudit/internal/query"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// shapes is a store for the shape of requests and answers only: it records
// what it was asked and answers what it was told. What the answers mean is
// tested against the real store.
type shapes struct {
	err     error
	wait    bool // for the end of the context
	asked   []any
	users   query.UserPage
	user    query.UserDetail
	events  query.EventPage
	details query.EventDetails
	history query.AttemptPage
	status  query.Status
	bars    query.Histogram
	facets  query.FacetAnswer
	opened  query.SessionPage
	mark    query.Watermark
}

func (s *shapes) ask(ctx context.Context, what ...any) error {
	s.asked = what
	if s.wait {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.err
}

func (s *shapes) Users(ctx context.Context, account string, f query.UserFilter) (query.UserPage, error) {
	return s.users, s.ask(ctx, account, f)
}

func (s *shapes) User(ctx context.Context, account, username string, asOf time.Time) (query.UserDetail, error) {
	return s.user, s.ask(ctx, account, username, asOf)
}

func (s *shapes) Attempts(ctx context.Context, account string, f query.AttemptFilter) (query.AttemptPage, error) {
	return s.history, s.ask(ctx, account, f)
}

func (s *shapes) Sessions(ctx context.Context, account string, f query.SessionFilter) (query.SessionPage, error) {
	return s.opened, s.ask(ctx, account, f)
}

func (s *shapes) Events(ctx context.Context, account string, f query.EventFilter) (query.EventPage, error) {
	return s.events, s.ask(ctx, account, f)
}

func (s *shapes) UserEvents(ctx context.Context, account string, f query.EventFilter) (query.EventPage, error) {
	return s.events, s.ask(ctx, "user", account, f)
}

func (s *shapes) Event(ctx context.Context, account string, q query.EventQuestion) (query.EventDetails, error) {
	return s.details, s.ask(ctx, account, q.ID, q.Now)
}

func (s *shapes) Histogram(ctx context.Context, account string, q query.HistogramQuestion) (query.Histogram, error) {
	return s.bars, s.ask(ctx, account, q)
}

func (s *shapes) Facets(ctx context.Context, account string, q query.FacetsQuestion) (query.FacetAnswer, error) {
	return s.facets, s.ask(ctx, account, q)
}

func (s *shapes) Export(ctx context.Context, account string, f query.EventFilter, each func([]query.Event) error) (query.Watermark, error) {
	for _, e := range s.events.Events {
		if err := each([]query.Event{e}); err != nil {
			return s.mark, err
		}
	}
	return s.mark, s.ask(ctx, account, f)
}

func (s *shapes) Accounts(ctx context.Context) ([]string, error) {
	return []string{"acme"}, s.ask(ctx)
}

func (s *shapes) Watermark(ctx context.Context) (query.Watermark, error) {
	return s.mark, s.ask(ctx, "watermark")
}

func (s *shapes) Status(ctx context.Context) (query.Status, error) {
	return s.status, s.ask(ctx, "status")
}

// served is a Server with what it wrote and was asked.
type served struct {
	*Server
	shapes  *shapes
	token   access.AdminToken
	logs    *observer.ObservedLogs
	metrics *prometheus.Registry
}

func serve(t testing.TB) served {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	s := served{shapes: bareShapes(), token: access.NewAdminToken(), logs: logs, metrics: prometheus.NewRegistry()}
	clock := func() time.Time { return now }
	server, err := New(Config{
		Store: s.shapes, Access: access.New(access.Config{Token: s.token, Now: clock}),
		Log: zap.New(core), Registerer: s.metrics, Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	server.handler = apicheck.Handler(t, server.handler) // every answer of every test
	s.Server = server
	return s
}

// send sends a request with the token, unless other headers are given.
func (s served) send(method, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Authorization", "Bearer "+s.token.Secret())
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func (s served) get(target string, headers ...string) *httptest.ResponseRecorder {
	return s.send(http.MethodGet, target, headers...)
}

const acme = "/api/v1/accounts/acme"

// decoded is the body as a value.
func decoded[T any](t testing.TB, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	return v
}

// wantProblem checks everything that the contract says of an error.
func wantProblem(t testing.TB, w *httptest.ResponseRecorder, k problemKind, parameters ...string) problem {
	t.Helper()
	if w.Code != k.status || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%d %s %s, want %d and a problem", w.Code, w.Header().Get("Content-Type"), w.Body, k.status)
	}
	p := decoded[problem](t, w)
	if p.Type != "/problems/"+k.slug || p.Status != k.status || p.Title != k.title || p.Detail == "" ||
		p.RequestID == "" || p.RequestID != w.Header().Get("X-Request-Id") || p.Errors == nil {
		t.Errorf("the problem is %+v", p)
	}
	var named []string
	for _, e := range p.Errors {
		named = append(named, e.Parameter)
		if e.Detail == "" || e.Allowed == "" {
			t.Errorf("%+v does not say what is wrong and what is allowed", e)
		}
	}
	if strings.Join(named, " ") != strings.Join(parameters, " ") {
		t.Errorf("the problem names %v, want %v", named, parameters)
	}
	return p
}

func TestServerNeedsAStoreAndAccess(t *testing.T) {
	if _, err := New(Config{Store: &shapes{}}); err == nil {
		t.Error("a server without access was made")
	}
	if _, err := New(Config{Access: access.New(access.Config{})}); err == nil {
		t.Error("a server without a store was made")
	}
	if _, err := New(Config{Store: &shapes{}, Access: access.New(access.Config{})}); err != nil {
		t.Errorf("with nothing else: %v", err)
	}
	r := prometheus.NewRegistry()
	c := Config{Store: &shapes{}, Access: access.New(access.Config{}), Registerer: r}
	if _, err := New(c); err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); err == nil {
		t.Error("the metrics are registered twice")
	}
}

// form posts a form as a browser on this site does.
func (s served) form(path string, fields url.Values, cookies ...*http.Cookie) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(fields.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

// cookies are those that the answer sets.
func cookies(w *httptest.ResponseRecorder) []*http.Cookie {
	res := http.Response{Header: w.Header()}
	return res.Cookies()
}

// counted is the value of the counter with these values of its labels.
func (s served) counted(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := s.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var values []string
			for _, label := range metric.GetLabel() {
				values = append(values, label.GetValue())
			}
			if family.GetName() == name && slices.Equal(values, labels) {
				return metric.GetCounter().GetValue()
			}
		}
	}
	return 0
}

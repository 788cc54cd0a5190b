package web

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests need the zones on every machine

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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

func (s *shapes) Accounts(ctx context.Context) ([]string, error) {
	return []string{"acme"}, s.ask(ctx)
}

func (s *shapes) Watermark(ctx context.Context) (query.Watermark, error) {
	return query.Watermark{}, s.ask(ctx)
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
	s := served{shapes: &shapes{}, token: access.NewAdminToken(), logs: logs, metrics: prometheus.NewRegistry()}
	clock := func() time.Time { return now }
	server, err := New(Config{
		Store: s.shapes, Access: access.New(access.Config{Token: s.token, Now: clock}),
		Log: zap.New(core), Registerer: s.metrics, Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
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

func ptr[T any](v T) *T { return &v }

// someEvent has every field, and what JSON encoders like to change.
func someEvent(id string) query.Event {
	at := query.At(time.Date(2026, 11, 1, 9, 30, 15, 120000000, time.UTC))
	return query.Event{
		ID: id, Account: "acme", Username: "bob <b@x.example> & \"co\"\u2028\x00é", OccurredAt: at,
		Entry: 1, EntryName: event.Entry(1).Name(), Status: 25, StatusName: event.Status(25).Name(),
		Kind: event.KindMFA, Outcome: event.OutcomePending, SessionID: ptr("s-1"), IP: ptr("192.0.2.7"), UserAgent: ptr("curl/8"),
		Service: ptr("sso"), MFAMethod: ptr(event.MFAMethod("totp")), DeviceID: ptr("d-1"), RequestID: ptr("r-1"), Reason: ptr("why"),
		Attributes: map[string]string{"a": "<1>"}, ReceivedAt: at, IngestedAt: at, StreamSeq: 7, Conflict: true,
		Hash: event.Hash{1, 2, 3},
	}
}

// bareEvent has only what is required.
func bareEvent(id string) query.Event {
	at := query.At(time.Date(2026, 11, 1, 9, 30, 15, 0, time.UTC))
	return query.Event{
		ID: id, Account: "acme", Username: "eve", OccurredAt: at, Entry: 2, EntryName: event.Entry(2).Name(), Status: 5,
		StatusName: event.Status(5).Name(), Kind: event.KindLogin, Outcome: event.OutcomeFailure, ReceivedAt: at, IngestedAt: at, StreamSeq: 8,
	}
}

func someWatermark() query.Watermark {
	return query.Watermark{StreamSeq: 42, Time: ptr(query.At(now)), LagMS: 250}
}

func someUser() query.User {
	login := &query.Activity{At: query.At(now), EventID: "e-1", Status: 1, Outcome: event.OutcomeSuccess}
	return query.User{
		Username: "bob", LastLogin: login, LastLoginSuccess: login, Entry: 1, EntryName: event.Entry(1).Name(),
		Status: 1, StatusName: event.Status(1).Name(), LoggedIn: true, OpenSessions: 1,
	}
}

func someAttempt() query.Attempt {
	return query.Attempt{
		SessionID: ptr("s-1"), Username: "bob", StartedAt: query.At(now), LoginAt: ptr(query.At(now)), Entry: 1,
		EntryName: event.Entry(1).Name(), Status: 1, StatusName: event.Status(1).Name(), Outcome: event.OutcomeSuccess,
		State: query.StateOpen, IP: ptr("192.0.2.7"), UserAgent: ptr("curl/8"), Events: 1, EventIDs: []string{"e-1"},
	}
}

// golden compares the answer with the file, after indenting both.
func golden(t testing.TB, w *httptest.ResponseRecorder, name string) {
	t.Helper()
	var got bytes.Buffer
	if err := json.Indent(&got, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatalf("%v in %q", err, w.Body)
	}
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("%s: the answer is\n%s\nwant\n%s", path, got.Bytes(), want)
	}
}

func TestAnswersHaveTheShapeOfTheContract(t *testing.T) {
	s := serve(t)
	s.shapes.users = query.UserPage{
		Users:     []query.User{someUser(), {Username: "eve", Entry: 8, EntryName: event.Entry(8).Name(), Status: 15, StatusName: event.Status(15).Name()}},
		Next:      &query.UserPosition{Username: "eve"},
		Watermark: someWatermark(),
	}
	s.shapes.user = query.UserDetail{User: someUser(), Watermark: someWatermark(), Sessions: []query.Session{
		{Username: "bob", OpenedAt: ptr(query.At(now)), Status: 1, StatusName: "Active", State: query.StateOpen, Events: 2},
	}}
	s.shapes.history = query.AttemptPage{
		Attempts: []query.Attempt{someAttempt(), {
			Username: "bob", StartedAt: query.At(now), Entry: 1, EntryName: event.Entry(1).Name(), Status: 5,
			StatusName: event.Status(5).Name(), Outcome: event.OutcomeFailure, State: query.StateNone, Events: 1,
		}},
		Watermark: someWatermark(),
	}
	s.shapes.events = query.EventPage{
		Events: []query.Event{someEvent("e-1"), bareEvent("e-2")},
		Next:   ptr(bareEvent("e-2").Position()), Watermark: someWatermark(),
	}
	raw := query.RawEvent{Event: someEvent("e-1"), Raw: "{\"id\": \"e-1\",\t\"x\": \"<\u2028>\"}"}
	s.shapes.details = query.EventDetails{
		Event: raw, Versions: []query.RawEvent{raw, raw}, Attempt: someAttempt(),
		AttemptEvents: []query.Event{someEvent("e-1")}, Watermark: someWatermark(),
	}
	s.shapes.bars = query.Histogram{
		Interval:  "1h",
		Buckets:   []query.Bar{{Start: query.At(now), End: query.At(now.Add(time.Hour)), Total: 6, Success: 3, Failure: 2, Pending: 1}},
		Watermark: someWatermark(),
	}
	s.shapes.facets = query.FacetAnswer{
		Facets: map[query.Facet][]query.FacetValue{
			query.FacetStatus:   {{Value: event.Status(1), Name: event.Status(1).Name(), Count: 4}},
			query.FacetUsername: {{Value: "bob", Count: 3}, {Count: 2}},
			query.FacetIP:       nil,
		},
		Others: map[query.Facet]uint64{query.FacetStatus: 2, query.FacetUsername: 1}, Total: 6, Watermark: someWatermark(),
	}
	for name, target := range map[string]string{
		"histogram":   acme + "/histogram",
		"facets":      acme + "/facets",
		"users":       acme + "/users",
		"user":        acme + "/users/bob",
		"attempts":    acme + "/users/bob/attempts",
		"user_events": acme + "/users/bob/events",
		"events":      acme + "/events?q=x",
		"event":       acme + "/events/e-1",
		"codes":       "/api/v1/codes",
	} {
		t.Run(name, func(t *testing.T) {
			w := s.get(target)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("%d %s", w.Code, w.Header().Get("Content-Type"))
			}
			golden(t, w, name)
		})
	}
}

func TestAnswersWithoutRowsAreEmptyListsNeverNull(t *testing.T) {
	s := serve(t)
	for name, target := range map[string]string{
		"empty_users":    acme + "/users",
		"empty_user":     acme + "/users/bob",
		"empty_attempts": acme + "/users/bob/attempts",
		"empty_events":   acme + "/events",
		"empty_event":    acme + "/events/e-1",
		"empty_bars":     acme + "/histogram",
		"empty_facets":   acme + "/facets",
	} {
		t.Run(name, func(t *testing.T) { golden(t, s.get(target), name) })
	}
}

func TestAnswersKeepTextsExactly(t *testing.T) {
	s := serve(t)
	want := someEvent("e-1").Username
	s.shapes.events.Events = []query.Event{someEvent("e-1")}
	w := s.get(acme + "/events")
	if got := decoded[eventList](t, w).Events[0].Username; got != want {
		t.Errorf("the username is %q, want %q", got, want)
	}
	if !strings.Contains(w.Body.String(), "<b@x.example> &") {
		t.Errorf("texts are escaped for HTML: %s", w.Body)
	}
}

func TestAnswersThatCannotBeWrittenAreNotWrittenInPart(t *testing.T) {
	w := httptest.NewRecorder()
	if err := writeJSON(w, []any{"x", math.NaN()}); err == nil || w.Body.Len() != 0 {
		t.Errorf("%v, and %q is written", err, w.Body)
	}
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

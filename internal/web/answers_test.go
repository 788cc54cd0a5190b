package web

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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
		Users:     []query.User{someUser(), bareUser("eve")},
		Next:      &query.UserPosition{Username: "eve"},
		Watermark: someWatermark(),
	}
	s.shapes.user = query.UserDetail{User: someUser(), Watermark: someWatermark(), Sessions: []query.Session{
		{Username: "bob", OpenedAt: ptr(query.At(now)), Status: 1, StatusName: "Active", State: query.StateOpen, Events: 2},
	}}
	s.shapes.history = query.AttemptPage{
		Attempts:  []query.Attempt{someAttempt(), bareAttempt()},
		Watermark: someWatermark(),
	}
	s.shapes.opened = query.SessionPage{
		Sessions: []query.Session{
			{
				Username: "bob", SessionID: ptr("s-1"), OpenedAt: ptr(query.At(now)), ClosedAt: ptr(query.At(now.Add(time.Hour))), Status: 2,
				StatusName: event.Status(2).Name(), State: query.StateClosed, IP: ptr("192.0.2.7"), UserAgent: ptr("curl/8"), Events: 3,
			},
			{Username: "eve", OpenedAt: ptr(query.At(now)), Status: 1, StatusName: event.Status(1).Name(), State: query.StateExpired, Events: 1},
		},
		Next: &query.Position{At: now, Rank: 3}, Watermark: someWatermark(),
	}
	s.shapes.events = query.EventPage{
		Events: []query.Event{someEvent("e-1"), bareEvent("e-2")},
		Next:   ptr(bareEvent("e-2").Position()), Watermark: someWatermark(),
	}
	raw := query.RawEvent{Event: someEvent("e-1"), Raw: "{\"id\": \"e-1\",\t\"x\": \"<\u2028>\"}"}
	s.shapes.details = query.EventDetails{
		Event: raw, Versions: []query.RawEvent{raw, raw}, VersionsTotal: 2, Attempt: someAttempt(),
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
		"sessions":    acme + "/sessions?state=closed",
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
		"empty_sessions": acme + "/sessions",
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

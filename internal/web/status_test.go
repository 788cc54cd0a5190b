package web

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

const statusPath = "/api/v1/status"

func gapsOf(created time.Time) []query.Gap {
	return []query.Gap{
		{FromSeq: 901, Reason: query.GapReplaced, FoundAt: query.At(now), StreamCreated: query.At(created)},
		{FromSeq: 4, ToSeq: ptr(uint64(9)), Messages: ptr(uint64(6)), Reason: query.GapExpired, FoundAt: query.At(now.Add(-time.Hour)), StreamCreated: query.At(created)},
	}
}

func someStatus() query.Status {
	created := now.Add(-24 * time.Hour)
	mark := someWatermark()
	mark.Gaps, mark.GapsTotal = gapsOf(created), 2
	return query.Status{
		Watermark: mark, Gaps: gapsOf(created), GapsTotal: 2,
		Lag: query.Lag{Messages: ptr(uint64(12)), Seconds: ptr(0.412)},
		Stream: &query.StreamStatus{
			Name: "LOGIN_EVENTS", Created: query.At(created), Generation: 2, FirstSeq: 10, LastSeq: 120946,
			FirstTime: ptr(query.At(created)), LastTime: ptr(query.At(now)), Messages: 120937, Bytes: 80 << 20,
			MaxAgeSeconds: ptr(2592000.0), Replicas: 1,
		},
		Consumer: &query.ConsumerStatus{AckFloor: 120934, Pending: 2, AckPending: 10, Redelivered: 1},
		Parked: &query.ParkedStatus{
			Messages: 3, Open: ptr(uint64(1)), Bytes: 900, MaxBytes: ptr(uint64(1 << 30)), LastSeq: 3, LastTime: ptr(query.At(now)),
		},
		LastCommit: ptr(query.At(now)), Reported: ptr(query.At(now)), ReportAgeMS: ptr(int64(300)),
		Workers: []query.WorkerStatus{{
			Name: "host:7", Version: "1.2.3", Started: query.At(created), Reported: query.At(now), ReportAgeMS: 300,
			LastCommit: ptr(query.At(now)),
		}},
		Versions: query.Versions{ClickHouse: "26.8.36.3", NATS: ptr("2.15.2"), Schema: query.SchemaVersions{Database: 15, Program: 15}},
	}
}

func TestStatusHasTheShapeOfItsDescription(t *testing.T) {
	s := serve(t)
	s.version = "1.2.3"
	s.shapes.status = someStatus()
	w := s.get(statusPath)
	if w.Code != http.StatusOK {
		t.Errorf("%d", w.Code)
	}
	golden(t, w, "status")
	s.shapes.status = query.Status{}
	golden(t, s.get(statusPath), "empty_status")
}

func TestStatusOfAPipelineThatIsBehindIsAnAnswer(t *testing.T) {
	s := serve(t)
	s.shapes.status = someStatus()
	s.shapes.status.Lag.Seconds = ptr(300.0)
	w := s.get(statusPath)
	if got := decoded[query.Status](t, w); w.Code != http.StatusOK || got.State != query.PipelineBehind || len(got.Reasons) != 1 {
		t.Errorf("%d %s %q", w.Code, got.State, got.Reasons)
	}
}

func TestStatusNeedsCredentialsAndNoParameters(t *testing.T) {
	s := serve(t)
	if w := s.send(http.MethodGet, statusPath, "Authorization", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("without credentials: %d", w.Code)
	}
	if w := s.get(statusPath + "?verbose=1"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "verbose") {
		t.Errorf("with a parameter: %d %s", w.Code, w.Body)
	}
	if w := s.get(statusPath + "?%zz"); w.Code != http.StatusBadRequest {
		t.Errorf("with a broken query string: %d", w.Code)
	}
}

func TestStatusOfAStoreThatCannotBeAskedIs503(t *testing.T) {
	s := serve(t)
	for _, err := range []error{query.ErrUnavailable, query.ErrTooHeavy} {
		s.shapes.err = err
		if w := s.get(statusPath); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%v: %d %s", err, w.Code, w.Body)
		}
	}
	s.shapes.err = errors.New("our fault")
	if w := s.get(statusPath); w.Code != http.StatusInternalServerError {
		t.Errorf("another error: %d", w.Code)
	}
	s.shapes.err, s.shapes.wait, s.queryTimeout = nil, true, time.Millisecond
	if w := s.get(statusPath); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a store that does not answer: %d", w.Code)
	}
}

func TestGapsAreInTheWatermarkOfEveryAnswerOnlyWhereThereAreAny(t *testing.T) {
	s := serve(t)
	s.shapes.events.Watermark = someStatus().Watermark
	golden(t, s.get(acme+"/events"), "events_with_gaps")
	s.shapes.events.Watermark = someWatermark()
	if w := s.get(acme + "/events"); strings.Contains(w.Body.String(), "gaps") {
		t.Errorf("gaps where there are none: %s", w.Body)
	}
}

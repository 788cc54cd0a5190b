package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

func TestAQuestionThatIsTooHeavyGetsANarrowerOneToAskInstead(t *testing.T) {
	for target, want := range map[string]string{
		"/events?start=2026-01-01&end=2026-10-31&q=x":       "2026-10-02T00:00:00.000000Z 2026-11-01T00:00:00.000000Z",
		"/events?start=2026-11-01&end=2026-11-01&order=asc": "2026-11-01T00:00:00.000000Z 2026-11-01T12:00:00.000000Z",
		"/events?start=-2h": "2026-11-23T11:00:00.000000Z 2026-11-23T12:00:00.000000Z",
		"/users/bob/events": "2026-10-24T12:00:00.000000Z 2026-11-23T12:00:00.000000Z",
		"/users/b%2Fb/attempts?end=2026-06-30&tz=Etc/GMT-1":   "2026-05-31T23:00:00.000000Z 2026-06-30T23:00:00.000000Z",
		"/sessions?state=closed":                              "2026-10-24T12:00:00.000000Z 2026-11-23T12:00:00.000000Z",
		"/histogram?start=2020-01-01&interval=1d&status=1":    "2026-10-24T12:00:00.000000Z 2026-11-23T12:00:00.000000Z",
		"/facets?start=2026-11-22&end=2026-11-22&fields=kind": "2026-11-22T12:00:00.000000Z 2026-11-23T00:00:00.000000Z",
	} {
		for _, heavy := range []error{query.ErrTooHeavy, context.DeadlineExceeded} {
			s := serve(t)
			s.shapes.err = fmt.Errorf("ask: %w", heavy)
			p := wantProblem(t, s.get(acme+target), tooHeavy)
			if p.Proposal == nil {
				t.Fatalf("%s: nothing is proposed: %+v", target, p)
			}
			got := p.Proposal.Start.String() + " " + p.Proposal.End.String()
			if got != want || !strings.Contains(p.Detail, "narrow the range, such as to "+strings.Replace(want, " ", " until ", 1)) {
				t.Errorf("%s: %s is proposed, want %s; %q", target, got, want, p.Detail)
			}
			s.shapes.err = nil
			if w := s.get(p.Proposal.URL); w.Code != http.StatusOK {
				t.Errorf("%s: the proposal %s is %d %s", target, p.Proposal.URL, w.Code, w.Body)
			}
			if r := s.askedRange(); !r.Start.Equal(p.Proposal.Start.Time) || !r.End.Equal(p.Proposal.End.Time) {
				t.Errorf("%s: the proposal asks for %v", target, r)
			}
		}
	}
}

// askedRange is the range of the last question.
func (s served) askedRange() query.TimeRange {
	switch f := s.shapes.asked[len(s.shapes.asked)-1].(type) {
	case query.EventFilter:
		return f.Range
	case query.AttemptFilter:
		return f.Range
	case query.SessionFilter:
		return f.Range
	case query.HistogramQuestion:
		return f.Filter.Range
	case query.FacetsQuestion:
		return f.Filter.Range
	}
	return query.TimeRange{}
}

func TestAProposalKeepsTheFiltersAndBeginsAtItsFirstPage(t *testing.T) {
	s := serve(t)
	s.shapes.events.Next = &query.Position{At: time.Date(2026, 6, 30, 12, 0, 0, 0, time.UTC)}
	page := next(t, s.get(acme+"/events?start=2026-01-01&end=2026-10-31&status=1&status=2&q=a%26b&limit=9"))
	s.shapes.err = query.ErrTooHeavy
	p := wantProblem(t, s.get(page), tooHeavy)
	want := acme + "/events?end=2026-06-30T12%3A00%3A00.000001Z&limit=9&q=a%26b&start=2026-05-31T12%3A00%3A00.000001Z&status=1&status=2"
	if p.Proposal == nil || p.Proposal.URL != want {
		t.Errorf("%+v is proposed, want %s", p.Proposal, want)
	}
}

func TestWhatCannotBeNarrowedInTimeGetsAdviceOnly(t *testing.T) {
	s := serve(t)
	s.shapes.err = query.ErrTooHeavy
	for _, target := range []string{"/users", "/users/bob", "/events/e-1", "/events?start=2026-11-01T00:00:00Z&end=2026-11-01T00:00:01Z"} {
		p := wantProblem(t, s.get(acme+target), tooHeavy)
		if p.Proposal != nil || !strings.Contains(p.Detail, "another filter") {
			t.Errorf("%s: %+v", target, p)
		}
	}
}

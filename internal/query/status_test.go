package query_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

func to[T any](v T) *T { return &v }

// healthy is a pipeline with a worker that reported a moment ago.
func healthy() query.Status {
	return query.Status{
		ReportAgeMS: to(int64(400)), Lag: query.Lag{Messages: to(uint64(0)), Seconds: to(0.2)},
		Workers: []query.WorkerStatus{{Name: "a:1", ReportAgeMS: 400}},
	}
}

func TestStatusIsJudgedByWhatIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*query.Status)
		state   query.PipelineState
		reasons []string // a part of each
	}{
		"all well":              {func(*query.Status) {}, query.PipelineOK, nil},
		"quiet, but not behind": {func(s *query.Status) { s.Quiet = time.Hour }, query.PipelineOK, nil},
		"behind":                {func(s *query.Status) { s.Lag.Seconds = to(11.0) }, query.PipelineBehind, []string{"11s behind"}},
		"behind, but it works": {func(s *query.Status) { s.Lag.Seconds, s.Quiet = to(7200.0), time.Second },
			query.PipelineBehind, []string{"2h0m0s behind"}},
		"behind, and nothing happens": {func(s *query.Status) { s.Lag.Seconds, s.Quiet = to(120.0), 2*time.Minute },
			query.PipelineStalled, []string{"no batch was finished for 2m0s"}},
		"no report ever": {func(s *query.Status) { s.ReportAgeMS, s.Workers = nil, nil },
			query.PipelineUnknown, []string{"no ingest worker has reported"}},
		"no report any more": {func(s *query.Status) { s.ReportAgeMS, s.Lag.Seconds = to(int64(40_000)), to(45.0) },
			query.PipelineUnknown, []string{"for 40s"}},
		"the only worker is in trouble": {func(s *query.Status) { s.Workers[0].Trouble = to("the disk is full") },
			query.PipelineStalled, []string{"worker a:1: the disk is full"}},
		"one of two is in trouble": {func(s *query.Status) {
			s.Workers = append(s.Workers, query.WorkerStatus{Name: "b:2", Trouble: to("no way")})
		}, query.PipelineOK, []string{"worker b:2: no way"}},
		"one in trouble, one silent": {func(s *query.Status) {
			s.Workers = append(s.Workers, query.WorkerStatus{Name: "b:2", Trouble: to("no way")})
			s.Workers[0].ReportAgeMS = 60_000
		}, query.PipelineStalled, []string{"no way"}},
		"another schema": {func(s *query.Status) { s.Versions.Schema.Database = 7 }, query.PipelineStalled, []string{"schema version 7"}},
		"two things": {func(s *query.Status) {
			s.Workers[0].Trouble, s.Lag.Seconds = to("no way"), to(30.0)
		}, query.PipelineStalled, []string{"no way", "30s behind"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthy()
			c.change(&s)
			s.Judge()
			if s.State != c.state || !slices.EqualFunc(s.Reasons, c.reasons, strings.Contains) {
				t.Errorf("%s because %q, want %s because of %q", s.State, s.Reasons, c.state, c.reasons)
			}
			if s.Reasons == nil {
				t.Error("the reasons are null")
			}
		})
	}
}

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// result is what one question has taken. Times are in milliseconds.
type result struct {
	Name   string  `json:"name"`
	Target float64 `json:"target_ms,omitempty"`
	N      int     `json:"n"`
	P50    float64 `json:"p50_ms"`
	P95    float64 `json:"p95_ms"`
	P99    float64 `json:"p99_ms"`
	Rows   float64 `json:"rows"` // in an answer
	Bytes  float64 `json:"bytes"`
	// Page is how far behind the first page the answers lie; 0 for the first.
	Page int `json:"page,omitempty"`
	// ServeCPU is what serve without its engine used for an answer, less what it
	// uses anyway.
	ServeCPU float64 `json:"serve_cpu_ms"`
	cost
	// Trouble is why there is no figure.
	Trouble string `json:"trouble,omitempty"`

	began, ended time.Time
}

// measure asks one question again and again, each time with other parameters.
func (b *bench) measure(ctx context.Context, a *asker, q question) result {
	r := result{Name: q.name, Target: ms(q.target)}
	fail := func(format string, args ...any) result {
		r.Trouble = fmt.Sprintf(format, args...)
		return r
	}
	if q.prepare != nil {
		var err error
		if r.Page, err = q.prepare(ctx, a); err != nil {
			return fail("prepare: %v", err)
		}
	}
	var took []time.Duration
	var rows, bytes int
	var cpu time.Duration
	for i := -b.waits.warmUps; i < b.options.n && (i < minN || time.Since(r.began) < b.options.within); i++ {
		if i == 0 {
			r.began, cpu = time.Now(), cpuTime(b.server.cmd.Process.Pid)
		}
		path := q.path(a)
		if path == "" {
			return fail("the set has nothing to ask about")
		}
		got, err := a.get(ctx, path)
		if err != nil {
			return fail("GET %s: %v", path, err)
		}
		if !q.expects(got.status) {
			return fail("GET %s: status %d: %.200s", path, got.status, got.body)
		}
		if i < 0 {
			continue
		}
		took = append(took, got.took)
		rows, bytes = rows+countRows(got.body), bytes+len(got.body)
	}
	r.ended = time.Now()
	n := float64(len(took))
	used := cpuTime(b.server.cmd.Process.Pid) - cpu - time.Duration(b.idle*float64(r.ended.Sub(r.began)))
	slices.Sort(took)
	r.N, r.P50, r.P95, r.P99 = len(took), ms(percentile(took, 50)), ms(percentile(took, 95)), ms(percentile(took, 99))
	r.Rows, r.Bytes, r.ServeCPU = float64(rows)/n, float64(bytes)/n, max(0, ms(used)/n)
	return r
}

// minN is how often a question is asked however long it takes.
const minN = 10

func (q question) expects(status int) bool {
	switch q.want {
	case 0:
		return status == http.StatusOK
	case anyStatus:
		return status == http.StatusOK || status == http.StatusNotFound
	}
	return status == q.want
}

// countRows is how many rows an answer holds.
func countRows(body []byte) int {
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		return 0
	}
	return p.rows()
}

// percentile is the least of the sorted values that is not exceeded by p percent
// of them (nearest rank); 0 of none.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

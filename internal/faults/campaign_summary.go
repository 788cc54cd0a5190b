package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// maxGoroutines is the most goroutines that a worker or the query service ever
// has, whatever is broken.
const maxGoroutines = 400

// summary is what is told at the end.
type summary struct {
	injected map[string]int
	// refused are batches that were not confirmed, restarts those of workers
	// that ended by themselves.
	refused, restarts int
	slowest           time.Duration // from the healing to lag 0
	goroutines        map[string]float64
	// again counts repeated deliveries: what the workers have counted when they
	// were last looked at, and all that a deleted consumer had delivered.
	again   float64
	counted map[*service]float64
}

func newSummary() summary {
	return summary{injected: map[string]int{}, goroutines: map[string]float64{}, counted: map[*service]float64{}}
}

// look looks at what workers and the query service take, and whether that is
// within the bounds.
func (c *campaign) look() {
	c.tb.Helper()
	all := []*service{&c.Query.service}
	for _, w := range c.team {
		all = append(all, &w.service)
	}
	for _, s := range all {
		if !s.runs() {
			continue
		}
		if peak := s.Peak(); peak > maxWorkerMemory {
			c.tb.Errorf("%s had %d MiB resident, at most %d are allowed", s.program, peak>>20, maxWorkerMemory>>20)
		}
		c.count(s)
		if n := c.summary.goroutines[s.program]; n > maxGoroutines {
			c.tb.Errorf("%s has %v goroutines, at most %d are allowed", s.program, n, maxGoroutines)
		}
	}
}

// count takes over what a process counts, which may be about to end.
func (c *campaign) count(s *service) {
	ctx, cancel := context.WithTimeout(c.tb.Context(), 2*time.Second)
	defer cancel()
	_, text, err := testsystem.Fetch(ctx, "http://"+s.admin+"/metrics", "")
	if err != nil {
		return
	}
	value := func(name string) (v float64) {
		_, rest, _ := strings.Cut(text, "\n"+name+" ")
		if _, err := fmt.Sscan(rest, &v); err != nil {
			return 0 // the other program has it
		}
		return v
	}
	c.summary.goroutines[s.program] = max(c.summary.goroutines[s.program], value("go_goroutines"))
	again, before := value("loginaudit_ingest_redeliveries_total"), c.summary.counted[s]
	if again < before {
		before = 0 // it was started again
	}
	c.summary.again += again - before
	c.summary.counted[s] = again
}

// tell logs the summary.
func (c *campaign) tell() {
	c.tb.Helper()
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	total := 0
	for _, name := range slices.Sorted(maps.Keys(c.summary.injected)) {
		fmt.Fprintf(table, "fault: %s\t%d\n", name, c.summary.injected[name])
		total += c.summary.injected[name]
	}
	var peak int64
	for _, w := range c.team {
		peak = max(peak, w.Peak())
	}
	var last uint64
	if info, err := c.StreamInfo(); err == nil {
		last = info.State.LastSeq
	}
	parked, err := c.Parked()
	fmt.Fprintf(table, "faults\t%d, of %d of %d kinds\n", total, len(c.summary.injected), len(campaignFaults()))
	fmt.Fprintf(table, "events confirmed\t%d\n", c.Confirmed())
	fmt.Fprintf(table, "batches not confirmed\t%d\n", c.summary.refused)
	fmt.Fprintf(table, "messages in the stream\t%d\n", last)
	fmt.Fprintf(table, "repeated deliveries, at least\t%.0f\n", c.summary.again)
	fmt.Fprintf(table, "parked\t%d\n", parked)
	fmt.Fprintf(table, "workers that ended by themselves\t%d\n", c.summary.restarts)
	fmt.Fprintf(table, "longest time to lag 0\t%s\n", c.summary.slowest.Round(time.Millisecond))
	fmt.Fprintf(table, "peak memory of a worker\t%d MiB\n", peak>>20)
	fmt.Fprintf(table, "peak memory of query\t%d MiB\n", c.Query.Peak()>>20)
	fmt.Fprintf(table, "most goroutines of a worker, of query\t%v, %v\n", c.summary.goroutines["ingest"], c.summary.goroutines["query"])
	fmt.Fprintf(table, "time\t%s\n", time.Since(c.began).Round(time.Second))
	if flushed := table.Flush(); err != nil || flushed != nil {
		c.tb.Logf("the summary is not whole: %v %v", err, flushed)
	}
	c.tb.Logf("seed %d:\n%s", c.options.Seed, text.String())
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// report is all that a run has measured.
type report struct {
	Machine  string        `json:"machine"`
	Loaded   manifest      `json:"loaded"`
	Rate     float64       `json:"live_events_a_second"`
	Disk     disk          `json:"disk"`
	Results  []result      `json:"questions"`
	Exports  []exported    `json:"exports,omitempty"`
	Ingested uint64        `json:"live_events"`
	Lag      time.Duration `json:"live_lag_ns"`
}

// write keeps the report for a comparison.
func (r report) write(name string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644) //nolint:gosec // figures, for everybody
}

func readReport(name string) (r report, err error) {
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read report %s: %w", name, err)
	}
	return r, nil
}

func (r report) show(out io.Writer, statements bool) {
	fmt.Fprintf(out, "%s; %d events, %d while they were asked about\n\n", r.Machine, r.Loaded.Rows, r.Ingested)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "question\taim\tp50\tp95\tp99\tn\trows\tstatements\ttheir ms\tCPU ms\tserve CPU\tread rows\tread MB\t")
	for i := range r.Results {
		q := &r.Results[i]
		if q.Trouble != "" {
			fmt.Fprintf(w, "%s\t\t\t\t\t\t\t\t\t\t\t\t%s\t\n", q.Name, q.Trouble)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.1f\t%.1f%s\t%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.0f\t%.1f\t\n", q.shown(), aim(q.Target), q.P50, q.P95, q.P99, q.missed(),
			q.N, q.Rows, q.Statements, q.StatementsTook, q.ClickHouseCPU, q.ServeCPU, q.ReadRows, q.ReadBytes/1e6)
		for _, s := range q.Each {
			if statements {
				fmt.Fprintf(w, "    %.110s\t\t\t\t\t\t\t%.1f\t%.1f\t%.1f\t\t%.0f\t%.1f\t\n", s.Text, s.Times, s.Took, s.CPU, s.ReadRows, s.ReadBytes/1e6)
			}
		}
	}
	w.Flush()
	for _, e := range r.Exports {
		if e.Trouble != "" {
			fmt.Fprintf(out, "export %s: %s\n", e.Format, e.Trouble)
			continue
		}
		fmt.Fprintf(out, "export %s: %d events in %.1f s, %.0f a second, %.0f bytes each, serve held at most %d MB\n",
			e.Format, e.Events, e.Took, e.Rate, float64(e.Bytes)/float64(e.Events), e.Peak)
	}
	fmt.Fprintf(out, "answers were %s behind at the end\n\n", r.Lag)
	r.Disk.show(out)
}

// shown is the name, with the page that was reached where one was meant.
func (r result) shown() string {
	if r.Page == 0 {
		return r.Name
	}
	return fmt.Sprintf("%s (it is page %d)", r.Name, r.Page)
}

// missed marks what took longer than it should.
func (r result) missed() string {
	if r.Target > 0 && r.P99 > r.Target {
		return " !"
	}
	return ""
}

func aim(target float64) string {
	if target == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", target)
}

func (d disk) show(out io.Writer) {
	fmt.Fprintf(out, "%.1f bytes on disk an event\n", d.Total)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, t := range d.Tables {
		var columns []string
		for _, c := range t.Columns {
			columns = append(columns, fmt.Sprintf("%s %.1f", c.Name, c.Bytes))
		}
		fmt.Fprintf(w, "%s\t%.1f\t%d rows\t%d parts\tbytes a row: %s\n", t.Name, t.Bytes, t.Rows, t.Parts, strings.Join(columns, ", "))
	}
	w.Flush()
}

// growth is how often longer a question may take on a larger set.
const growth = 2

// compare tells how the second run differs from the first, question by question.
func compare(out io.Writer, a, b report) {
	before := make(map[string]result)
	for _, r := range a.Results {
		before[r.Name] = r
	}
	fmt.Fprintf(out, "%d and %d events\n\n", a.Loaded.Rows, b.Loaded.Rows)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "question\tp50\tthen\tratio\tp99\tthen\tratio\tCPU ms\tthen\tratio\t")
	for _, r := range b.Results {
		old, ok := before[r.Name]
		if !ok || old.N == 0 || r.N == 0 {
			continue
		}
		mark := ""
		if r.P50 > growth*old.P50 {
			mark = "!"
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.2f\t%.1f\t%.1f\t%.2f\t%.1f\t%.1f\t%.2f\t%s\n", r.Name, old.P50, r.P50, ratio(old.P50, r.P50),
			old.P99, r.P99, ratio(old.P99, r.P99), old.ClickHouseCPU, r.ClickHouseCPU, ratio(old.ClickHouseCPU, r.ClickHouseCPU), mark)
	}
	w.Flush()
	fmt.Fprintf(out, "\nbytes on disk an event: %.1f, then %.1f\n", a.Disk.Total, b.Disk.Total)
}

func ratio(a, b float64) float64 {
	if a == 0 {
		return 0
	}
	return b / a
}

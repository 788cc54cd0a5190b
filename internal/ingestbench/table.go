package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// result is one line of the table.
type result struct {
	name   string
	rate   float64 // events/s
	detail string
}

func (b *bench) add(name string, events int, took time.Duration, detail string) {
	r := result{name: name, detail: detail}
	if took > 0 {
		r.rate = float64(events) / took.Seconds()
	}
	b.results = append(b.results, r)
	fmt.Fprintf(os.Stderr, "%-28s %9.0f events/s  %s\n", r.name, r.rate, r.detail)
}

// rate is that of an earlier result; 0 where it was not measured.
func (b *bench) rate(name string) float64 {
	for _, r := range b.results {
		if r.name == name {
			return r.rate
		}
	}
	return 0
}

func (b *bench) print(out io.Writer) {
	fmt.Fprintf(out, "%s, %d cores\n\n", processor(), runtime.NumCPU())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	ceiling := b.rate(ceilingName)
	fmt.Fprintln(w, "scenario\tevents/s\tof ceiling\t")
	for _, r := range b.results {
		share := ""
		if ceiling > 0 {
			share = fmt.Sprintf("%.0f %%", 100*r.rate/ceiling)
		}
		fmt.Fprintf(w, "%s\t%.0f\t%s\t%s\n", r.name, r.rate, share, r.detail)
	}
	w.Flush()
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

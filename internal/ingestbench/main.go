// Command ingestbench measures the ingest path on one machine, in one run, with
// the real parts as processes of their own: NATS JetStream that syncs every
// write, ClickHouse that syncs every insert with every projection on, and the
// worker. It prints a table; "make bench-ingest" runs it.
//
// What it measures is told with each scenario: ceiling.go, drain.go, naive.go,
// live.go, importing.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
)

// options are the flags.
type options struct {
	dir       string
	scenarios string
	events    int
	naive     int
	seconds   int
	profile   string
}

func main() {
	engine.MaybeRunChild()
	// The other processes are this binary, called by another name.
	switch filepath.Base(os.Args[0]) {
	case natsProgram:
		os.Exit(runNATS(os.Args[1:]))
	case ingestProgram:
		os.Exit(app.Execute(app.IngestCommand(), os.Args[1:]))
	case loginauditProgram:
		os.Exit(app.Execute(app.LoginauditCommand(), os.Args[1:]))
	}
	var o options
	flag.StringVar(&o.dir, "dir", "", "folder for the data; what a run filled is used again by the next (default: a new one, removed at the end)")
	flag.StringVar(&o.scenarios, "run", "ceiling,drain,naive,live,import", "what to measure, with commas")
	flag.IntVar(&o.events, "events", 2_000_000, "stored events to drain")
	flag.IntVar(&o.naive, "naive-events", 200_000, "stored events that the naive worker drains")
	flag.IntVar(&o.seconds, "live-seconds", 30, "how long each live rate lasts")
	flag.StringVar(&o.profile, "profile", "", "folder for CPU and heap profiles of the worker")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "ingestbench:", err)
		os.Exit(1) //nolint:gocritic // the signal's hook ends with the process
	}
}

// scenario is one measurement.
type scenario struct {
	name    string
	measure func(context.Context, *bench) error
}

func scenarios() []scenario {
	return []scenario{
		{"ceiling", ceiling},
		{"drain", drain},
		{"naive", naive},
		{"live", live},
		{"import", importing},
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "loginaudit-bench-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(o.scenarios, ",") {
		wanted[name] = true
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	for _, s := range scenarios() {
		if !wanted[s.name] {
			continue
		}
		if err := s.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.print(os.Stdout)
	return nil
}

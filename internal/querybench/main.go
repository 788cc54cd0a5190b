// Command querybench measures the questions of the API on one machine: it loads
// a large, skewed set of events through the tables and views of the schema, starts
// the real "loginaudit serve" on it, keeps events coming at a fixed rate, and asks
// over HTTP. It prints a table; "make bench-query" runs it.
//
// What is loaded is told in population.go and scenes.go, what is asked in
// questions.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
)

// options are the flags.
type options struct {
	dir      string
	events   int
	seed     uint64
	until    time.Time
	loadOnly bool
	// n and within bound how often and for how long a question is asked.
	n      int
	within time.Duration
	// chosen are those whose names it matches.
	chosen     *regexp.Regexp
	rate       int
	exports    string
	statements bool
	json       string
	compare    string
	postgres   bool
}

// loginauditProgram is the name by which this binary is called as another
// process.
const loginauditProgram = "bench-loginaudit"

func main() {
	engine.MaybeRunChild()
	switch filepath.Base(os.Args[0]) {
	case loginauditProgram:
		os.Exit(app.Execute(app.LoginauditCommand(), os.Args[1:]))
	case liveProgram:
		os.Exit(runLive(os.Args[1:]))
	}
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "querybench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "querybench:", err)
		os.Exit(1) //nolint:gocritic // the signal's hook ends with the process
	}
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("querybench", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "", "folder for the data; what a run loaded is used again by the next (default: a new one, removed at the end)")
	flags.IntVar(&o.events, "events", 20_000_000, "events to load")
	flags.Uint64Var(&o.seed, "seed", 1, "chooses who there is and what they do")
	until := flags.String("until", "", "the moment at which the loaded events end, RFC 3339 (default: now)")
	flags.BoolVar(&o.loadOnly, "load-only", false, "load and tell the bytes on disk, ask nothing")
	flags.IntVar(&o.n, "n", 200, "how often a question is asked")
	flags.DurationVar(&o.within, "within", 20*time.Second, "how long a question is asked at most")
	chosen := flags.String("questions", "", "ask only those whose name matches this regular expression")
	flags.IntVar(&o.rate, "rate", 2_000, "events a second that arrive meanwhile; 0: none")
	flags.StringVar(&o.exports, "exports", "ndjson,csv,parquet,ocsf", "formats in which the largest account is exported, with commas")
	flags.BoolVar(&o.statements, "statements", false, "tell what each question asks ClickHouse")
	flags.StringVar(&o.json, "json", "", "file for the figures, which -compare reads")
	flags.BoolVar(&o.postgres, "postgres", false, "ask PostgreSQL the same about the same events, side by side; nothing arrives meanwhile")
	flags.StringVar(&o.compare, "compare", "", "two such files, with a comma: tell how they differ, measure nothing")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.chosen, err = regexp.Compile(*chosen); err != nil {
		return o, fmt.Errorf("-questions: %w", err)
	}
	if *until != "" {
		if o.until, err = time.Parse(time.RFC3339, *until); err != nil {
			return o, fmt.Errorf("-until: %w", err)
		}
		o.until = o.until.UTC()
	}
	if o.rate < 0 {
		return o, fmt.Errorf("-rate: %d is not allowed; 0 or more", o.rate)
	}
	if o.n < 1 {
		return o, fmt.Errorf("-n: %d is not allowed; 1 or more", o.n)
	}
	if o.events < 1_000 {
		return o, fmt.Errorf("-events: %d is not allowed; 1,000 or more", o.events)
	}
	return o, nil
}

// bench is one run.
type bench struct {
	options options
	set     set
	loaded  manifest
	server  *server
	waits   waits
	// idle is the share of a processor that serve without its engine uses while
	// nobody asks.
	idle float64
}

// waits are how long things are let alone.
type waits struct {
	quiet   time.Duration // without a merge, until the tables count as settled
	arrive  time.Duration // events arrive before anything is asked
	idle    time.Duration // serve is watched while nobody asks
	warmUps int           // questions before those that count
}

func defaultWaits() waits {
	return waits{quiet: 15 * time.Second, arrive: 10 * time.Second, idle: 5 * time.Second, warmUps: 5}
}

func (b *bench) runDir() string { return filepath.Join(b.options.dir, "run") }

// tell says how far the run is.
func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// progress says it on a line that the next one replaces.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
}

func run(ctx context.Context, o options) (err error) {
	if o.compare != "" {
		return compareFiles(o.compare)
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "loginaudit-bench-*"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	b := &bench{options: o, waits: defaultWaits()}
	if err := b.ensureLoaded(ctx); err != nil {
		return err
	}
	if b.server, err = b.serve(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.close()) }()
	r := report{Machine: machine(), Loaded: b.loaded, Rate: float64(o.rate)}
	if r.Disk, err = b.measureDisk(ctx); err != nil {
		return err
	}
	if o.loadOnly {
		r.Disk.show(os.Stdout)
		return nil
	}
	if o.postgres {
		return b.sideBySide(ctx, r)
	}
	if err := b.ask(ctx, &r); err != nil {
		return err
	}
	r.show(os.Stdout, o.statements)
	if o.json != "" {
		return r.write(o.json)
	}
	return nil
}

func compareFiles(names string) error {
	first, second, ok := strings.Cut(names, ",")
	if !ok {
		return fmt.Errorf("-compare: %q is not allowed; two files with a comma", names)
	}
	a, err := readReport(first)
	if err != nil {
		return err
	}
	b, err := readReport(second)
	if err != nil {
		return err
	}
	compare(os.Stdout, a, b)
	return nil
}

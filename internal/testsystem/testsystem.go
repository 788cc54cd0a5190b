// Package testsystem runs the real programs for tests: as processes of their
// own, with signals, exit statuses and kill -9, and `loginaudit serve` with its
// API. It is imported by tests only, and knows the programs from the outside.
//
// The programs are the test binary itself, called by another name. So nothing
// is built, and with -race the detector is in the programs too: a test fails
// when one of its programs tells of a race. A test package has
//
//	func TestMain(m *testing.M) {
//		engine.MaybeRunChild() // the engine of serve is this binary as well
//		testsystem.Main(m, testsystem.Programs{"loginaudit": func(args []string) int {
//			return app.Execute(app.LoginauditCommand(), args)
//		}})
//	}
//
// A program that was built is called by its path instead.
package testsystem

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// Patience bounds the wait for something that must happen. It is generous,
	// because the machine may be small and busy; no test measures it.
	Patience = 2 * time.Minute
	// stopWait bounds how long a program may take to end once it was told to.
	stopWait = time.Minute
	// pollEvery is how often a condition is looked at.
	pollEvery = 20 * time.Millisecond
)

// Programs are what a test binary can be, by name. Each takes the arguments
// after its name, and returns its exit status.
type Programs map[string]func(args []string) int

// own are the programs of this test binary. It is set once, before the tests.
var own Programs //nolint:gochecknoglobals // without it, a name that Main does not know would run all tests again

// Main is one of the programs when the binary was called by its name, and runs
// the tests of a package otherwise; it does not return. It is called by
// TestMain.
func Main(m *testing.M, programs Programs) {
	if run, ok := programs[filepath.Base(os.Args[0])]; ok {
		os.Exit(run(os.Args[1:]))
	}
	own = programs
	os.Exit(m.Run())
}

// Command is a call of a program, not started yet. The program is named as in
// Main, or by a path, which has a slash, if it was built. Its environment is
// the test's. To be a program for others to call, the test binary may also be
// linked to under the program's name.
func Command(tb testing.TB, program string, args ...string) *exec.Cmd {
	tb.Helper()
	path := program
	if !strings.Contains(program, "/") {
		if own[program] == nil {
			tb.Fatalf("testsystem: give the program %q to testsystem.Main in TestMain of this package", program)
		}
		exe, err := os.Executable()
		if err != nil {
			tb.Fatalf("testsystem: %v", err)
		}
		path = exe
	}
	// Start ends it: the context of a test ends before its cleanups.
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), path, args...)
	cmd.Args[0] = program
	// The race detector would have every process wait for a second at its end.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

// Root is the top folder of the checkout.
func Root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatalf("testsystem: %v", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			tb.Fatal("testsystem: no go.mod above the working directory")
		}
	}
}

// Until waits until holds returns nil, and fails the test when Patience ends.
func Until(tb testing.TB, what string, holds func() error) {
	tb.Helper()
	until(tb, nil, what, holds)
}

// until also fails the test when the process, if there is one, ends.
func until(tb testing.TB, p *Process, what string, holds func() error) {
	tb.Helper()
	deadline, again := time.After(Patience), time.NewTicker(pollEvery)
	defer again.Stop()
	for {
		if p != nil && p.hasEnded() {
			tb.Fatalf("%s ended before this: %s: %s", p.name(), what, p.cmd.ProcessState)
		}
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			tb.Fatalf("waited %s for this: %s: %v", Patience, what, err)
		case <-again.C:
		}
	}
}

package testsystem_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestMain(m *testing.M) {
	testsystem.Main(m, testsystem.Programs{"copy": copyInput, "family": family, "waiter": waitForSignal, "binary": binary})
}

// copyInput writes its input to its output, and its arguments to its errors.
func copyInput(args []string) int {
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		return 1
	}
	fmt.Fprint(os.Stderr, args)
	return 3
}

// waitForSignal ends in order when it is told to.
func waitForSignal([]string) int {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	fmt.Println("waiting")
	<-told
	return 0
}

// family is a process with a child in a process group of its own, which
// outlives its parent.
func family([]string) int {
	exe, err := os.Executable()
	if err != nil {
		return 1
	}
	child := exec.Command(exe)
	child.Args[0] = "waiter"
	child.Stdout = os.Stdout
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Run(); err != nil {
		return 1
	}
	return 0
}

func TestRunTellsTheStatusAndWhatWasWritten(t *testing.T) {
	cmd := testsystem.Command(t, "copy", "a", "-b")
	cmd.Stdin = strings.NewReader("text")
	if got, want := testsystem.Run(t, cmd), (testsystem.Result{Status: 3, Out: "text", Err: "[a -b]"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// started waits until a process has said that it waits.
func started(t *testing.T, p *testsystem.Process) {
	t.Helper()
	p.Until(t, "it waits", func() error {
		if p.Out() != "waiting\n" {
			return errors.New("it does not say so")
		}
		return nil
	})
}

func TestStopEndsInOrder(t *testing.T) {
	p := testsystem.Start(t, testsystem.Command(t, "waiter"))
	started(t, p)
	p.Stop(t)
	p.Kill(t) // does no harm
	if status := p.Wait(t); status != 0 {
		t.Errorf("status %d", status)
	}
}

// The child holds the output open, so that the parent counts as ended only
// when the child has ended too.
func TestKillLeavesNothingBelow(t *testing.T) {
	p := testsystem.Start(t, testsystem.Command(t, "family"))
	started(t, p)
	if below := p.Below(); len(below) != 1 {
		t.Errorf("%d processes below, want 1", len(below))
	}
	p.Kill(t)
	if status := p.Wait(t); status != -1 {
		t.Errorf("status %d, want the end by a signal", status)
	}
}

func TestProcessEndsWithItsTest(t *testing.T) {
	var p *testsystem.Process
	t.Run("starts it", func(t *testing.T) {
		p = testsystem.Start(t, testsystem.Command(t, "family"))
		started(t, p)
	})
	if status := p.Wait(t); status != -1 {
		t.Errorf("status %d, want the end by a signal", status)
	}
}

// failing is a test that fails without failing this one.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Errorf(format string, args ...any) { f.said += fmt.Sprintf(format, args...) }

func (f *failing) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	panic(f)
}

// failure is what a test that does this fails with.
func failure(t *testing.T, do func(tb testing.TB)) string {
	t.Helper()
	f := &failing{TB: t}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
		}()
		do(f)
	}()
	return f.said
}

func TestFailuresNameTheirCause(t *testing.T) {
	for want, do := range map[string]func(tb testing.TB){
		`give the program "query" to testsystem.Main`: func(tb testing.TB) { testsystem.Command(tb, "query") },
		"no such file": func(tb testing.TB) {
			testsystem.Run(tb, testsystem.Command(tb, t.TempDir()+"/none"))
		},
		"copy x ended before this: it serves: exit status 3": func(tb testing.TB) {
			p := testsystem.Start(t, testsystem.Command(t, "copy", "x"))
			p.Until(tb, "it serves", func() error { return errors.New("not yet") })
		},
		"signal copy": func(tb testing.TB) {
			p := testsystem.Start(t, testsystem.Command(t, "copy"))
			p.Wait(t)
			p.Signal(tb, syscall.SIGTERM)
		},
		"has a data race": func(tb testing.TB) {
			cmd := testsystem.Command(t, "copy", "WARNING: DATA RACE")
			testsystem.Run(tb, cmd)
		},
	} {
		if got := failure(t, do); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

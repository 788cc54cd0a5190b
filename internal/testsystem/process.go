package testsystem

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a program that runs, or has ended.
type Process struct {
	cmd      *exec.Cmd
	out, err buffer
	ended    chan struct{}
}

// Result is how a program ended.
type Result struct {
	// Status is the exit status, and -1 after the end by a signal.
	Status int
	// Out and Err are what it wrote to standard output and standard error.
	Out, Err string
}

// buffer takes what a process writes while a test reads it.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Start starts a call. The process ends with the test at the latest, by
// kill -9; when the test fails, it tells what the process wrote. On Linux it also
// ends with the test binary, however that ends: by kill -9 or at its time limit.
func Start(tb testing.TB, cmd *exec.Cmd) *Process {
	tb.Helper()
	p := begin(tb, cmd)
	tb.Cleanup(func() {
		p.end(tb)
		if tb.Failed() {
			tb.Logf("%s wrote:\n%s", p.name(), p.log())
		}
	})
	return p
}

// Run runs a call to its end.
func Run(tb testing.TB, cmd *exec.Cmd) Result {
	tb.Helper()
	p := begin(tb, cmd)
	defer p.end(tb)
	p.wait(tb, Patience)
	return Result{Status: cmd.ProcessState.ExitCode(), Out: p.Out(), Err: p.Err()}
}

func begin(tb testing.TB, cmd *exec.Cmd) *Process {
	tb.Helper()
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.err
	endWithParent(cmd)
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		tb.Fatalf("testsystem: %v", err)
	}
	return p
}

// run starts the process and waits for its end. The kernel takes the end of the
// thread that started a process for the end of its parent, so this goroutine keeps
// the thread for itself until then.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // its ProcessState tells
		close(p.ended)
	}
}

// end leaves nothing of the process behind, and no race untold: the exit status
// that tells of one is lost by kill -9.
func (p *Process) end(tb testing.TB) {
	tb.Helper()
	p.Kill(tb)
	if strings.Contains(p.Err(), "WARNING: DATA RACE") {
		tb.Errorf("%s has a data race:\n%s", p.name(), p.log())
	}
}

// Out is what the process has written to standard output so far.
func (p *Process) Out() string { return p.out.String() }

// Err is what the process has written to standard error so far.
func (p *Process) Err() string { return p.err.String() }

// log is all that the process has written, without the questions that the
// tests asked.
func (p *Process) log() string {
	lines := []string{p.Out()}
	for line := range strings.Lines(p.Err()) {
		if !strings.Contains(line, `"message":"request"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func (p *Process) name() string {
	args := p.cmd.Args
	return strings.Join(append([]string{filepath.Base(args[0])}, args[1:]...), " ")
}

func (p *Process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Until waits until holds returns nil, and fails the test when the process
// ends, or Patience does.
func (p *Process) Until(tb testing.TB, what string, holds func() error) {
	tb.Helper()
	until(tb, p, what, holds)
}

// Signal sends a signal to the process, which must not have ended.
func (p *Process) Signal(tb testing.TB, signal os.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		tb.Fatalf("testsystem: signal %s: %v", p.name(), err)
	}
}

// Wait waits until the process, which was told to end, has ended, and returns
// its exit status.
func (p *Process) Wait(tb testing.TB) (status int) {
	tb.Helper()
	p.wait(tb, stopWait)
	return p.cmd.ProcessState.ExitCode()
}

func (p *Process) wait(tb testing.TB, bound time.Duration) {
	tb.Helper()
	select {
	case <-p.ended:
	case <-time.After(bound):
		tb.Fatalf("testsystem: %s did not end within %s:\n%s", p.name(), bound, p.log())
	}
}

// Stop ends the process in order, as docker and systemd do, and fails the test
// when its exit status is not 0.
func (p *Process) Stop(tb testing.TB) {
	tb.Helper()
	p.Signal(tb, syscall.SIGTERM)
	if status := p.Wait(tb); status != 0 {
		tb.Errorf("%s was told to stop and ended with status %d, want 0", p.name(), status)
	}
}

// Kill ends the process and all below it at once, as kill -9 of the tree does,
// and waits for the process. It is harmless on a process that has ended.
func (p *Process) Kill(tb testing.TB) {
	tb.Helper()
	if p.hasEnded() {
		return // its number may be another's by now
	}
	// Halted, it neither starts anything new nor notices what dies below it.
	// None of this can fail but because it has just ended by itself.
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	for _, pid := range p.Below() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = p.cmd.Process.Kill()
	p.wait(tb, stopWait)
}

// Below lists the processes that the process has started and that still run,
// and theirs. They need not be of its process group. It knows them where there
// is a /proc.
func (p *Process) Below() []int { return below(p.cmd.Process.Pid) }

func below(parent int) []int {
	var all []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ") // the name may have spaces
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != strconv.Itoa(parent) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			all = append(append(all, below(pid)...), pid)
		}
	}
	return all
}

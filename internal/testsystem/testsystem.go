// Package testsystem runs the real programs for tests: it builds them once for
// each test process, starts `loginaudit serve` on free ports, asks its API, and
// ends it in order or by kill -9. It is imported by tests only.
package testsystem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// startWait bounds how long a system may take to serve, stopWait how long
	// to end, on a machine that is busy with other tests.
	startWait = 2 * time.Minute
	stopWait  = time.Minute
	// pollEvery is how often a condition is looked at.
	pollEvery = 20 * time.Millisecond
)

// builds are the programs of this test process, built once each.
type builds struct {
	mu   sync.Mutex
	dir  string
	done map[string]error
}

var shared = &builds{done: make(map[string]error)} //nolint:gochecknoglobals // one build for each process is the point

// Main runs the tests of a package and removes what Binary has built; it does
// not return. It is called by TestMain.
func Main(m *testing.M) {
	code := m.Run()
	shared.mu.Lock()
	if err := os.RemoveAll(shared.dir); err != nil {
		fmt.Fprintln(os.Stderr, "testsystem:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Binary builds one of the programs under cmd/ and returns its path.
func Binary(tb testing.TB, name string) string {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.dir == "" {
		dir, err := os.MkdirTemp("", "loginaudit-bin-") //nolint:usetesting // it outlives the test that builds first
		if err != nil {
			tb.Fatalf("testsystem: %v", err)
		}
		shared.dir = dir
	}
	path := filepath.Join(shared.dir, name)
	err, built := shared.done[name]
	if !built {
		build := exec.CommandContext(context.WithoutCancel(tb.Context()), "go", "build", "-o", path, "./cmd/"+name)
		build.Dir = Root(tb)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, failed := build.CombinedOutput(); failed != nil {
			err = fmt.Errorf("build %s: %w\n%s", name, failed, out)
		}
		shared.done[name] = err
	}
	if err != nil {
		tb.Fatalf("testsystem: %v", err)
	}
	return path
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

// Addresses is the file addresses.json.
type Addresses struct {
	HTTP       string `json:"http"`
	NATS       string `json:"nats"`
	Admin      string `json:"admin"`
	ClickHouse string `json:"clickhouse"`
}

// System is a running `loginaudit serve`.
type System struct {
	// Dir is its data directory; it outlives the process.
	Dir string
	// Addresses are where it answers.
	Addresses Addresses
	// Token is the token of its administrator.
	Token string

	process *exec.Cmd
	ended   chan struct{}
	output  *safeBuffer
}

// safeBuffer collects the output of a process that is still running.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// Serve starts `loginaudit serve` on a data directory, with further flags, and
// waits until it is ready. It ends with the test.
func Serve(tb testing.TB, dir string, flags ...string) *System {
	tb.Helper()
	args := append([]string{
		"serve", "--data-dir", dir, "--http-addr", "127.0.0.1:0", "--nats-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
	}, flags...)
	s := &System{Dir: dir, ended: make(chan struct{}), output: &safeBuffer{}}
	s.process = exec.CommandContext(context.WithoutCancel(tb.Context()), Binary(tb, "loginaudit"), args...) //nolint:gosec // our own program
	s.process.Dir = Root(tb)
	s.process.Stdout, s.process.Stderr = s.output, s.output
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that the whole tree can be killed
	if err := os.Remove(filepath.Join(dir, "addresses.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		tb.Fatalf("testsystem: %v", err) // what a killed run left must not be taken for this one's
	}
	if err := s.process.Start(); err != nil {
		tb.Fatalf("testsystem: %v", err)
	}
	go func() {
		_ = s.process.Wait() // its status is in ProcessState
		close(s.ended)
	}()
	tb.Cleanup(func() {
		s.Kill(tb)
		if tb.Failed() {
			tb.Logf("output of serve:\n%s", s.Output())
		}
	})
	Until(tb, startWait, "serve is ready", func() error { return s.ready() })
	return s
}

func (s *System) ready() error {
	select {
	case <-s.ended:
		return fmt.Errorf("%w: serve ended: %s", errHopeless, s.Output())
	default:
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, "addresses.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.Addresses); err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(s.Dir, "admin.token"))
	if err != nil {
		return err
	}
	s.Token = strings.TrimSpace(string(token))
	answer, err := http.Get("http://" + s.Addresses.Admin + "/readyz") //nolint:noctx // bounded by Until
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("readyz: %s", answer.Status)
	}
	return nil
}

// Output is what serve has printed and logged so far.
func (s *System) Output() string { return s.output.String() }

// Kill ends the whole process tree by kill -9 and waits for it. It is harmless
// on a system that has ended.
func (s *System) Kill(tb testing.TB) {
	tb.Helper()
	if err := syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		tb.Errorf("testsystem: kill: %v", err)
	}
	s.wait(tb)
}

// Stop ends the system in order, and fails the test when its exit status is
// not 0.
func (s *System) Stop(tb testing.TB) {
	tb.Helper()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Fatalf("testsystem: stop: %v", err)
	}
	s.wait(tb)
	if code := s.process.ProcessState.ExitCode(); code != 0 {
		tb.Errorf("serve ended with status %d, want 0", code)
	}
}

func (s *System) wait(tb testing.TB) {
	tb.Helper()
	select {
	case <-s.ended:
	case <-time.After(stopWait):
		tb.Fatalf("testsystem: serve did not end within %s", stopWait)
	}
}

// Get asks a path of the API as the administrator.
func (s *System) Get(tb testing.TB, path string) (status int, body []byte) {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://"+s.Addresses.HTTP+path, nil)
	if err != nil {
		tb.Fatalf("testsystem: %v", err)
	}
	request.Header.Set("Authorization", "Bearer "+s.Token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		tb.Fatalf("testsystem: %v", err)
	}
	body, err = io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		tb.Fatalf("testsystem: %v", err)
	}
	return answer.StatusCode, body
}

// Ask decodes the answer of a path of the API into v, and fails the test when
// the status is not 200.
func (s *System) Ask(tb testing.TB, path string, v any) {
	tb.Helper()
	status, body := s.Get(tb, path)
	if status != http.StatusOK {
		tb.Fatalf("GET %s: status %d: %s", path, status, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		tb.Fatalf("GET %s: %v: %s", path, err, body)
	}
}

// Command runs `loginaudit` with arguments, on the system's data directory,
// and returns its output and exit status.
func (s *System) Command(tb testing.TB, args ...string) (stdout, stderr string, status int) {
	tb.Helper()
	var out, errors bytes.Buffer
	command := exec.CommandContext(tb.Context(), Binary(tb, "loginaudit"), args...) //nolint:gosec // our own program
	command.Env = append(os.Environ(), "LOGINAUDIT_DATA_DIR="+s.Dir)
	command.Stdout, command.Stderr = &out, &errors
	_ = command.Run() // its status tells
	if command.ProcessState == nil {
		tb.Fatalf("testsystem: loginaudit %v did not start", args)
	}
	return out.String(), errors.String(), command.ProcessState.ExitCode()
}

// errHopeless ends a wait early.
var errHopeless = errors.New("hopeless")

// Until waits until check returns nil, and fails the test after a bound.
func Until(tb testing.TB, bound time.Duration, what string, check func() error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), bound)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if errors.Is(err, errHopeless) {
			tb.Fatalf("waiting until %s: %v", what, err)
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("waiting until %s: %v after %s", what, err, bound)
		case <-ticker.C:
		}
	}
}

package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/spf13/cobra"
)

// runAs makes the test binary be one of the three commands, so that the tests
// meet real processes: signals, exit statuses, kill -9.
const runAs = "TEST_RUN_AS"

func TestMain(m *testing.M) {
	engine.MaybeRunChild()
	commands := map[string]func() *cobra.Command{
		"loginaudit": app.LoginauditCommand, "ingest": app.IngestCommand, "query": app.QueryCommand,
	}
	if command, ok := commands[os.Getenv(runAs)]; ok {
		os.Exit(app.Execute(command(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// patience bounds every wait for something that must happen. It is generous:
// the machine may be small and busy.
const patience = time.Minute

// command is a call of one of the three commands, not started yet.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	// The race detector would have every process wait for a second at its end.
	cmd.Env = append(os.Environ(), runAs+"="+name, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return cmd
}

// result is how a command ended.
type result struct {
	status   int
	out, err string
}

// run runs a command to its end.
func run(t testing.TB, in, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := command(ctx, name, args...)
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), complaint.String()}
}

// until waits for a condition.
func until(t testing.TB, what string, holds func() error) {
	t.Helper()
	deadline, ticker := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer ticker.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("waited too long for %s: %v", what, err)
		case <-ticker.C:
		}
	}
}

// lockedBuffer is a buffer that a process writes while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// background is a command that runs until it is stopped.
type background struct {
	t        testing.TB
	cmd      *exec.Cmd
	out, err lockedBuffer
	ended    chan struct{}
}

func start(t testing.TB, name string, env []string, args ...string) *background {
	t.Helper()
	b := &background{t: t, cmd: command(context.WithoutCancel(t.Context()), name, args...), ended: make(chan struct{})}
	b.cmd.Env = append(b.cmd.Env, env...)
	b.cmd.Stdout, b.cmd.Stderr = &b.out, &b.err
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(b.ended)
		_ = b.cmd.Wait() // the state tells
	}()
	t.Cleanup(func() {
		b.kill()
		if t.Failed() {
			t.Logf("%s %v said:\n%s", name, args, b.log())
		}
	})
	return b
}

// log is what the process logged, without the questions that the tests asked.
func (b *background) log() string {
	var lines []string
	for line := range strings.Lines(b.err.String()) {
		if !strings.Contains(line, `"message":"request"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// alive fails while the process has ended.
func (b *background) alive() error {
	select {
	case <-b.ended:
		b.t.Fatalf("it ended: %s", b.cmd.ProcessState)
	default:
	}
	return nil
}

// stop asks the process to stop and gives its exit status.
func (b *background) stop() int {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	return b.wait()
}

func (b *background) wait() int {
	b.t.Helper()
	select {
	case <-b.ended:
	case <-time.After(patience):
		b.t.Fatal("it does not stop")
	}
	return b.cmd.ProcessState.ExitCode()
}

// kill ends the whole process tree at once, as kill -9 does.
func (b *background) kill() {
	for _, pid := range append(children(b.cmd.Process.Pid), b.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
	}
	<-b.ended
}

// children lists the processes that a process has started, and theirs.
func children(parent int) []int {
	var all []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		_, rest, _ := strings.Cut(string(text), ") ") // the name may have spaces
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err == nil {
				all = append(append(all, children(pid)...), pid)
			}
		}
	}
	return all
}

// system is a serve that serves.
type system struct {
	*background
	dir       string
	addresses app.Addresses
	token     string
}

// serve starts the whole system on dir and waits until it is ready.
func serve(t testing.TB, dir string) *system {
	t.Helper()
	s := &system{dir: dir}
	s.background = start(t, "loginaudit", nil, "serve", "--data-dir", dir, "--log-format", "json",
		"--http-addr", "127.0.0.1:0", "--nats-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--engine-memory", "1GiB")
	until(t, "serve to be ready", func() error {
		_ = s.alive()
		var err error
		if s.addresses, err = app.ReadAddresses(dir); err != nil {
			return err
		}
		return ready(s.addresses.Admin)
	})
	token, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(token))
	return s
}

// ready asks the admin address.
func ready(admin string) error {
	status, body, err := fetch("http://"+admin+"/readyz?verbose", "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, body)
	}
	return err
}

func fetch(url, token string) (int, string, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// listed is one event of the API, as far as the tests look.
type listed struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Conflict bool   `json:"conflict"`
}

// events lists all events of an account, page by page.
func (s *system) events(account string) ([]listed, error) {
	return eventsOf(s.addresses.HTTPURL(), s.token, account)
}

func eventsOf(base, token, account string) ([]listed, error) {
	var all []listed
	for cursor := ""; ; {
		query := url.Values{"limit": {"1000"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		status, body, err := fetch(base+"/api/v1/accounts/"+account+"/events?"+query.Encode(), token)
		if err != nil {
			return nil, err
		}
		if status != http.StatusOK {
			return nil, fmt.Errorf("%d %s", status, body)
		}
		var page struct {
			Events     []listed `json:"events"`
			NextCursor *string  `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if page.NextCursor == nil {
			return all, nil
		}
		cursor = *page.NextCursor
	}
}

// has waits until an account has exactly these event ids.
func (s *system) has(account string, ids ...string) {
	s.t.Helper()
	until(s.t, "events of "+account, func() error {
		events, err := s.events(account)
		if err != nil {
			return err
		}
		got := map[string]int{}
		for _, e := range events {
			got[e.ID]++
		}
		for _, id := range ids {
			if got[id] != 1 {
				return fmt.Errorf("event %s is there %d times", id, got[id])
			}
		}
		if len(events) != len(ids) {
			return fmt.Errorf("%d events, want %d", len(events), len(ids))
		}
		return nil
	})
}

package engine_test

import (
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// parent is another process that runs both servers.
type parent struct {
	*testsystem.Process
	child                   int
	addr, password, natsURL string
}

func startParent(t *testing.T, dir string) parent {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := parent{Process: testsystem.Start(t, osexec.CommandContext(context.WithoutCancel(t.Context()), exe, parentCommand, dir))}
	p.Until(t, "both servers run", func() error {
		_, err := fmt.Sscanf(p.Out(), "ready %d %s %s %s\n", &p.child, &p.addr, &p.password, &p.natsURL)
		return err
	})
	return p
}

// kill ends the parent alone, as kill -9 does, and waits for that.
func (p parent) kill(t *testing.T) {
	t.Helper()
	p.Signal(t, syscall.SIGKILL)
	p.Wait(t)
}

func TestAParentKilledTakesTheEngineAlong(t *testing.T) {
	for name, before := range map[string]func(child int) error{
		"while it serves": func(int) error { return nil },
		"while it is frozen, so that it cannot notice": func(child int) error {
			err := syscall.Kill(child, syscall.SIGSTOP)
			// The kernel wakes an orphan that has stopped, with all of its threads.
			eventually(t, "every thread has stopped", func() bool { return stopped(child) })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := startParent(t, t.TempDir())
			if !engine.Alive(p.child) {
				t.Fatal("there is no child")
			}
			if err := before(p.child); err != nil {
				t.Fatal(err)
			}
			p.kill(t)
			eventually(t, "the child has ended", func() bool { return !engine.Alive(p.child) })
		})
	}
}

// stopped reports whether every thread of a process is stopped, as Linux tells it
// (proc(5)); elsewhere it is taken for granted.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		_, behind, _ := strings.Cut(string(stat), ") ")
		if err == nil && !strings.HasPrefix(behind, "T") {
			return false
		}
	}
	return true
}

func TestWhatWasConfirmedOutlivesTheParentAndTheNextOneWaitsForItsEngine(t *testing.T) {
	dir := t.TempDir()
	p := startParent(t, dir)
	conn := open(t, p.addr, clickhouse.Auth{Database: "loginaudit", Username: "owner", Password: p.password})
	exec(t, conn,
		"CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1",
		"INSERT INTO kept SELECT number FROM numbers(100)")
	publishKept(t, p.natsURL, dir)
	p.kill(t)

	// At once: the engine of the dead parent may still be stopping.
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: dir + "/clickhouse"})
	if got := mustTexts(t.Context(), t, connect(t, ch, engine.RoleOwner), "SELECT count() FROM kept"); got != "(100)" {
		t.Errorf("the table holds %s rows", got)
	}
	server := startNATS(t, engine.NATSConfig{Dir: dir + "/nats", MaxStore: 1 << 30})
	stream, err := jetStream(t, natsAs(t, server, engine.UserOperator)).Stream(t.Context(), "LOGIN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 20 {
		t.Errorf("the stream holds %d of 20 acknowledged messages", got)
	}
}

// publishKept makes the stream and publishes 20 messages, each acknowledged.
func publishKept(t *testing.T, url, dir string) {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(dir + "/nats/operator.nk")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(url, key, nats.CustomInboxPrefix(engine.UserOperator.InboxPrefix()))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js := jetStream(t, nc)
	makeStreams(t, js)
	for range 20 {
		if _, err := js.Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSignalsForTheWholeGroupDoNotEndTheChild(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	conn, pid := connect(t, ch, engine.RoleOwner), ch.PID()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
	// A signal arrives before the signaller's next system call returns, so a
	// child that heeded one would be ending now.
	if got, err := texts(t.Context(), conn, "SELECT sum(sleepEachRow(0.01)) FROM numbers(30)"); err != nil {
		t.Errorf("query after the signals: %s %v", got, err)
	}
	if ch.PID() != pid {
		t.Error("the child was started again")
	}
}

package engine_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/loginaudit/loginaudit/internal/engine"
)

func TestDataAndPasswordsOutliveAStop(t *testing.T) {
	defer goleak.VerifyNone(t)
	cfg := engine.ClickHouseConfig{Dir: filepath.Join(t.TempDir(), "new", "clickhouse")}
	first := engine.NewClickHouse(cfg)
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, password := first.Credentials(engine.RoleOwner)
	conn := connect(t, first, engine.RoleOwner)
	exec(t, conn, "CREATE TABLE kept (n UInt8) ENGINE = MergeTree ORDER BY n", "INSERT INTO kept VALUES (7)")
	stop(t, first)
	stop(t, first) // twice is harmless
	if err := first.Healthy(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Healthy of a closed engine: %v", err)
	}

	second := startClickHouse(t, cfg)
	defer stop(t, second)
	if _, again := second.Credentials(engine.RoleOwner); again != password {
		t.Error("the password of the owner changed")
	}
	conn2 := connect(t, second, engine.RoleOwner)
	if got := mustTexts(t.Context(), t, conn2, "SELECT n FROM kept"); got != "(7)" {
		t.Errorf("after the restart the table holds %s", got)
	}
	if err := errors.Join(conn.Close(), conn2.Close()); err != nil {
		t.Error(err)
	}
}

func TestAKilledChildComesBackWithEverythingConfirmed(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	conn, addr, pid := connect(t, ch, engine.RoleOwner), ch.Addr(), ch.PID()
	exec(t, conn,
		"CREATE TABLE kept (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1, fsync_part_directory = 1",
		"INSERT INTO kept SELECT number FROM numbers(1000)")
	if err := ch.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another child answers", func() bool { return ch.Healthy() == nil && ch.PID() != pid })
	if ch.Addr() != addr {
		t.Errorf("the address was %s and is %s", addr, ch.Addr())
	}
	eventually(t, "the client's pool is connected again", func() bool { return conn.Ping(t.Context()) == nil })
	if got := mustTexts(t.Context(), t, conn, "SELECT count(), sum(n) FROM kept"); got != "(1000,499500)" {
		t.Errorf("after kill -9 the table holds %s", got)
	}
}

// breakable starts an engine whose child does not start any more as soon as the
// file is there, whose path is returned too.
func breakable(t *testing.T) (ch *engine.ClickHouse, broken string) {
	t.Helper()
	dir := t.TempDir()
	broken = filepath.Join(dir, "broken")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startClickHouse(t, engine.ClickHouseConfig{Dir: filepath.Join(dir, "clickhouse"), Command: []string{
		"/bin/sh", "-c", `if [ -e "` + broken + `" ]; then echo "out of order" >&2; exit 3; fi; exec "` + exe + `" ` +
			engine.ChildCommand + ` "$@"`, "sh",
	}}), broken
}

// breakDown kills the child of a breakable engine for good.
func breakDown(t *testing.T, ch *engine.ClickHouse, broken string) {
	t.Helper()
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ch.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child is gone", func() bool { return ch.Healthy() != nil })
}

func TestAChildThatDoesNotStartIsTriedAgain(t *testing.T) {
	ch, broken := breakable(t)
	breakDown(t, ch, broken)
	eventually(t, "the failure is told", func() bool {
		err := ch.Healthy()
		return err != nil && strings.Contains(err.Error(), "does not start") && strings.Contains(err.Error(), "out of order")
	})
	if ch.PID() != 0 {
		t.Errorf("PID is %d without a child", ch.PID())
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the engine is back", func() bool { return ch.Healthy() == nil })
}

func TestCloseWhileTheChildIsDownDoesNotWaitForIt(t *testing.T) {
	ch, broken := breakable(t)
	breakDown(t, ch, broken)
	stop(t, ch)
	if err := ch.Healthy(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Healthy of a closed engine: %v", err)
	}
}

func TestCloseThatMayNotWaitKills(t *testing.T) {
	ch := engine.NewClickHouse(engine.ClickHouseConfig{Dir: t.TempDir()})
	if err := ch.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Either is in order: that it had ended in that moment, or that it was killed.
	if err := ch.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if ch.PID() != 0 {
		t.Error("there is a child after Close")
	}
}

func TestAnEngineThatWasNotStartedHasNothingToClose(t *testing.T) {
	ch := engine.NewClickHouse(engine.ClickHouseConfig{Dir: t.TempDir()})
	stop(t, ch)
	if ch.Addr() != "" || ch.PID() != 0 {
		t.Errorf("address %q and process %d before Start", ch.Addr(), ch.PID())
	}
	if err := ch.Healthy(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Healthy before Start: %v", err)
	}
	if err := ch.Kill(); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Kill before Start: %v", err)
	}
}

func TestOnlyTheOwnerOfTheDirectoryCanReadIt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "clickhouse")
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: dir})
	exec(t, connect(t, ch, engine.RoleOwner), "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n")
	for _, name := range []string{"passwords.json", "lock", "server/config.xml", "server/users.xml"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "server"), filepath.Join(dir, "server", "data")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, "server", "users.xml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []engine.Role{engine.RoleOwner, engine.RoleWriter, engine.RoleReader} {
		if _, password := ch.Credentials(role); strings.Contains(string(raw), password) {
			t.Errorf("users.xml holds the password of %s in clear", role)
		}
	}
}

func TestItListensOnLoopbackOnly(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir(), Addr: "localhost:0"})
	for _, addr := range []string{ch.Addr(), ch.InsideAddr()} {
		host, _, err := net.SplitHostPort(addr)
		if err != nil || !net.ParseIP(host).IsLoopback() {
			t.Errorf("it listens on %s", addr)
		}
	}
	conn := connect(t, ch, engine.RoleOwner)
	for _, port := range []string{"http_port", "https_port", "interserver_http_port", "tcp_port_secure", "mysql_port"} {
		if got, err := texts(t.Context(), conn, "SELECT getServerPort('"+port+"')"); err == nil {
			t.Errorf("%s is open: %s", port, got)
		}
	}
}

func TestItFitsASmallMachine(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir(), MemoryLimit: 512 << 20})
	conn := connect(t, ch, engine.RoleOwner)
	if got := mustTexts(t.Context(), t, conn, `SELECT value FROM system.server_settings
		WHERE name IN ('max_server_memory_usage', 'background_pool_size') ORDER BY name`); got != "('2') ('536870912')" {
		t.Errorf("threads for merges and memory: %s", got)
	}
	if got := mustTexts(t.Context(), t, conn, `SELECT name FROM system.tables
		WHERE database = 'system' AND name LIKE '%\\_log'`); got != "" {
		t.Errorf("system log tables that would grow: %s", got)
	}
	_, err := texts(t.Context(), conn, "SELECT length(groupArray(toString(number))) FROM numbers(100000000)")
	mention(t, err, "memory limit exceeded")
	if err := ch.Healthy(); err != nil {
		t.Errorf("after a query that was too large: %v", err)
	}
}

func TestTheEnginesLogHoldsNoQueries(t *testing.T) {
	dir := t.TempDir()
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: dir})
	conn := connect(t, ch, engine.RoleOwner)
	if _, err := texts(t.Context(), conn, "SELECT throwIf(1, 'jane.doe')"); err == nil {
		t.Fatal("no error")
	}
	if _, err := texts(t.Context(), conn, "SELECT 'jane.doe'"); err != nil {
		t.Fatal(err)
	}
	stop(t, ch)
	err := filepath.WalkDir(filepath.Join(dir, "server", "log"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(string(raw), "jane.doe") {
			t.Errorf("%s:\n%s", path, raw)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestANamedPortIsTheOneUsed(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir(), Addr: addr})
	if ch.Addr() != addr {
		t.Errorf("it listens on %s, wanted is %s", ch.Addr(), addr)
	}
	conn := connect(t, ch, engine.RoleReader)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // the client sends it as max_execution_time
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		t.Error(err)
	}
}

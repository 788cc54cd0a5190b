package engine_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// parentCommand makes the test binary a parent that runs both servers until it
// is killed, for the tests of what happens then.
const parentCommand = "engine-test-parent"

func TestMain(m *testing.M) {
	engine.MaybeRunChild()
	if len(os.Args) == 3 && os.Args[1] == parentCommand {
		if err := runParent(os.Args[2]); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// runParent starts both servers in dir, prints one line, and waits for its end.
func runParent(dir string) error {
	ch := engine.NewClickHouse(engine.ClickHouseConfig{Dir: dir + "/clickhouse"})
	if err := ch.Start(context.Background()); err != nil {
		return err
	}
	nats := engine.NewNATS(engine.NATSConfig{Dir: dir + "/nats", MaxStore: 1 << 30})
	if err := nats.Start(context.Background()); err != nil {
		return err
	}
	_, password := ch.Credentials(engine.RoleOwner)
	fmt.Println("ready", ch.PID(), ch.Addr(), password, nats.URL())
	select {}
}

// startClickHouse starts an engine and closes it when the test ends.
func startClickHouse(t *testing.T, cfg engine.ClickHouseConfig) *engine.ClickHouse {
	t.Helper()
	ch := engine.NewClickHouse(cfg)
	if err := ch.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, ch) })
	return ch
}

// stop closes a server within a bound.
func stop(t *testing.T, server interface {
	Close(ctx context.Context) error
}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := server.Close(ctx); err != nil {
		t.Error(err)
	}
}

// connect signs in as a role of the database loginaudit.
func connect(t *testing.T, ch *engine.ClickHouse, role engine.Role) driver.Conn {
	t.Helper()
	user, password := ch.Credentials(role)
	return open(t, ch.Addr(), clickhouse.Auth{Database: "loginaudit", Username: user, Password: password})
}

func open(t *testing.T, addr string, auth clickhouse.Auth) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{addr}, Auth: auth, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func exec(t *testing.T, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// inAccount is a context whose queries name an account.
func inAccount(t *testing.T, account string) context.Context {
	t.Helper()
	return clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"log_comment": account}))
}

// texts returns the first column of a query, whatever its type, as one text.
func texts(ctx context.Context, conn driver.Conn, sql string) (string, error) {
	rows, err := conn.Query(ctx, "SELECT toString(tuple(*)) FROM ("+sql+")")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return "", err
		}
		all = append(all, text)
	}
	return strings.Join(all, " "), rows.Err()
}

func mustTexts(ctx context.Context, t *testing.T, conn driver.Conn, sql string) string {
	t.Helper()
	got, err := texts(ctx, conn, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

// eventually waits until a condition holds, and fails the test when it does not
// within a minute.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s", what)
		case <-again.C:
		}
	}
}

// mention fails unless the error is there and tells all of the words.
func mention(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one about %q", words)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not mention %q", err, word)
		}
	}
}

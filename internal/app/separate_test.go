package app_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/nats-io/nats.go"
)

// servers are a NATS server and a ClickHouse that the commands do not start.
type servers struct {
	nats       *engine.NATS
	clickhouse *engine.ClickHouse
}

func startServers(t testing.TB) servers {
	t.Helper()
	dir := t.TempDir()
	s := servers{
		nats:       engine.NewNATS(engine.NATSConfig{Dir: filepath.Join(dir, "nats")}),
		clickhouse: engine.NewClickHouse(engine.ClickHouseConfig{Dir: filepath.Join(dir, "clickhouse"), MemoryLimit: 1 << 30}),
	}
	for _, server := range []interface {
		Start(context.Context) error
		Close(context.Context) error
	}{s.nats, s.clickhouse} {
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := server.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// env are the settings that lead to the servers, as one of ClickHouse's users
// and, where named, one of NATS's.
func (s servers) env(role engine.Role, user engine.NATSUser) []string {
	name, password := s.clickhouse.Credentials(role)
	env := []string{
		"LOGINAUDIT_CLICKHOUSE_ADDR=" + s.clickhouse.Addr(), "LOGINAUDIT_CLICKHOUSE_USERNAME=" + name, "LOGINAUDIT_CLICKHOUSE_PASSWORD=" + password,
		"LOGINAUDIT_ADMIN_ADDR=127.0.0.1:0", "LOGINAUDIT_HTTP_ADDR=127.0.0.1:0", "LOGINAUDIT_LOG_FORMAT=json",
	}
	if user != "" {
		env = append(env, "LOGINAUDIT_NATS_URL="+s.nats.URL(), "LOGINAUDIT_NATS_NKEY="+s.nats.SeedFile(user),
			"LOGINAUDIT_NATS_INBOX_PREFIX="+user.InboxPrefix())
	}
	return env
}

// finish runs a command to its end.
func finish(t testing.TB, env []string, name string, args ...string) testsystem.Result {
	t.Helper()
	return testsystem.Run(t, command(t, env, name, args...))
}

// said waits for what a process logs by a pattern and gives its first group.
func said(t testing.TB, p *testsystem.Process, pattern string) string {
	t.Helper()
	var found []string
	p.Until(t, "it logs "+pattern, func() error {
		if found = regexp.MustCompile(pattern).FindStringSubmatch(p.Err()); found == nil {
			return errors.New("not said")
		}
		return nil
	})
	return found[1]
}

func TestSeparateCommandsAgainstServersElsewhere(t *testing.T) {
	s := startServers(t)
	token := tokenIn(t)
	query := append(s.env(engine.RoleReader, ""), "LOGINAUDIT_ADMIN_TOKEN_FILE="+token)
	ingest := s.env(engine.RoleWriter, engine.UserIngest)
	owner, operator := s.env(engine.RoleOwner, ""), s.env(engine.RoleOwner, engine.UserOperator)

	for name, env := range map[string][]string{"ingest": ingest, "query": query} {
		if r := finish(t, env, name); r.Status != 1 || !strings.Contains(r.Err, "loginaudit migrate") {
			t.Fatalf("%s without a schema: %+v", name, r)
		}
	}
	if r := finish(t, owner, "loginaudit", "migrate"); r.Status != 0 || !strings.Contains(r.Out, "applied 1 ") {
		t.Fatalf("migrate: %+v", r)
	}
	if r := finish(t, owner, "loginaudit", "migrate"); r.Status != 0 || !strings.Contains(r.Out, "nothing to apply") {
		t.Fatalf("migrate again: %+v", r)
	}
	// This user of NATS may not make streams, so that is said, and the
	// operator makes them.
	if r := finish(t, ingest, "ingest"); r.Status != 1 || !strings.Contains(r.Err, "loginaudit streams") {
		t.Fatalf("ingest without streams: %+v", r)
	}
	if r := finish(t, operator, "loginaudit", "streams"); r.Status != 0 || !strings.Contains(r.Out, "LOGIN_EVENTS") {
		t.Fatalf("streams: %+v", r)
	}

	worker := testsystem.Start(t, command(t, ingest, "ingest", "--stream-ensure=false"))
	reader := testsystem.Start(t, command(t, query, "query"))
	for _, b := range []*testsystem.Process{worker, reader} {
		admin := said(t, b, `"admin":"([^"]+)"`)
		b.Until(t, "it is ready", func() error { return testsystem.Ready(t.Context(), admin) })
		if status, body, err := testsystem.Fetch(t.Context(), "http://"+admin+"/metrics", ""); err != nil || status != http.StatusOK || !strings.Contains(body, "loginaudit_") {
			t.Errorf("metrics: %d %v", status, err)
		}
	}
	nc, err := nats.Connect(s.nats.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	body := line("apart", "e1", "ann", 1, time.Now())
	if answer, err := nc.Request("login.events.apart.login", []byte(body), testsystem.Patience); err != nil || !strings.Contains(string(answer.Data), `"seq":1`) {
		t.Fatalf("%s, %v", answer.Data, err)
	}
	secret, err := os.ReadFile(token)
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + said(t, reader, `"http":"([^"]+)"`)
	testsystem.Until(t, "the event is there", func() error {
		events, err := eventsOf(t, base, strings.TrimSpace(string(secret)), "apart")
		if err == nil && len(events) != 1 {
			err = fmt.Errorf("%d events", len(events))
		}
		return err
	})
	for _, b := range []*testsystem.Process{reader, worker} {
		b.Stop(t)
	}
}

func TestServicesWaitForServersThatAreNotThereYetAndStopWhileWaiting(t *testing.T) {
	token := tokenIn(t)
	for name, args := range map[string][]string{"ingest": nil, "query": {"--admin-token-file", token}} {
		args = append(args, "--admin-addr", "127.0.0.1:0", "--clickhouse-addr", "127.0.0.1:1", "--log-format", "json")
		b := testsystem.Start(t, testsystem.Command(t, name, args...))
		admin := said(t, b, `"admin":"([^"]+)"`)
		said(t, b, `("not available yet")`)
		if status, body, err := testsystem.Fetch(t.Context(), "http://"+admin+"/readyz", ""); err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "clickhouse") {
			t.Errorf("%s: %d %s %v", name, status, body, err)
		}
		b.Stop(t)
	}
}

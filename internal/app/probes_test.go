package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// runNATS and runClickHouse are the servers of the tests as processes of their
// own, which can be frozen and killed. Their arguments are a directory and an
// address; they print where they are, and who may sign in, once they answer.
func runNATS(args []string) int {
	server := engine.NewNATS(engine.NATSConfig{Dir: args[0], Addr: args[1]})
	return runServer(server, func() any {
		return apartNATS{URL: server.URL(), Ingest: server.SeedFile(engine.UserIngest), Operator: server.SeedFile(engine.UserOperator)}
	})
}

func runClickHouse(args []string) int {
	server := engine.NewClickHouse(engine.ClickHouseConfig{Dir: args[0], Addr: args[1], MemoryLimit: 1 << 30})
	return runServer(server, func() any {
		said := apartClickHouse{Addr: server.Addr(), Users: map[engine.Role][2]string{}}
		for _, role := range []engine.Role{engine.RoleOwner, engine.RoleWriter, engine.RoleReader} {
			user, password := server.Credentials(role)
			said.Users[role] = [2]string{user, password}
		}
		return said
	})
}

type apartNATS struct{ URL, Ingest, Operator string }

type apartClickHouse struct {
	Addr  string
	Users map[engine.Role][2]string
}

func runServer(server interface {
	Start(ctx context.Context) error
	Close(ctx context.Context) error
}, where func() any,
) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := server.Start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(where()); err != nil {
		return 1
	}
	<-ctx.Done()
	if err := server.Close(context.WithoutCancel(ctx)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// apart is a system whose every part is a process of its own.
type apart struct {
	t                       *testing.T // the part of the test that runs
	whole                   *testing.T // what the processes last for
	dir                     string
	nats, clickhouse        *testsystem.Process
	natsAt                  apartNATS
	clickhouseAt            apartClickHouse
	worker, reader          *testsystem.Process
	workerAdmin, readerHTTP string
	readerAdmin, token      string
}

func (a *apart) startNATS() {
	addr := "127.0.0.1:0"
	if a.natsAt.URL != "" {
		addr = strings.TrimPrefix(a.natsAt.URL, "nats://")
	}
	a.nats = a.start("nats", filepath.Join(a.dir, "nats"), addr, &a.natsAt)
}

func (a *apart) startClickHouse() {
	addr := "127.0.0.1:0"
	if a.clickhouseAt.Addr != "" {
		addr = a.clickhouseAt.Addr
	}
	a.clickhouse = a.start("clickhouse", filepath.Join(a.dir, "clickhouse"), addr, &a.clickhouseAt)
}

func (a *apart) start(program, dir, addr string, at any) *testsystem.Process {
	a.t.Helper()
	p := testsystem.Start(a.whole, testsystem.Command(a.whole, program, dir, addr))
	p.Until(a.t, program+" answers", func() error { return json.Unmarshal([]byte(p.Out()), at) })
	return p
}

func (a *apart) env(role engine.Role, seed string) []string {
	user := a.clickhouseAt.Users[role]
	return []string{
		"LOGINAUDIT_CLICKHOUSE_ADDR=" + a.clickhouseAt.Addr, "LOGINAUDIT_CLICKHOUSE_USERNAME=" + user[0], "LOGINAUDIT_CLICKHOUSE_PASSWORD=" + user[1],
		"LOGINAUDIT_ADMIN_ADDR=127.0.0.1:0", "LOGINAUDIT_HTTP_ADDR=127.0.0.1:0", "LOGINAUDIT_LOG_FORMAT=json",
		"LOGINAUDIT_NATS_URL=" + a.natsAt.URL, "LOGINAUDIT_NATS_NKEY=" + seed,
		"LOGINAUDIT_ADMIN_TOKEN_FILE=" + a.token,
	}
}

func startApart(t *testing.T) *apart {
	t.Helper()
	a := &apart{t: t, whole: t, dir: t.TempDir(), token: tokenIn(t)}
	a.startNATS()
	a.startClickHouse()
	if r := finish(t, a.env(engine.RoleOwner, ""), "loginaudit", "migrate"); r.Status != 0 {
		t.Fatalf("migrate: %+v", r)
	}
	a.makeStreams()
	worker := append(a.env(engine.RoleWriter, a.natsAt.Ingest), "LOGINAUDIT_NATS_INBOX_PREFIX="+engine.UserIngest.InboxPrefix())
	a.worker = testsystem.Start(t, command(t, worker, "ingest", "--stream-ensure=false"))
	a.reader = testsystem.Start(t, command(t, a.env(engine.RoleReader, ""), "query"))
	a.workerAdmin, a.readerAdmin = said(t, a.worker, `"admin":"([^"]+)"`), said(t, a.reader, `"admin":"([^"]+)"`)
	a.readerHTTP = said(t, a.reader, `"http":"([^"]+)"`)
	a.ready("worker", a.workerAdmin)
	a.ready("reader", a.readerAdmin)
	return a
}

func (a *apart) operator() []string {
	return append(a.env(engine.RoleOwner, a.natsAt.Operator), "LOGINAUDIT_NATS_INBOX_PREFIX="+engine.UserOperator.InboxPrefix())
}

func (a *apart) makeStreams() {
	a.t.Helper()
	if r := finish(a.t, a.operator(), "loginaudit", "streams"); r.Status != 0 {
		a.t.Fatalf("streams: %+v", r)
	}
}

// js is a connection of the operator.
func (a *apart) js() jetstream.JetStream {
	a.t.Helper()
	option, err := nats.NkeyOptionFromSeed(a.natsAt.Operator)
	if err != nil {
		a.t.Fatal(err)
	}
	nc, err := nats.Connect(a.natsAt.URL, option, nats.CustomInboxPrefix(engine.UserOperator.InboxPrefix()))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		a.t.Fatal(err)
	}
	return js
}

// asOwner runs a statement in ClickHouse.
func (a *apart) asOwner(sql string) {
	a.t.Helper()
	user := a.clickhouseAt.Users[engine.RoleOwner]
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{a.clickhouseAt.Addr}, Auth: clickhouse.Auth{Database: "loginaudit", Username: user[0], Password: user[1]},
	})
	if err == nil {
		err = errors.Join(conn.Exec(a.t.Context(), sql), conn.Close())
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

// publish publishes a message of any form.
func (a *apart) publish(body string) {
	a.t.Helper()
	nc, err := nats.Connect(a.natsAt.URL)
	if err != nil {
		a.t.Fatal(err)
	}
	defer nc.Close()
	if answer, err := nc.Request("login.events.apart.login", []byte(body), testsystem.Patience); err != nil || strings.Contains(string(answer.Data), "error") {
		a.t.Fatalf("%v, %v", answer, err)
	}
}

func (a *apart) ready(who, admin string) {
	a.t.Helper()
	testsystem.Until(a.t, "the "+who+" is ready", func() error { return testsystem.Ready(a.t.Context(), admin) })
}

// notReady waits until a process says that it is not ready, because of a part,
// while it still says that it is alive: nobody must start it anew for that.
func (a *apart) notReady(who, admin string, part string) {
	a.t.Helper()
	testsystem.Until(a.t, "the "+who+" is not ready because of "+part, func() error {
		a.alive(who, admin)
		err := testsystem.Ready(a.t.Context(), admin)
		if err == nil || !strings.Contains(err.Error(), "[-] "+part) {
			return fmt.Errorf("it says: %w", errors.Join(err, errors.New("")))
		}
		return nil
	})
	a.alive(who, admin)
}

func (a *apart) alive(who, admin string) {
	a.t.Helper()
	for _, path := range []string{"/livez", "/startupz"} {
		if status, body, err := testsystem.Fetch(a.t.Context(), "http://"+admin+path, ""); err != nil || status != http.StatusOK {
			a.t.Fatalf("the %s says %d %s to %s, %v", who, status, body, path, err)
		}
	}
}

func TestProbesTellTheTruthAboutEveryNeighbour(t *testing.T) {
	a := startApart(t)
	const worker, reader = "worker", "reader"
	both := func(part string) {
		a.notReady(worker, a.workerAdmin, part)
		a.notReady(reader, a.readerAdmin, part)
	}
	healed := func() {
		a.ready(worker, a.workerAdmin)
		a.ready(reader, a.readerAdmin)
	}
	readerIsReady := func() {
		if err := testsystem.Ready(t.Context(), a.readerAdmin); err != nil {
			t.Errorf("the reader needs no NATS, and says %v", err)
		}
	}
	for _, c := range []struct {
		name            string
		harm, see, undo func()
	}{
		{
			"ClickHouse is frozen",
			func() { a.clickhouse.Freeze(t) }, func() { both("clickhouse") }, func() { a.clickhouse.Thaw(t) },
		},
		{
			"ClickHouse is killed",
			func() { a.clickhouse.Kill(t) }, func() { both("clickhouse") }, a.startClickHouse,
		},
		{
			"NATS is frozen",
			func() { a.nats.Freeze(t) },
			func() { a.notReady(worker, a.workerAdmin, "ingest"); readerIsReady() },
			func() { a.nats.Thaw(t) },
		},
		{
			"NATS is killed",
			func() { a.nats.Kill(t) },
			func() { a.notReady(worker, a.workerAdmin, "nats"); readerIsReady() },
			a.startNATS,
		},
		{
			"the consumer is deleted",
			func() {
				if err := a.js().DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
					t.Fatal(err)
				}
			},
			func() { a.notReady(worker, a.workerAdmin, "ingest: open source"); readerIsReady() },
			a.makeStreams,
		},
		{
			"the schema is another",
			func() { a.asOwner("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)") },
			func() { both("clickhouse: check schema") },
			func() {
				a.asOwner("ALTER TABLE goose_db_version DELETE WHERE version_id = 99999 SETTINGS mutations_sync = 2")
			},
		},
		{
			"nothing can be parked",
			func() {
				if err := a.js().DeleteStream(t.Context(), stream.Parked); err != nil {
					t.Fatal(err)
				}
				a.publish("not JSON")
			},
			func() { a.notReady(worker, a.workerAdmin, "parking"); readerIsReady() },
			a.makeStreams,
		},
		{
			"the table of reports is gone",
			func() { a.asOwner("RENAME TABLE pipeline_reports TO away") },
			func() { a.notReady(worker, a.workerAdmin, "watermark") },
			func() { a.asOwner("RENAME TABLE away TO pipeline_reports") },
		},
	} {
		if !t.Run(c.name, func(t *testing.T) {
			a.t = t
			c.harm()
			c.see()
			c.undo()
			healed()
		}) {
			return
		}
	}
	a.t = t
	a.publish(line("apart", "e1", "ann", 1, time.Now()))
	secret, err := os.ReadFile(a.token)
	if err != nil {
		t.Fatal(err)
	}
	testsystem.Until(t, "it works after all that", func() error {
		events, err := eventsOf(t, "http://"+a.readerHTTP, strings.TrimSpace(string(secret)), "apart")
		if err == nil && len(events) != 1 {
			err = fmt.Errorf("%d events", len(events))
		}
		return err
	})
	for _, p := range []*testsystem.Process{a.reader, a.worker} {
		p.Stop(t)
	}
}

func TestStartIsToldApartFromReadiness(t *testing.T) {
	b := testsystem.Start(t, testsystem.Command(t, "ingest", "--admin-addr", "127.0.0.1:0", "--clickhouse-addr", "127.0.0.1:1", "--log-format", "json"))
	admin := said(t, b, `"admin":"([^"]+)"`)
	said(t, b, `("not available yet")`)
	for path, want := range map[string]int{"/livez": http.StatusOK, "/startupz": http.StatusServiceUnavailable, "/readyz": http.StatusServiceUnavailable} {
		if status, body, err := testsystem.Fetch(t.Context(), "http://"+admin+path, ""); err != nil || status != want {
			t.Errorf("%s: %d %s %v, want %d while it waits for ClickHouse", path, status, body, err, want)
		}
	}
	b.Stop(t)
}

package engine_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// code is the number of the server's error, 0 for any other.
func code(err error) int32 {
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		return exception.Code
	}
	return 0
}

// Every one of these would end the server, were it let in: see door.go.
func TestAClientThatIsRefusedDoesNoHarm(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	pid := ch.PID()
	user, password := ch.Credentials(engine.RoleOwner)
	_, other := ch.Credentials(engine.RoleReader)
	for _, c := range []struct {
		name string
		auth clickhouse.Auth
		want int32
	}{
		{"a wrong password", clickhouse.Auth{Username: user, Password: "wrong"}, 516},
		{"no password", clickhouse.Auth{Username: user}, 516},
		{"another user's password", clickhouse.Auth{Username: user, Password: other}, 516},
		{"a user that does not exist", clickhouse.Auth{Username: "nobody", Password: password}, 516},
		{"the library's own user", clickhouse.Auth{Username: "default"}, 516},
		{"the library's own user with a password", clickhouse.Auth{Username: "default", Password: password}, 516},
		{"a database that does not exist", clickhouse.Auth{Database: "nowhere", Username: user, Password: password}, 81},
		{"a database with a strange name", clickhouse.Auth{Database: `a\'b` + "`", Username: user, Password: password}, 81},
	} {
		if got := code(open(t, ch.Addr(), c.auth).Ping(t.Context())); got != c.want {
			t.Errorf("%s: error code %d, want %d", c.name, got, c.want)
		}
	}
	noise := make([]byte, 100_000)
	_, _ = rand.Read(noise) // never fails
	for _, bytes := range []string{
		"", "\x00", "\x05\x05\x05", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00",
		"\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x00\x01x\x01\x01\x01\x00", string(noise),
	} {
		if answer := say(t, ch.Addr(), bytes); answer != "" {
			t.Errorf("%.20q is answered with %q", bytes, answer)
		}
	}
	if err := connect(t, ch, engine.RoleOwner).Ping(t.Context()); err != nil || ch.PID() != pid {
		t.Errorf("afterwards: error %v, process %d instead of %d", err, ch.PID(), pid)
	}
}

// say writes bytes, and nothing more, and returns everything that comes back.
func say(t *testing.T, addr, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// The other side may have closed already, which is what is wanted.
	_, _ = io.WriteString(conn, text)
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

// The library's own client signs in as default without a password: nobody else
// may, not even who finds the port behind the door.
func TestNobodyElseIsTheLibrarysUser(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	if got := code(open(t, ch.InsideAddr(), clickhouse.Auth{Username: "default"}).Ping(t.Context())); got != 516 {
		t.Errorf("error code %d, want 516", got)
	}
	eventually(t, "the engine answers again", func() bool { return ch.Healthy() == nil })
}

func TestWhileTheChildIsDownClientsAreTold(t *testing.T) {
	ch, broken := breakable(t)
	user, password := ch.Credentials(engine.RoleOwner)
	breakDown(t, ch, broken)
	if got := code(open(t, ch.Addr(), clickhouse.Auth{Username: user, Password: password}).Ping(t.Context())); got != 210 {
		t.Errorf("error code %d, want 210", got)
	}
}

func TestClientsThatBreakOffDoNoHarm(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	pid := ch.PID()
	exec(t, connect(t, ch, engine.RoleOwner), "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			conn := connect(t, ch, engine.RoleOwner)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i*5)*time.Millisecond)
			defer cancel()
			sql := "SELECT number FROM system.numbers"
			if i%2 == 0 {
				sql = "INSERT INTO t SELECT number FROM numbers(100000000)"
			}
			if _, err := texts(ctx, conn, sql); err == nil {
				t.Error("a query without an end ended")
			}
		})
	}
	wg.Wait()
	if err := connect(t, ch, engine.RoleOwner).Ping(t.Context()); err != nil || ch.PID() != pid {
		t.Errorf("afterwards: error %v, process %d instead of %d", err, ch.PID(), pid)
	}
}

func TestTheDoorCarriesLargeAnswersAndInserts(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	conn := connect(t, ch, engine.RoleOwner)
	exec(t, conn, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY tuple()")
	batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 1<<20)
	for range 20 {
		if err := batch.Append(big); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	if got := mustTexts(t.Context(), t, conn, "SELECT s FROM t"); len(got) != 20*(1<<20+4)+19 {
		t.Errorf("read back %d bytes", len(got))
	}
}

func TestCloseEndsTheConnectionsOfClients(t *testing.T) {
	ch := engine.NewClickHouse(engine.ClickHouseConfig{Dir: t.TempDir()})
	if err := ch.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, ch, engine.RoleOwner)
	failed := make(chan error, 1)
	go func() {
		_, err := texts(t.Context(), conn, "SELECT sum(sleepEachRow(1)) FROM numbers(100) SETTINGS function_sleep_max_microseconds_per_block = 1000000000")
		failed <- err
	}()
	eventually(t, "the query runs", func() bool {
		got, err := texts(t.Context(), conn, "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow(1)%' AND query NOT LIKE '%processes%'")
		return err == nil && got == "(1)"
	})
	stop(t, ch)
	if err := <-failed; err == nil {
		t.Error("the query ended without an error")
	}
}

func TestHelloIsReadAsTheProtocolSaysAndNothingOfItIsLost(t *testing.T) {
	packet := "\x00" + "\x03cli" + "\x17\x08\xba\xaa\x03" + "\x02db" + "\x05owner" + "\x02pw"
	h, err := engine.ReadHello(strings.NewReader(packet + "more"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(packet+"more", string(engine.RawHello(h))) || !bytes.HasPrefix(engine.RawHello(h), []byte(packet)) {
		t.Errorf("kept %q", engine.RawHello(h))
	}
	for end := range packet {
		if _, err := engine.ReadHello(strings.NewReader(packet[:end])); err == nil {
			t.Errorf("%q is taken for a whole packet", packet[:end])
		}
	}
}

package testserver_test

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

func TestEveryTestGetsAFreshDatabase(t *testing.T) {
	first, second := testserver.ClickHouse(t), testserver.ClickHouse(t)
	if first.Database == second.Database {
		t.Fatalf("two databases are %s", first.Database)
	}
	for _, server := range []testserver.Database{first, second} {
		conn, err := clickhouse.Open(server.Options(server.Owner))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Exec(t.Context(), "CREATE TABLE own (n UInt8) ENGINE = MergeTree ORDER BY n"); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestADatabaseIsEmptyWhenItsNameComesBack(t *testing.T) {
	seen := map[string]bool{}
	for range 120 { // more than there are names
		t.Run("", func(t *testing.T) {
			server := testserver.ClickHouse(t)
			seen[server.Database] = true
			conn, err := clickhouse.Open(server.Options(server.Owner))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.Exec(t.Context(), "CREATE TABLE own (n UInt8) ENGINE = MergeTree ORDER BY n"); err != nil {
				t.Error(err)
			}
		})
	}
	if len(seen) == 120 {
		t.Error("no name came back")
	}
}

func TestNATSKeepsItsStreamsAndItsAddressOverARestart(t *testing.T) {
	server := testserver.NATS(t)
	nc := server.Connect(engine.UserOperator)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "X", Subjects: []string{"login.events.>"}}); err != nil {
		t.Fatal(err)
	}
	url := server.URL
	server.Restart()
	js, err = jetstream.New(server.Connect(engine.UserOperator))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(t.Context(), "X"); err != nil || server.URL != url {
		t.Errorf("after the restart at %s instead of %s: %v", server.URL, url, err)
	}
}

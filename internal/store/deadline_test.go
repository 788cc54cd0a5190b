package store

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// AskFor asks a statement that takes as many seconds.
func (db *DB) AskFor(ctx context.Context, seconds int) error {
	s := statement{name: "sleep", sql: "SELECT sleep({seconds:UInt8})", params: params{"seconds": seconds}}
	return db.selectRows(ctx, "a", s, func(driver.Rows) error { return nil })
}

// TestPingEndsWithItsContextWhereTheSignInHangs: a probe must get its answer. The
// server takes connections and says nothing.
func TestPingEndsWithItsContextWhereTheSignInHangs(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := clickhouse.Open(Config{Addr: silent.Addr().String()}.options())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := (&DB{conn: conn}).Ping(ctx); !errors.Is(err, errNoAnswer) || !errors.Is(err, query.ErrUnavailable) {
		t.Errorf("%v, want %v", err, errNoAnswer)
	}
}

func TestMemoryThatTheWholeServerLacksIsNoFaultOfTheQuestion(t *testing.T) {
	const memoryLimit = 241
	for text, want := range map[string]error{
		"(total) memory limit exceeded: would use 512.06 MiB":   query.ErrUnavailable,
		"(for query) memory limit exceeded: would use 1.00 GiB": query.ErrTooHeavy,
	} {
		err := readError("select events", &clickhouse.Exception{Code: memoryLimit, Message: text})
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

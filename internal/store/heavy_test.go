package store

import (
	"errors"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// AskTooMuch asks what goes beyond each of the reader's bounds, and tells by which
// of ClickHouse's codes each was stopped.
func (db *DB) AskTooMuch(t testing.TB) map[string]int32 {
	t.Helper()
	stopped := map[string]int32{}
	for bound, sql := range map[string]string{
		"rows to read":   "SELECT sum(number) FROM numbers(3000000000)",
		"rows to answer": "SELECT number FROM numbers(3000000)",
		"memory":         "SELECT max(length(range(number + 100000000))) FROM numbers(4)",
		"time":           "SELECT sleep(2)",
	} {
		ctx := t.Context()
		if bound == "time" {
			ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": 1}))
		}
		begun := time.Now()
		rows, err := db.conn.Query(ctx, sql)
		if err == nil {
			err = drain(rows)
		}
		t.Logf("%s: %v after %v", bound, err, time.Since(begun))
		var exception *clickhouse.Exception
		if !errors.As(err, &exception) {
			t.Errorf("%s: %v, want an exception of ClickHouse", bound, err)
			continue
		}
		stopped[bound] = exception.Code
		if err := readError("ask", err); !errors.Is(err, query.ErrTooHeavy) {
			t.Errorf("%s: %v, want ErrTooHeavy", bound, err)
		}
	}
	return stopped
}

func drain(rows driver.Rows) error {
	for rows.Next() {
		continue
	}
	return errors.Join(rows.Err(), rows.Close())
}

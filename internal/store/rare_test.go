package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/loginaudit/loginaudit/internal/query"
)

func TestARareAddressOrSessionIsFoundWithoutReadingTheWhole(t *testing.T) {
	db := openDatabase(t)
	const events, rare, granule = 160_000, 123_456, 8192
	for _, view := range db.texts(t, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView'") {
		db.exec(t, "DROP VIEW "+view) // only events is filled here
	}
	db.exec(t, fmt.Sprintf(`
		INSERT INTO events (account, occurred_at, rank, content_hash, id_text, username, entry, status, session_id, ip, version)
		SELECT 'acme', toDateTime64('2025-03-01 00:00:00', 6, 'UTC') + toIntervalSecond(number), 1, MD5(toString(number)), toString(number), 'ann', 1, 1,
			concat('s', toString(intDiv(number, 4))), toIPv6(concat('10.0.', toString(number %% 100), '.', if(number = %d, '200', toString(number %% 17)))),
			bitNot(toUInt64(number + 1))
		FROM numbers(%d)`, rare, events))
	var read atomic.Uint64
	ctx := clickhouse.Context(context.Background(), clickhouse.WithProgress(func(p *clickhouse.Progress) { read.Add(p.Rows) }))
	for _, c := range []struct {
		name   string
		filter query.EventFilter
		found  int
	}{
		{"an address", query.EventFilter{IP: netip.MustParsePrefix("10.0.56.200/32")}, 1},
		{"an address that nobody has", query.EventFilter{IP: netip.MustParsePrefix("10.0.57.200/32")}, 0},
		{"a session", query.EventFilter{SessionID: new(fmt.Sprint("s", rare/4))}, 4},
		{"a session that there is not", query.EventFilter{SessionID: new("s-1")}, 0},
	} {
		read.Store(0)
		c.filter.Limit = 100
		page, err := db.reader.Events(ctx, "acme", c.filter)
		if err != nil || len(page.Events) != c.found {
			t.Errorf("%s: %d events, %v", c.name, len(page.Events), err)
		}
		if n := read.Load(); n > 4*granule {
			t.Errorf("%s: %d rows of %d were read", c.name, n, events)
		}
	}
}

package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// ExportInChunks is Export by statements of chunk rows, which asks for each event
// whether it is in conflict up to as many events.
func (db *DB) ExportInChunks(ctx context.Context, account string, f query.EventFilter, chunk int, each func([]query.Event) error) (query.Watermark, error) {
	return db.exportBy(ctx, account, f, exportSizes{chunk: chunk, few: chunk}, each)
}

// ExplainExport is ClickHouse's plan for a statement of an export.
func (db *DB) ExplainExport(t testing.TB, account string, f query.EventFilter) string {
	t.Helper()
	mark, err := db.Watermark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := (&exporter{account: account, filter: f, mark: mark}).statement(1000)
	s.sql = "EXPLAIN actions = 1 " + s.sql
	var plan strings.Builder
	err = db.selectRows(t.Context(), account, s, func(rows driver.Rows) error {
		var line string
		err := rows.Scan(&line)
		plan.WriteString(line + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.String()
}

// step is what one statement of an export comes to.
type step struct {
	rows    int
	further bool
	err     error
}

// limitsOf are the limits of the statements that readChunks makes of steps, 4,000
// rows each at first; the last step is repeated.
func limitsOf(t *testing.T, steps ...step) (limits []int, err error) {
	t.Helper()
	const most = 200
	err = readChunks(t.Context(), 4000, func(_ context.Context, limit int) (int, bool, error) {
		if len(limits) == most {
			t.Fatal("it does not end")
		}
		s := steps[min(len(limits), len(steps)-1)]
		limits = append(limits, limit)
		return s.rows, s.further, s.err
	})
	return limits, err
}

func TestExportAsksForMoreOrFewerRowsAsIsNeeded(t *testing.T) {
	heavy := fmt.Errorf("select: %w", query.ErrTooHeavy)
	for _, c := range []struct {
		name  string
		steps []step
		want  []int
		err   error
	}{
		{"until there are fewer than asked for", []step{{4000, true, nil}, {3999, true, nil}}, []int{4000, 4000}, nil},
		{"more where all are copies of one event", []step{{4000, false, nil}, {16000, false, nil}, {64000, true, nil}, {0, false, nil}}, []int{4000, 16000, 64000, 4000}, nil},
		{"fewer where so many are too heavy", []step{{0, false, heavy}, {1000, true, nil}, {5, true, nil}}, []int{4000, 1000, 4000}, nil},
		{"no fewer than a thousand", []step{{0, false, heavy}}, []int{4000, 1000}, query.ErrTooHeavy},
		{"on from where it came to, whatever broke it", []step{{100, true, heavy}, {100, true, query.ErrUnavailable}, {0, false, nil}}, []int{4000, 4000, 4000}, nil},
		{"not again what is our own fault", []step{{0, false, errWriterClosed}}, []int{4000}, errWriterClosed},
	} {
		limits, err := limitsOf(t, c.steps...)
		if fmt.Sprint(limits) != fmt.Sprint(c.want) || !errors.Is(err, c.err) {
			t.Errorf("%s: asked for %v, %v; want %v, %v", c.name, limits, err, c.want, c.err)
		}
	}
}

func TestExportWaitsHalfAMinuteForClickHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		limits, err := limitsOf(t, step{0, false, query.ErrUnavailable})
		if waited := time.Since(start); !errors.Is(err, query.ErrUnavailable) || waited < patience || waited > patience+time.Second || len(limits) < 50 {
			t.Errorf("%v after %s and %d statements", err, waited, len(limits))
		}
		// Every event that comes in between starts the wait anew.
		steps := make([]step, 0, 80)
		for range 40 {
			steps = append(steps, step{0, false, query.ErrUnavailable}, step{10, true, query.ErrUnavailable})
		}
		if _, err := limitsOf(t, append(steps, step{0, false, nil})...); err != nil {
			t.Error(err)
		}
	})
}

func TestExportThatWaitsEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := readChunks(ctx, 4000, func(context.Context, int) (int, bool, error) {
		context.AfterFunc(t.Context(), cancel)
		time.AfterFunc(time.Millisecond, cancel)
		return 0, false, query.ErrUnavailable
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestExportCollapsesRepeatsHoweverTheirRowsAreCut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var rows []query.Event
		for i := range rapid.IntRange(1, 6).Draw(rt, "events") {
			for range rapid.IntRange(1, 4).Draw(rt, "copies") {
				rows = append(rows, query.Event{Hash: event.Hash{byte(i)}, StreamSeq: rapid.Uint64Range(1, 9).Draw(rt, "seq")})
			}
		}
		want := collapse(rows)
		var got []query.Event
		var held collapser
		for len(rows) > 0 {
			n := rapid.IntRange(1, len(rows)).Draw(rt, "rows of a block")
			got = append(got, held.collapse(append(held.begin(nil), rows[:n]...))...)
			rows = rows[n:]
		}
		if got = held.begin(got); !reflect.DeepEqual(got, want) {
			rt.Fatalf("got %v, want %v", got, want)
		}
	})
}

package faults

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// watchEvery is how often the watermark is looked at.
const watchEvery = 100 * time.Millisecond

// watch asks the API for its watermark, again and again, and looks whether every
// confirmed event up to it can be found. While something cannot be asked,
// nothing is claimed.
type watch struct {
	system *System

	mu    sync.Mutex
	marks []query.Watermark // distinct ones, in order
	wrong []string
	// checked are the events that were there when a watermark claimed them.
	checked map[event.Hash]bool
}

func startWatch(tb testing.TB, s *System) *watch {
	w := &watch{system: s, checked: map[event.Hash]bool{}}
	ctx, stop := context.WithCancel(tb.Context())
	var done sync.WaitGroup
	done.Go(func() {
		again := time.NewTicker(watchEvery)
		defer again.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-again.C:
				w.look(ctx)
			}
		}
	})
	tb.Cleanup(func() {
		stop()
		done.Wait()
	})
	return w
}

// look asks for the watermark, and then for what it claims.
func (w *watch) look(ctx context.Context) {
	mark, err := w.system.watermark(ctx)
	if err != nil {
		return
	}
	w.mu.Lock()
	if n := len(w.marks); n == 0 || w.marks[n-1].StreamSeq != mark.StreamSeq || !sameTime(w.marks[n-1].Time, mark.Time) {
		w.marks = append(w.marks, mark)
	}
	w.mu.Unlock()
	claimed := w.system.ledger.claimed(mark.StreamSeq, w.checked)
	from := mark.StreamSeq
	for _, c := range claimed {
		from = min(from, c.seq)
	}
	if len(claimed) == 0 {
		return
	}
	// A repeat that came first may have another place, so that all is asked for
	// before an event counts as missing.
	for _, first := range []uint64{from, 0} {
		there, err := w.system.hashes(ctx, first)
		if err != nil {
			return
		}
		missing := 0
		for hash := range claimed {
			if !there[hash] {
				missing++
			}
		}
		if missing > 0 && first > 0 {
			continue
		}
		w.conclude(ctx, mark, claimed, there)
		return
	}
}

func sameTime(a, b *query.Timestamp) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Equal(b.Time)
}

// conclude notes what is claimed and not there. One of those that are there is
// also asked for by the API.
func (w *watch) conclude(ctx context.Context, mark query.Watermark, claimed map[event.Hash]confirmed, there map[event.Hash]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := false
	for hash, c := range claimed {
		if !there[hash] {
			w.wrong = append(w.wrong, fmt.Sprintf("the watermark claims %d, but the event with sequence %d is not there: %s",
				mark.StreamSeq, c.seq, c.message.Body))
			continue
		}
		w.checked[hash] = true
		if asked {
			continue
		}
		asked = true
		e, _, err := event.Decode(c.message.Body)
		var details query.EventDetails
		if err == nil {
			err = w.system.get(ctx, accountPath(e.Account)+"/events/"+url.PathEscape(e.ID), &details)
		}
		if errors.Is(err, errNotFound) {
			w.wrong = append(w.wrong, fmt.Sprintf("the watermark claims %d, but the API does not know the event with sequence %d: %v",
				mark.StreamSeq, c.seq, err))
		}
	}
}

// findings are what was wrong up to now, and the distinct watermarks.
func (w *watch) findings() (wrong []string, marks []query.Watermark, checked int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.wrong...), append([]query.Watermark{}, w.marks...), len(w.checked)
}

// hashes are the content hashes in ClickHouse from a sequence on.
func (s *System) hashes(ctx context.Context, from uint64) (map[event.Hash]bool, error) {
	there := map[event.Hash]bool{}
	err := s.sql(ctx, func(ctx context.Context, conn driver.Conn) error {
		rows, err := conn.Query(ctx, fmt.Sprintf("SELECT DISTINCT hex(content_hash) FROM events WHERE version <= bitNot(toUInt64(%d))", from))
		if err != nil {
			return err
		}
		for rows.Next() {
			var text string
			err := rows.Scan(&text)
			hash, bad := hex.DecodeString(text)
			if err := errors.Join(err, bad); err != nil {
				return errors.Join(err, rows.Close())
			}
			there[event.Hash(hash)] = true
		}
		return errors.Join(rows.Err(), rows.Close())
	})
	return there, err
}

// Package tail follows the stream: it hands each event on to the readers of its
// account, once, in the order in which events arrived.
//
// All readers share one [Hub]. While it has a reader, it asks the store a few times a
// second how far the stream is ingested, and when that has moved, with one statement
// for all accounts that have readers, for the events up to there. Nothing beyond the
// watermark is shown, so nothing can come before it later. A reader that only waits
// costs its goroutine and its connection.
//
// A reader that is behind, because it comes back, or because it takes events more
// slowly than they come, reads what it lacks from the store by pages, at its own
// pace, and then goes on with the others, with no event left out or sent twice.
// Where it is too far behind for that, it is told which part of the stream it does
// not get, and goes on at the end.
//
// An event is news only once: a repeat of what was there before is not sent. The
// stream's sequences begin anew when it is made anew; the hub then goes on with the
// new ones.
package tail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Source is where the events are. Its errors wrap query.ErrUnavailable where it
// cannot answer now.
type Source interface {
	// TailEdge tells how far the stream is ingested, and in which history of it.
	TailEdge(ctx context.Context) (query.TailEdge, error)
	// Arrived reads the events of accounts in a stretch of the stream, in its order,
	// and tells how far it came.
	Arrived(ctx context.Context, accounts []string, of query.Stretch) (events []query.Event, upTo uint64, err error)
	// ArrivedOf is Arrived for what a filter lets through of one account.
	ArrivedOf(ctx context.Context, account string, f query.EventFilter, of query.Stretch) (events []query.Event, upTo uint64, err error)
	// News leaves the repeats out of events, and marks conflicts.
	News(ctx context.Context, edge query.TailEdge, events []query.Event) ([]query.Event, error)
}

// Config is what a Hub needs. What is zero has the default.
type Config struct {
	// Source has the events. Required.
	Source Source
	// Log gets what goes wrong; none when nil.
	Log *zap.Logger
	// Registerer gets the metrics; none when nil.
	Registerer prometheus.Registerer

	// Every is the pause between two questions to the store.
	Every time.Duration
	// Heartbeat is the pause between two watermarks to a reader.
	Heartbeat time.Duration
	// Readers is how many readers there may be at once.
	Readers int
	// Buffer is how many messages wait for one reader, until it reads on from the
	// store by itself; Buffered is how many wait for all of them together.
	Buffer, Buffered int
	// Page is how many events are read at once.
	Page int
	// Behind is how many sequences of the stream a reader may be behind, until it is
	// told of a gap instead.
	Behind uint64
	// Patience is how long a reader waits for the stream to come to where the reader
	// was last, until that place counts as one of another stream.
	Patience time.Duration
}

// The defaults, and what else is bounded.
const (
	DefaultEvery     = 300 * time.Millisecond
	DefaultHeartbeat = 15 * time.Second
	DefaultReaders   = 5000
	DefaultBuffer    = 2000
	DefaultBuffered  = 50_000
	DefaultPage      = 1000
	DefaultBehind    = 1_000_000
	DefaultPatience  = 10 * time.Second

	// catchingUp is how many readers read from the store at the same time.
	catchingUp = 3
	// askTimeout bounds one question to the store, beginTimeout the wait of a new
	// reader for the first answer.
	askTimeout   = 15 * time.Second
	beginTimeout = 15 * time.Second
	// retryPause is how long after a failure the store is asked again.
	retryPause = time.Second
	// joinPause is how soon after the last round the next one may come for those who
	// want to join.
	joinPause = 30 * time.Millisecond
	// window is how many sequences one statement for all readers goes over, and the
	// first of a reader that catches up.
	window = 20_000
)

var (
	errSource  = errors.New("new tail: Source is required")
	errStopped = fmt.Errorf("the tail has stopped: %w", query.ErrUnavailable)
	errDeliver = errors.New("deliver messages of the tail")
	errSilent  = fmt.Errorf("the store says nothing: %w", query.ErrUnavailable)
)

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{{&c.Every, DefaultEvery}, {&c.Heartbeat, DefaultHeartbeat}, {&c.Patience, DefaultPatience}} {
		if *d.value <= 0 {
			*d.value = d.otherwise
		}
	}
	for _, n := range []struct {
		value     *int
		otherwise int
	}{{&c.Readers, DefaultReaders}, {&c.Buffer, DefaultBuffer}, {&c.Buffered, DefaultBuffered}, {&c.Page, DefaultPage}} {
		if *n.value <= 0 {
			*n.value = n.otherwise
		}
	}
	if c.Behind == 0 {
		c.Behind = DefaultBehind
	}
	return c
}

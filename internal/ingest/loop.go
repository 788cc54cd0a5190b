package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Loop is one worker.
type Loop struct {
	config  Config
	log     *zap.Logger
	metrics *metrics

	trouble  atomic.Pointer[error] // why the loop makes no progress; nil while it does
	running  atomic.Bool
	inserted bool // something was stored since the start; only the main goroutine

	progress  chan struct{}          // a batch is done: tell the watermark
	source    atomic.Pointer[source] // what is open now
	lastKnown Watermark              // only the watermark's goroutine
	expired   uint64                 // messages that are known to have expired; likewise
}

// source is an open stream and its consumer.
type source struct {
	stream   jetstream.Stream
	consumer jetstream.Consumer
}

// idleWait bounds one waiting for a first message, and with it the time that a
// graceful stop takes while nothing happens.
const idleWait = 200 * time.Millisecond

// New checks the configuration and registers the metrics. It starts nothing.
func New(config Config) (*Loop, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, fmt.Errorf("create ingest loop: %w", err)
	}
	m, err := newMetrics(config.Registerer)
	if err != nil {
		return nil, fmt.Errorf("create ingest loop: %w", err)
	}
	l := &Loop{config: config, log: config.Logger, metrics: m, progress: make(chan struct{}, 1)}
	l.setTrouble(errStarting)
	return l, nil
}

var (
	errStarting   = errors.New("starting: the consumer is not open yet")
	errNotRunning = errors.New("the ingest loop is not running")
)

// Run ingests until ctx ends; then it finishes the batch in hand within
// StopTimeout and returns nil. It returns an error where going on is of no use:
// the Sink's set-up is wrong (see [Stop]), every row of a batch is refused, the
// stream or consumer is gone and Open does not bring it back, or the connection
// is closed for good. Then nothing of the batch in hand is acknowledged. A Loop
// runs once at a time.
func (l *Loop) Run(ctx context.Context) error {
	l.running.Store(true)
	defer l.running.Store(false)
	work, cancel := finishing(ctx, l.config.StopTimeout)
	defer cancel()
	marks, endMarks := context.WithCancel(work)
	defer endMarks()

	var parts errgroup.Group
	parts.Go(func() error {
		l.tellWatermarks(marks, ctx.Done())
		return nil
	})
	parts.Go(func() error {
		defer endMarks()
		return l.ingest(ctx, work)
	})
	return parts.Wait()
}

// finishing gives the context of the work in hand: it outlives ctx by limit.
func finishing(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(limit, cancel)
		context.AfterFunc(work, func() { timer.Stop() })
	})
	return work, func() {
		unhook()
		cancel()
	}
}

// ingest opens the source and fetches from it, again and again.
func (l *Loop) ingest(ctx, work context.Context) error {
	for ctx.Err() == nil {
		src, err := l.open(ctx)
		if err != nil || src == nil {
			return err
		}
		err = l.consume(ctx, work, src)
		if !errors.Is(err, errGone) {
			return err
		}
		l.log.Warn("consumer is gone, opening it again")
	}
	return nil
}

// open opens the source, however long it takes; it gives nil when ctx ends.
func (l *Loop) open(ctx context.Context) (*source, error) {
	back := l.backoff()
	for {
		stream, consumer, err := l.config.Open(ctx)
		switch {
		case err == nil:
			src := &source{stream, consumer}
			l.source.Store(src)
			l.setTrouble(nil)
			return src, nil
		case ctx.Err() != nil:
			return nil, nil //nolint:nilnil,nilerr // the stop was asked for; there is no source and no error
		case notFound(err), permanent(err):
			return nil, fmt.Errorf("open source: %w", err)
		}
		l.setTrouble(fmt.Errorf("open source: %w", err))
		l.log.Warn("cannot open the source", zap.Error(err))
		if !pause(ctx, back.next()) {
			return nil, nil //nolint:nilnil // see above
		}
	}
}

// consume fetches and works through batches until ctx ends (nil), the consumer
// is gone (errGone), or going on is of no use.
func (l *Loop) consume(ctx, work context.Context, src *source) error {
	pull, err := newPuller(l.config.JetStream, src.consumer, l.config.MaxMessages)
	if err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	defer pull.close()
	back := l.backoff()
	bounds := limits{l.config.MaxMessages, l.config.MaxBytes, l.config.MaxWait}
	for ctx.Err() == nil {
		messages, err := pull.fetchBatch(idleWait, bounds)
		if len(messages) > 0 {
			if err := l.process(work, messages, ackWait(src)); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
			l.setTrouble(nil)
			back = l.backoff()
			continue
		case errors.Is(err, errGone):
			l.metrics.fetchErrors.Inc()
			if !pause(ctx, back.next()) {
				return nil
			}
			return errGone
		case permanent(err):
			return fmt.Errorf("fetch messages: %w", err)
		}
		l.metrics.fetchErrors.Inc()
		l.setTrouble(fmt.Errorf("fetch messages: %w", err))
		l.log.Warn("cannot fetch messages", zap.Error(err))
		pause(ctx, back.next())
	}
	return nil
}

// ackWait is after how long the server delivers an unanswered message again.
func ackWait(src *source) time.Duration {
	if wait := src.consumer.CachedInfo().Config.AckWait; wait > 0 {
		return wait
	}
	return 30 * time.Second
}

// Ready is nil while the loop makes progress, or waits for messages; else it
// tells what keeps it from it.
func (l *Loop) Ready(context.Context) error {
	if !l.running.Load() {
		return errNotRunning
	}
	if trouble := l.trouble.Load(); trouble != nil {
		return *trouble
	}
	return nil
}

// Live is nil while Run is running; a store that is down does not change that.
func (l *Loop) Live(context.Context) error {
	if !l.running.Load() {
		return errNotRunning
	}
	return nil
}

func (l *Loop) setTrouble(err error) {
	if err == nil {
		l.trouble.Store(nil)
		return
	}
	l.trouble.Store(&err)
}

// backoff gives growing pauses with jitter.
type backoff struct{ current, most time.Duration }

func (l *Loop) backoff() *backoff {
	return &backoff{l.config.RetryPause, l.config.RetryPauseMax}
}

func (b *backoff) next() time.Duration {
	d := b.current/2 + rand.N(b.current/2+1)
	b.current = min(2*b.current, b.most)
	return d
}

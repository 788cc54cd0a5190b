package ingest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

// Loop is one worker. Its stages run beside each other: one goroutine fetches,
// decodes and fills batches, Config.Inserts store them, one acknowledges what is
// stored, and what is invalid is parked on its own. The number of blocks bounds
// the memory.
type Loop struct {
	config  Config
	log     *zap.Logger
	metrics *metrics

	running   atomic.Bool
	fetching  trouble     // why nothing is fetched
	inserting trouble     // why nothing is stored
	inserted  atomic.Bool // something was stored since the start
	portion   portion     // how many rows the store takes at once

	blocks  chan Block   // empty ones
	free    chan *batch  // empty ones, without a block
	full    chan *batch  // to be stored
	stored  chan *batch  // to be acknowledged; their blocks are in use again
	invalid chan refused // to be parked
	inHand  *inHand

	progress chan struct{}          // a batch is done: tell the watermark
	source   atomic.Pointer[source] // what is open now
}

// trouble is what keeps a stage from its work.
type trouble struct{ cause atomic.Pointer[error] }

func (t *trouble) is(err error) { t.cause.Store(&err) }

func (t *trouble) ok() {
	if t.cause.Load() != nil {
		t.cause.Store(nil)
	}
}

func (t *trouble) err() error {
	if cause := t.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// source is an open stream and its consumer.
type source struct {
	stream   jetstream.Stream
	consumer jetstream.Consumer
	created  time.Time // the stream's, by which it is told from its successor
	replaced chan struct{}
	once     sync.Once
}

func newSource(stream jetstream.Stream, consumer jetstream.Consumer) *source {
	return &source{stream: stream, consumer: consumer, created: stream.CachedInfo().Created, replaced: make(chan struct{})}
}

// lives reports whether the source's stream is there still, and not another of
// its name: the server takes an acknowledgement by the sequence alone, and what a
// stream that was made again has under it is another message. Where it is another,
// the source is opened again.
func (l *Loop) lives(ctx context.Context, src *source) (bool, error) {
	if src != l.source.Load() {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	info, err := src.stream.Info(ctx)
	switch {
	case err == nil && info.Created.Equal(src.created):
		return true, nil
	case err == nil, notFound(err):
		src.once.Do(func() { close(src.replaced) })
		return false, nil
	}
	return false, fmt.Errorf("look at the stream: %w", err)
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
	l := &Loop{
		config: config, log: config.Logger, metrics: m, inHand: newInHand(),
		// One batch is being filled while the others are stored.
		blocks: make(chan Block, config.Inserts+1), progress: make(chan struct{}, 1),
	}
	// And one is acknowledged while as many wait for it as there are inserts.
	l.free = make(chan *batch, cap(l.blocks)+1+config.Inserts)
	for range cap(l.blocks) {
		l.blocks <- config.Sink.NewBlock()
	}
	for range cap(l.free) {
		l.free <- new(batch)
	}
	l.fetching.is(errStarting)
	return l, nil
}

var (
	errStarting   = errors.New("starting: the consumer is not open yet")
	errNotRunning = errors.New("the ingest loop is not running")
)

// Run ingests until ctx ends; then it finishes what is in hand within
// StopTimeout and returns nil. It returns an error where going on is of no use:
// the Sink's set-up is wrong (see [Stop]), every row of a batch is refused, the
// stream or consumer is gone and Open does not bring it back, or the connection
// is closed for good. Then nothing of the batch in hand is acknowledged. A Loop
// runs once.
func (l *Loop) Run(ctx context.Context) error {
	l.running.Store(true)
	defer l.running.Store(false)
	work, cancel := finishing(ctx, l.config.StopTimeout)
	defer cancel()
	beside, endBeside := context.WithCancel(work)
	var besides sync.WaitGroup
	besides.Go(func() { l.tellWatermarks(beside, ctx.Done()) })
	besides.Go(func() { l.keepAlive(beside) })
	err := l.stages(ctx, work)
	endBeside()
	besides.Wait()
	return err
}

// stages run until the last one has nothing more to do.
func (l *Loop) stages(ctx, work context.Context) error {
	l.full, l.stored, l.invalid = make(chan *batch), make(chan *batch), make(chan refused, mostWaiting)
	var parking, acknowledging sync.WaitGroup
	for range parkers {
		parking.Go(func() { l.parkAll(work) })
	}
	acknowledging.Go(func() { l.acknowledgeAll(work) })
	group, failed := errgroup.WithContext(work)
	group.Go(func() error {
		defer close(l.full)
		return l.ingest(ctx, failed)
	})
	for range l.config.Inserts {
		group.Go(func() error { return l.insertAll(work) })
	}
	err := group.Wait()
	close(l.stored)
	acknowledging.Wait()
	l.inHand.giveBack(l.config.JetStream.Conn())
	close(l.invalid)
	parking.Wait()
	return err
}

// insertAll stores batches until there are no more.
func (l *Loop) insertAll(work context.Context) error {
	for b := range l.full {
		stored, err := l.process(work, b)
		if err != nil {
			return err
		}
		l.spareBlock(b)
		if stored {
			l.stored <- b
		} else {
			l.giveBack(b)
		}
	}
	return nil
}

// acknowledgeAll acknowledges stored batches until there are no more. It is a
// stage of its own, for the store need not wait for the server's word.
func (l *Loop) acknowledgeAll(work context.Context) {
	for b := range l.stored {
		began := time.Now()
		l.acknowledge(work, b)
		l.metrics.batchStage(stageAcknowledge, time.Since(began))
		l.giveBack(b)
		l.progressed()
	}
}

// freeBatch waits for an empty batch; nil when ctx ends first.
func (l *Loop) freeBatch(ctx context.Context) *batch {
	select {
	case block := <-l.blocks:
		b := <-l.free // there are more of them than blocks
		b.block, b.source = block, l.source.Load()
		l.inHand.addBatch(b)
		return b
	case <-ctx.Done():
		return nil
	}
}

// spareBlock takes the block from a batch that needs it no more.
func (l *Loop) spareBlock(b *batch) {
	b.block.Reset()
	l.blocks <- b.block
	b.block = nil
}

// giveBack empties a batch for other messages.
func (l *Loop) giveBack(b *batch) {
	if b.block != nil {
		l.spareBlock(b)
	}
	l.inHand.dropBatch(b)
	b.reset()
	l.free <- b
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

// ingest opens the source and fetches from it, again and again, until ctx ends
// or another stage has failed.
func (l *Loop) ingest(ctx, failed context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(failed, cancel)()
	for ctx.Err() == nil {
		src, err := l.open(ctx)
		if err != nil || src == nil {
			return err
		}
		err = l.consume(ctx, failed, src)
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
			src := newSource(stream, consumer)
			l.source.Store(src)
			l.fetching.ok()
			return src, nil
		case ctx.Err() != nil:
			return nil, nil //nolint:nilnil,nilerr // the stop was asked for; there is no source and no error
		case notFound(err), permanent(err):
			return nil, fmt.Errorf("open source: %w", err)
		}
		l.fetching.is(fmt.Errorf("open source: %w", err))
		l.log.Warn("cannot open the source", zap.Error(err))
		if !pause(ctx, back.next()) {
			return nil, nil //nolint:nilnil // see above
		}
	}
}

// consume fetches from a source until ctx ends (nil), the consumer is gone
// (errGone), or going on is of no use.
func (l *Loop) consume(ctx, failed context.Context, src *source) error {
	pull, err := newPuller(l.config.JetStream, src.consumer)
	if err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	defer pull.close()
	f := &filler{loop: l, pull: pull, replaced: src.replaced}
	back := l.backoff()
	for ctx.Err() == nil {
		began := time.Now()
		err := f.run(ctx, failed)
		if time.Since(began) > l.config.RetryPauseMax {
			back = l.backoff() // it worked for a while
		}
		switch {
		case err == nil:
			return nil
		case permanent(err):
			return fmt.Errorf("fetch messages: %w", err)
		}
		l.metrics.fetchErrors.Inc()
		if !errors.Is(err, errGone) {
			l.fetching.is(fmt.Errorf("fetch messages: %w", err))
			l.log.Warn("cannot fetch messages", zap.Error(err))
		}
		if !pause(ctx, back.next()) {
			return nil
		}
		if errors.Is(err, errGone) {
			return errGone
		}
	}
	return nil
}

// defaultAckWait is the server's own.
const defaultAckWait = 30 * time.Second

// ackWait is after how long the server delivers an unanswered message again.
func ackWait(src *source) time.Duration {
	if wait := src.consumer.CachedInfo().Config.AckWait; wait > 0 {
		return wait
	}
	return defaultAckWait
}

// Ready is nil while the loop makes progress, or waits for messages; else it
// tells what keeps it from it.
func (l *Loop) Ready(context.Context) error {
	if !l.running.Load() {
		return errNotRunning
	}
	if err := l.fetching.err(); err != nil {
		return err
	}
	return l.inserting.err()
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

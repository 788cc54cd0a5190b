package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// watch is what the loop is seen doing, from the outside of its functions: for
// health and for reports. It belongs to the Config, whose functions it surrounds.
type watch struct {
	// quiet counts the seconds since the loop last showed a sign of life. It counts
	// ticks and not the clock: while the process is halted, there are none.
	quiet atomic.Int64
	// outside is how many calls are out that have no bound of their own: the loop
	// may wait for them for ever, and a restart would not change that.
	outside atomic.Int64
	// parking is why the last message could not be parked, telling why the
	// watermark was not told since; nil where they could be.
	parking, telling atomic.Pointer[error]
	// toldAgo counts the seconds since the watermark was told.
	toldAgo atomic.Int64
	// committed is when the last batch was finished, in Unix microseconds.
	committed atomic.Int64

	// mu guards what follows: the watermark's goroutine looks at the stream, and
	// so does whoever opens it.
	mu           sync.Mutex
	eyes         eyes
	completeness completeness
	orphans      orphans
	noSetBack    time.Time // no earlier than then
}

// surround lets the watch see the calls of the configuration's functions.
func (w *watch) surround(c *Config) {
	w.completeness = completeness{confirm: 5 * c.WatermarkEvery, patience: 3 * c.WatermarkEvery}
	open, park := c.Open, c.Park
	c.Open = func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
		w.outside.Add(1)
		defer w.outside.Add(-1)
		defer w.beat()
		stream, consumer, err := open(ctx)
		if err == nil {
			w.begin(ctx, c, newSource(stream, consumer))
		}
		return stream, consumer, err
	}
	c.Park = func(ctx context.Context, all []Invalid) []error {
		w.beat()
		errs := park(ctx, all)
		err := firstOf(errs) // one tells: there may be a thousand
		if err == nil || ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			keep(&w.parking, err)
		}
		w.beat()
		return errs
	}
}

// firstOf is the first error of many.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// begin looks at the stream before the loop takes anything from it: what it
// acknowledges from then on is followed. Where that does not work the next look
// does it.
func (w *watch) begin(ctx context.Context, c *Config, src *source) {
	ctx, cancel := context.WithTimeout(ctx, 2*askTimeout)
	defer cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.orphans.begin(src.consumer.CachedInfo(), time.Now(), ackWait(src))
	known, err := c.Journal.Known(ctx, src.consumer.CachedInfo().Stream)
	if err != nil {
		return
	}
	s, err := w.eyes.look(ctx, src, known.Anchor)
	if err != nil {
		return
	}
	if v, err := w.completeness.judge(known, s, time.Now()); err == nil {
		_ = w.setBack(ctx, c, v, s) // it is told at the next look
		w.takeOver(ctx, c, known, v, s)
	}
}

// setBack sets the consumer back to what is known, if need be. Until that has
// worked the watermark stands, which the error tells.
func (w *watch) setBack(ctx context.Context, c *Config, v verdict, s *sight) error {
	if v.backTo == 0 {
		return nil
	}
	name, now := s.consumer.Name, time.Now()
	stands := fmt.Sprintf("messages %d to %d are acknowledged, but not known to be stored", v.backTo, s.floor())
	if now.Before(w.noSetBack) {
		return fmt.Errorf("%s, and consumer %s could not be set back to deliver them again", stands, name)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c.Logger.Warn("setting the consumer back: what it has passed is not known to be stored",
		zap.Uint64("stream_seq", v.backTo), zap.Uint64("ack_floor", s.floor()))
	answer, err := c.JetStream.ResetConsumerToSequence(ctx, s.consumer.Stream, name, v.backTo)
	if err != nil {
		w.noSetBack = now.Add(setBackPause)
		return fmt.Errorf("%s, and consumer %s cannot be set back to deliver them again: %w", stands, name, err)
	}
	w.completeness.setBack(answer.ConsumerInfo, v.mark.Generation, now)
	return nil
}

// keep stores an error, or that there is none.
func keep(at *atomic.Pointer[error], err error) {
	if err == nil {
		at.Store(nil)
		return
	}
	at.Store(&err)
}

func kept(at *atomic.Pointer[error]) error {
	if err := at.Load(); err != nil {
		return *err
	}
	return nil
}

// beat is a sign of life.
func (w *watch) beat() { w.quiet.Store(0) }

// count counts the seconds until ctx ends.
func (w *watch) count(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.quiet.Add(1)
			w.toldAgo.Add(1)
		}
	}
}

// untoldAfter is how long the watermark may stay untold until that is trouble, in
// seconds.
const untoldAfter = 15

// Live is nil unless a restart of this process would help: while Run is running
// and shows signs of life. It shows one at every step, also while it tries in
// vain: that the store or the stream is down does not change it. None for
// Config.StuckAfter means that it is stuck in a step, all of which are bounded.
func (l *Loop) Live(context.Context) error {
	if !l.running.Load() {
		return errNotRunning
	}
	w := l.config.watch
	quiet := time.Duration(w.quiet.Load()) * time.Second
	if w.outside.Load() == 0 && quiet > l.config.StuckAfter {
		return fmt.Errorf("the ingest loop has not moved for %s", quiet)
	}
	return nil
}

// Parking is nil unless the last message that had to be parked could not be.
func (l *Loop) Parking(context.Context) error {
	if err := kept(&l.config.watch.parking); err != nil {
		return fmt.Errorf("messages cannot be parked: %w", err)
	}
	return nil
}

// Telling is nil unless the watermark has not been told for untoldAfter.
func (l *Loop) Telling(context.Context) error {
	w := l.config.watch
	err := kept(&w.telling)
	if ago := w.toldAgo.Load(); err != nil && ago > untoldAfter {
		return fmt.Errorf("the watermark has not been told for %d s: %w", ago, err)
	}
	return nil
}

// trouble is what keeps the loop from its work, for reports.
func (l *Loop) troubles(ctx context.Context) error {
	return errors.Join(l.Ready(ctx), l.Parking(ctx), l.Telling(ctx))
}

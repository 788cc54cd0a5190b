package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// askTimeout bounds the questions about the stream, tellTimeout the telling of a
// mark. What is not answered is asked again soon.
const (
	askTimeout  = 2 * time.Second
	tellTimeout = 10 * time.Second
)

// The paces of telling, at the most: how often the watermark is told while it
// moves, how often one of them is lasting, how often a lasting one is told while
// nothing happens, and how often the parked messages are asked for.
const (
	tellPause    = 200 * time.Millisecond
	lastingPause = time.Second
	idlePause    = 10 * time.Second
	parkedPause  = 5 * time.Second
)

// setBackPause is how long after a failure the consumer is set back again.
const setBackPause = 10 * time.Second

// teller tells the watermark. It belongs to one goroutine.
type teller struct {
	loop *Loop

	lasting    Watermark // the last one that was told to last
	lastingAt  time.Time
	parked     *ParkedState
	parkedAt   time.Time
	lostBefore uint64 // messages that had expired before the start
	started    bool
}

// tellWatermarks tells the watermark after every batch and every WatermarkEvery,
// until ctx ends, and then once more. It has a goroutine of its own, so that
// ingest never waits for it.
func (l *Loop) tellWatermarks(ctx context.Context, stopping <-chan struct{}) {
	var counting sync.WaitGroup
	counting.Go(func() { l.config.watch.count(ctx) })
	defer counting.Wait()
	every := l.config.WatermarkEvery
	t := &teller{loop: l}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	// After one mark the next waits, so that a busy stream costs no more.
	pausing := time.NewTimer(0)
	defer pausing.Stop()
	for {
		select {
		case <-ctx.Done():
			t.finish(ctx, stopping)
			return
		case <-pausing.C:
		}
		select {
		case <-ctx.Done():
			t.finish(ctx, stopping)
			return
		case <-ticker.C:
		case <-l.progress:
			l.config.watch.committed.Store(time.Now().UnixMicro())
		}
		t.tell(ctx, false)
		pausing.Reset(min(tellPause, every))
	}
}

// finish tells once more after a graceful stop: the last batch counts too.
func (t *teller) finish(ctx context.Context, stopping <-chan struct{}) {
	select {
	case <-stopping:
		t.tell(context.WithoutCancel(ctx), true)
	default:
	}
}

// tell measures and tells once.
func (t *teller) tell(ctx context.Context, last bool) {
	l := t.loop
	src := l.source.Load()
	if src == nil {
		return
	}
	err := t.tellOf(ctx, src, last)
	if ctx.Err() != nil {
		return
	}
	before := kept(&l.config.watch.telling)
	keep(&l.config.watch.telling, err)
	if err != nil {
		l.metrics.watermarkFailures.Inc()
		if before == nil || before.Error() != err.Error() {
			l.log.Warn("cannot tell the watermark", zap.Error(err)) // and once is enough
		}
		return
	}
	l.config.watch.toldAgo.Store(0)
	l.metrics.stream.markTold(time.Now())
}

func (t *teller) tellOf(ctx context.Context, src *source, last bool) error {
	l := t.loop
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	w := l.config.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	// What is known comes first: its clock must not be ahead of what is seen.
	known, unknown := l.config.Journal.Known(ctx, src.consumer.CachedInfo().Stream)
	s, err := w.eyes.look(ctx, src, known.Anchor)
	if err != nil {
		return err
	}
	l.metrics.stream.seen(s.after, s.consumer)
	if unknown != nil {
		l.metrics.lagMessages.Set(float64(s.last() - min(s.floor(), s.last())))
		return fmt.Errorf("ask what is known: %w", unknown)
	}
	v, err := w.completeness.judge(known, s, time.Now())
	if err != nil {
		return err
	}
	t.found(known, v.gaps)
	stuck := w.setBack(ctx, &l.config, v, s)
	t.measured(v.mark, s)
	if err := l.config.Journal.Tell(ctx, t.tidings(ctx, known, v, s, last)); err != nil {
		return fmt.Errorf("tell watermark: %w", err)
	}
	w.completeness.told(v.mark)
	w.takeOver(ctx, &l.config, known, v, s)
	return stuck
}

// tidings puts together what is told.
func (t *teller) tidings(ctx context.Context, known Known, v verdict, s *sight, last bool) Tidings {
	l, now := t.loop, time.Now()
	told := Tidings{
		Watermark: v.mark, Gaps: v.gaps, GapsBefore: known.Gaps,
		Anchor: Anchor{Seq: s.last(), Time: s.after.State.LastTime},
		Report: Report{Stream: s.after, Consumer: s.consumer, Parked: t.askParked(ctx, now), Trouble: l.troubles(ctx)},
	}
	if s.last() == 0 || s.after.State.LastTime.IsZero() {
		told.Anchor = Anchor{}
	}
	if at := l.config.watch.committed.Load(); at > 0 {
		told.Report.LastCommit = time.UnixMicro(at).UTC()
	}
	if !v.mark.Time.IsZero() {
		told.KnownAt = known.Now.Add(-max(s.before.TimeStamp.Sub(v.mark.Time), 0))
	}
	moved := v.mark.Seq != t.lasting.Seq || v.mark.Generation != t.lasting.Generation
	passed := now.Sub(t.lastingAt)
	if last || len(v.gaps) > 0 || moved && passed >= lastingPause || passed >= idlePause {
		told.Lasting, t.lasting, t.lastingAt = true, v.mark, now
	}
	return told
}

// askParked asks for the parked messages now and then.
func (t *teller) askParked(ctx context.Context, now time.Time) *ParkedState {
	ask := t.loop.config.Parked
	if ask == nil || now.Sub(t.parkedAt) < parkedPause {
		return t.parked
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	t.parkedAt = now
	state, err := ask(ctx)
	if err != nil {
		t.loop.log.Warn("cannot ask for parked messages", zap.Error(err))
		t.parked = nil
		return nil
	}
	t.parked = &state
	return t.parked
}

// found tells the operator of gaps.
func (t *teller) found(known Known, gaps []Gap) {
	l := t.loop
	if !t.started {
		t.started, t.lostBefore = true, known.Expired
	}
	l.metrics.expired.Set(float64(known.Expired - min(t.lostBefore, known.Expired)))
	l.metrics.gaps.known.Set(float64(known.Gaps))
	for _, g := range gaps {
		l.metrics.gaps.found.WithLabelValues(string(g.Reason)).Inc()
		l.log.Error("the stream lost messages before they were ingested",
			zap.String("reason", string(g.Reason)), zap.Uint64("stream_seq", g.From), zap.Uint64("to", g.To), zap.Uint64("messages", g.Messages))
	}
}

func (t *teller) measured(mark Watermark, s *sight) {
	m := t.loop.metrics
	m.lagMessages.Set(float64(s.last() - min(mark.Seq, s.last())))
	if !mark.Time.IsZero() {
		m.lagSeconds.Set(max(s.after.TimeStamp.Sub(mark.Time).Seconds(), 0))
	}
}

package ingest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// takesAtMost lets the sink refuse more rows at once than most, and notes the
// sizes that it was asked to take.
func (s *sink) takesAtMost(most *atomic.Int64) (asked func() []int) {
	var mu sync.Mutex
	var sizes []int
	s.before = func(_ context.Context, events []event.Stored) error {
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, len(events))
		if int64(len(events)) > most.Load() {
			return errLarge
		}
		return nil
	}
	return func() []int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(sizes)
	}
}

// whole has a batch wait until all n messages are in it.
func whole(n int) func(*ingest.Config) {
	return func(c *ingest.Config) { c.MaxMessages, c.MaxWait = n, time.Minute }
}

func TestBatchThatIsTooLargeIsHalvedUntilItFitsAndStoredWhole(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var most atomic.Int64
	most.Store(250)
	asked := to.takesAtMost(&most)
	last := s.publish(800)
	core, logs := observer.New(zap.WarnLevel)
	loop := s.run(to, func(c *ingest.Config) {
		whole(800)(c)
		c.Logger = zap.New(core)
	})
	to.waitMark(t, last)
	if got := asked(); !slices.Equal(got, []int{800, 400, 200, 200, 200, 200}) {
		t.Errorf("the sink was asked to take %v", got)
	}
	if got := to.stored(); !slices.Equal(got, numbers(1, last)) {
		t.Errorf("stored are %v", got)
	}
	if n := loop.metric("insert_errors_total", "too_large"); n != 2 {
		t.Errorf("%v refusals are counted, want 2", n)
	}
	if n := s.consumer().NumAckPending; n != 0 || loop.metric("batch_messages", "") != 1 {
		t.Errorf("%d messages are not acknowledged, of %v batches", n, loop.metric("batch_messages", ""))
	}
	told := logs.FilterMessage("cannot insert batch, trying again").All()
	if len(told) != 2 || told[0].ContextMap()["class"] != "too_large" || told[0].ContextMap()["batch_size"] != int64(800) || told[0].ContextMap()["next_size"] != int64(400) {
		t.Errorf("the log says %v", told)
	}
}

// Below the floor smaller inserts are of no use: it is tried again as it is.
func TestBatchIsNotHalvedForEver(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var most atomic.Int64
	asked := to.takesAtMost(&most)
	s.publish(150)
	loop := s.run(to, whole(150))
	for loop.metric("insert_errors_total", "too_large") < 6 {
		if err := loop.Live(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := asked(); !slices.Equal(got[:4], []int{150, 100, 100, 100}) {
		t.Errorf("the sink was asked to take %v", got)
	}
	if err := loop.Ready(t.Context()); err == nil {
		t.Error("it calls itself ready while nothing is stored")
	}
	most.Store(150)
	to.waitMark(t, 150)
}

func TestInsertsGrowToTheirFullSizeAgain(t *testing.T) {
	t.Parallel()
	const batch = 400
	s, to := newServer(t, stream.Settings{}), newSink()
	var most atomic.Int64
	most.Store(100)
	asked := to.takesAtMost(&most)
	core, logs := observer.New(zap.InfoLevel)
	s.run(to, func(c *ingest.Config) {
		whole(batch)(c)
		c.Logger = zap.New(core)
	})
	for range 3 {
		to.waitMark(t, s.publish(batch))
	}
	if got := asked(); !slices.Equal(got, append([]int{400, 200}, slices.Repeat([]int{100}, 12)...)) {
		t.Errorf("the sink was asked to take %v: what is too large is tried again too soon", got)
	}
	most.Store(batch)
	for len(logs.FilterMessage("inserts have their full size again").All()) == 0 {
		to.waitMark(t, s.publish(batch))
	}
	to.waitMark(t, s.publish(batch))
	got := asked()
	if got[len(got)-1] != batch || !slices.Contains(got, 200) {
		t.Errorf("the sink was asked to take %v", got)
	}
}

// A row that is refused is found and parked, also where rows go in by portions.
func TestRefusedRowOfABatchThatIsTooLargeIsParkedAlone(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	to.before = func(_ context.Context, events []event.Stored) error {
		if len(events) > 150 {
			return errLarge
		}
		for _, e := range events {
			if e.StreamSeq == 170 {
				return errRow
			}
		}
		return nil
	}
	last := s.publish(300)
	s.run(to, whole(300))
	to.waitMark(t, last)
	parked := s.parked()
	if len(parked) != 1 || parked[0].StreamSeq != 170 || parked[0].Reason != string(ingest.ReasonRowRefused) {
		t.Errorf("parked are %+v, want message 170", parked)
	}
	if got := to.stored(); len(got) != 299 {
		t.Errorf("%d events are stored, want all others", len(got))
	}
}

// stepSink takes each row by a step of its own, as the store takes months.
type stepSink struct {
	*sink

	// step is called within each, with its number from 0.
	step func(ctx context.Context, n int) error
}

func (s *stepSink) Insert(ctx context.Context, b ingest.Block, from, to int, begin ingest.Begin) error {
	for row := from; row < to; row++ {
		err := func() error {
			ctx, release := begin(ctx)
			defer release()
			return s.step(ctx, row)
		}()
		if err != nil {
			return err
		}
	}
	return s.sink.Insert(ctx, b, from, to, begin)
}

func TestEachStepOfAnInsertHasATimeOfItsOwnAndIsASignOfLife(t *testing.T) {
	t.Parallel()
	const steps, bound = 20, time.Hour
	s, to := newServer(t, stream.Settings{}), newSink()
	var loop *ingest.Loop
	var began time.Time
	wrong := make(chan error, 3*steps)
	stepped := &stepSink{sink: to, step: func(ctx context.Context, n int) error {
		deadline, bounded := ctx.Deadline()
		if !bounded || deadline.Before(began.Add(bound)) {
			wrong <- fmt.Errorf("step %d may take until %s, and the one before ended at %s", n, deadline, began)
		}
		if err := loop.Live(ctx); err != nil {
			wrong <- fmt.Errorf("in step %d: %w", n, err)
		}
		loop.Pass(10 * time.Minute) // more than a third of StuckAfter, less than the bound
		began = time.Now()
		return nil
	}}
	last := s.publish(steps)
	s.run(to, func(c *ingest.Config) {
		whole(steps)(c)
		c.Sink, c.InsertTimeout, c.StuckAfter = stepped, bound, 15*time.Minute
	}, func(l *ingest.Loop) { loop = l })
	to.waitMark(t, last)
	for len(wrong) > 0 {
		t.Error(<-wrong)
	}
}

func TestStopEndsAnInsertOfManySteps(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	reached := make(chan struct{})
	var steps atomic.Int64
	stepped := &stepSink{sink: to, step: func(ctx context.Context, n int) error {
		steps.Add(1)
		if n == 3 {
			close(reached)
			<-ctx.Done()
		}
		return ctx.Err()
	}}
	s.publish(20)
	loop := s.run(to, func(c *ingest.Config) {
		whole(20)(c)
		c.Sink, c.InsertTimeout, c.StopTimeout = stepped, time.Hour, 10*time.Millisecond
	})
	<-reached
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
	if n := steps.Load(); n != 4 {
		t.Errorf("%d steps were begun, want none after the stop", n)
	}
	if floor := s.consumer().AckFloor.Stream; floor != 0 {
		t.Errorf("the floor is %d, want nothing acknowledged", floor)
	}
}

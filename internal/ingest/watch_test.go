package ingest_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// long is beyond what any step may take.
const long = time.Hour

// It tries for ever, longer than StuckAfter: that is no reason to start it anew.
func TestLoopThatTriesInVainIsAlive(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var tries atomic.Int64
	to.before = func(context.Context, []event.Stored) error {
		tries.Add(1)
		to.change(func() {})
		return errBusy
	}
	s.publish(1)
	loop := s.run(to, func(c *ingest.Config) { c.StopTimeout = time.Millisecond })
	to.wait(t, "it has tried", func() bool { return tries.Load() > 0 })
	loop.Pass(long)
	to.wait(t, "the next try is a sign of life", func() bool { return loop.Live(t.Context()) == nil })
	if err := loop.Ready(t.Context()); err == nil {
		t.Error("it is ready, but stores nothing")
	}
}

// A call that ignores its bound is what a restart heals.
func TestLoopThatHangsIsNotAlive(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	hangs, release := make(chan struct{}), make(chan struct{})
	to.before = func(context.Context, []event.Stored) error {
		close(hangs)
		<-release
		return nil
	}
	s.publish(1)
	loop := s.run(to, nil)
	<-hangs
	if err := loop.Live(t.Context()); err != nil {
		t.Errorf("at first: %v", err)
	}
	loop.Pass(long)
	if err := loop.Live(t.Context()); err == nil || !strings.Contains(err.Error(), "has not moved") {
		t.Errorf("after %s: %v", long, err)
	}
	close(release)
	to.wait(t, "it lives again", func() bool { return loop.Live(t.Context()) == nil })
}

// The opening may wait for somebody else for ever.
func TestLoopThatWaitsForItsSourceIsAlive(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	asked := make(chan struct{})
	loop := s.run(to, func(c *ingest.Config) {
		c.Open = func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
			close(asked)
			<-ctx.Done()
			return nil, nil, ctx.Err()
		}
	})
	<-asked
	loop.Pass(long)
	if err := loop.Live(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLoopThatFetchesNothingIsAlive(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	loop := s.run(to, nil)
	to.wait(t, "it works", func() bool { return len(to.marks) > 0 })
	loop.Pass(long)
	to.wait(t, "the next fetch is a sign of life", func() bool { return loop.Live(t.Context()) == nil })
}

func TestWatermarkThatIsNotToldForLongIsTrouble(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var down atomic.Bool
	to.onMark = func(ingest.Watermark) error {
		if down.Load() {
			return errBusy
		}
		return nil
	}
	loop := s.run(to, nil)
	to.waitMark(t, s.publish(1))
	down.Store(true)
	for loop.metric("watermark_failures_total", "") == 0 {
		if err := loop.Telling(t.Context()); err != nil {
			t.Fatalf("at once: %v", err)
		}
	}
	loop.Pass(long)
	if err := loop.Telling(t.Context()); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("after %s: %v", long, err)
	}
	down.Store(false)
	to.wait(t, "it is told again", func() bool { return loop.Telling(t.Context()) == nil })
}

func TestLoopThatCannotParkSaysSoUntilItCan(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var full atomic.Bool
	full.Store(true)
	loop := s.run(to, func(c *ingest.Config) {
		parker := stream.NewParker(c.JetStream).Park
		c.Park = parkWith(func(ctx context.Context, msg jetstream.Msg, reason error) error {
			if full.Load() {
				return errBusy
			}
			return parker(ctx, msg, reason)
		})
	})
	if _, err := s.js.Publish(t.Context(), "login.events.acme.login", []byte("bad")); err != nil {
		t.Fatal(err)
	}
	to.wait(t, "it says so, in its report too", func() bool {
		err, told := loop.Parking(t.Context()), to.tidings.Report.Trouble
		return err != nil && told != nil && strings.Contains(told.Error(), "cannot be parked")
	})
	full.Store(false)
	to.waitMark(t, 1)
	if err := loop.Parking(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLoopThatHasEndedIsNotAlive(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	loop := s.run(to, nil)
	to.waitMark(t, s.publish(1))
	if err := loop.Live(t.Context()); err != nil {
		t.Error(err)
	}
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
	if err := loop.Live(t.Context()); err == nil {
		t.Error("it is alive after its end")
	}
}

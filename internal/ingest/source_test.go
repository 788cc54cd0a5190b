package ingest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func TestLoopGoesOnWhenTheServerComesBack(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{AckWait: time.Second}), newSink()
	var stopped sync.Once
	restart := make(chan struct{})
	to.after = func(context.Context, []event.Stored) error {
		// The server dies after the rows are stored and before they are acknowledged.
		stopped.Do(func() {
			s.stop()
			close(restart)
		})
		return nil
	}
	last := s.publish(10)
	s.run(to, func(c *ingest.Config) { c.MaxMessages = 4 })
	<-restart
	s.start()
	to.waitMark(t, last)
	if got := to.stored(); !slices.Equal(got, numbers(1, last)) {
		t.Errorf("stored are %v", got)
	}
}

func TestDeletedConsumerThatOpenBringsBackDeliversEverythingAgain(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	last := s.publish(3)
	s.run(to, func(c *ingest.Config) {
		js := c.JetStream
		c.Open = func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
			if err := stream.Ensure(ctx, js, s.settings); err != nil {
				return nil, nil, err
			}
			return stream.Open(ctx, js)
		}
	})
	to.waitMark(t, last)
	if err := s.js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
		t.Fatal(err)
	}
	to.wait(t, "every event is inserted again", func() bool {
		n := 0
		for _, seqs := range to.inserts {
			n += len(seqs)
		}
		return n >= 6
	})
}

func TestDeletedConsumerThatDoesNotComeBackEndsRunAndIsNamed(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	loop := s.run(to, nil)
	to.waitMark(t, 0)
	if err := s.js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
		t.Fatal(err)
	}
	err := loop.wait()
	if !errors.Is(err, jetstream.ErrConsumerNotFound) || !strings.Contains(err.Error(), "consumer ingest of stream LOGIN_EVENTS") {
		t.Errorf("Run returns %v, want it to name the consumer", err)
	}
}

func TestMissingStreamEndsRunAndIsNamed(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	if err := s.js.DeleteStream(t.Context(), stream.Events); err != nil {
		t.Fatal(err)
	}
	if err := s.run(to, nil).wait(); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("Run returns %v, want ErrStreamNotFound", err)
	}
}

func TestClosedConnectionEndsRun(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var js jetstream.JetStream
	loop := s.run(to, func(c *ingest.Config) { js = c.JetStream })
	to.waitMark(t, 0)
	js.Conn().Close()
	if err := loop.wait(); !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("Run returns %v, want ErrConnectionClosed", err)
	}
}

func TestOpeningIsRepeatedAndReadyTellsWhy(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var loop *ingest.Loop
	asked := make(chan error, 100)
	var tries atomic.Int32
	r := s.run(to, func(c *ingest.Config) {
		open := c.Open
		c.Open = func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
			if n := tries.Add(1); n <= 3 {
				if n > 1 {
					asked <- loop.Ready(ctx)
				}
				return nil, nil, errBusy
			}
			return open(ctx)
		}
	}, func(l *ingest.Loop) { loop = l })
	if err := <-asked; !errors.Is(err, errBusy) {
		t.Errorf("Ready gives %v while the source cannot be opened, want the reason", err)
	}
	to.waitMark(t, 0)
	if err := r.Ready(t.Context()); err != nil {
		t.Errorf("Ready gives %v, want nil", err)
	}
}

func TestReadyTellsThatTheStoreIsDown(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var loop *ingest.Loop
	var down atomic.Bool
	down.Store(true)
	asked := make(chan error, 1000)
	var tries atomic.Int32
	to.before = func(ctx context.Context, _ []event.Stored) error {
		if tries.Add(1) > 1 {
			select {
			case asked <- loop.Ready(ctx):
			default:
			}
		}
		if down.Load() {
			return errBusy
		}
		return nil
	}
	s.publish(1)
	r := s.run(to, nil, func(l *ingest.Loop) { loop = l })
	if err := <-asked; !errors.Is(err, errBusy) {
		t.Errorf("Ready gives %v while the store is down, want the reason", err)
	}
	if err := r.Live(t.Context()); err != nil {
		t.Errorf("Live gives %v while the store is down, want nil", err)
	}
	down.Store(false)
	to.waitMark(t, 1)
	if err := r.Ready(t.Context()); err != nil {
		t.Errorf("Ready gives %v, want nil", err)
	}
}

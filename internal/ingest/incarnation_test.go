package ingest_test

import (
	"context"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// The server takes an acknowledgement by the sequence alone.
func TestNothingOfAStreamIsAcknowledgedOnItsSuccessor(t *testing.T) {
	t.Parallel()
	s, old, successor := newServer(t, stream.Settings{}), newSink(), newSink()
	releaseOld, releaseNew := make(chan struct{}), make(chan struct{})
	inOld, inNew := make(chan struct{}, 9), make(chan struct{}, 9)
	hold := func(in, release chan struct{}) func(context.Context, []event.Stored) error {
		return func(ctx context.Context, _ []event.Stored) error {
			in <- struct{}{}
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	old.before, successor.before = hold(inOld, releaseOld), hold(inNew, releaseNew)
	s.publish(3)
	worker := s.run(old, func(c *ingest.Config) { c.MaxMessages = 1 })
	<-inOld
	if err := s.js.DeleteStream(t.Context(), stream.Events); err != nil {
		t.Fatal(err)
	}
	s.ensure()
	s.publish(3)
	s.run(successor, func(c *ingest.Config) { c.MaxMessages, c.MaxWait, c.StopTimeout = 3, time.Second, 50*time.Millisecond })
	<-inNew
	close(releaseOld)
	for worker.metric("batch_stage_seconds", "acknowledge") == 0 {
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	if info := s.consumer(); info.AckFloor.Stream != 0 {
		t.Errorf("the floor is %d while nobody has stored a message of the new stream (%v are)", info.AckFloor.Stream, successor.stored())
	}
	close(releaseNew)
}

func TestBatchThatTakesTooLongIsHalved(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	to.before = func(ctx context.Context, events []event.Stored) error {
		if len(events) > 500 {
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	s.publish(800)
	s.run(to, func(c *ingest.Config) {
		whole(800)(c)
		c.InsertTimeout = 50 * time.Millisecond
	})
	to.waitMark(t, 800)
}

package ingest_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// gap is what of a gap does not depend on the run.
type gap struct {
	from, to, messages uint64
	reason             ingest.GapReason
}

// gapsOf are the gaps that the journal holds, each as far as it grew.
func (s *sink) gapsOf() []gap {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []gap
	for _, g := range s.gaps {
		grown := gap{g.From, g.To, g.Messages, g.Reason}
		if i := slices.IndexFunc(all, func(a gap) bool { return a.from == g.From && a.reason == g.Reason }); i >= 0 {
			all[i] = grown
			continue
		}
		all = append(all, grown)
	}
	return all
}

func (s *sink) wantGaps(t testing.TB, want ...gap) {
	t.Helper()
	if got := s.gapsOf(); !slices.Equal(got, want) {
		t.Errorf("the gaps are %+v, want %+v", got, want)
	}
}

// waitBack lets a loop wait for a stream or consumer that is not there.
func waitBack(c *ingest.Config) {
	open := c.Open
	c.Open = func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
		str, consumer, err := open(ctx)
		if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
			err = errBusy
		}
		return str, consumer, err
	}
}

// changeable makes the stream of events one from which messages can be deleted,
// as an operator of an older set-up, or of another program, may have it.
func (s *server) changeable() {
	s.t.Helper()
	if err := s.js.DeleteStream(s.t.Context(), stream.Events); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.js.CreateStream(s.t.Context(), jetstream.StreamConfig{
		Name: stream.Events, Subjects: []string{"login.events.>"}, Retention: jetstream.LimitsPolicy,
		Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, AllowDirect: true,
	}); err != nil {
		s.t.Fatal(err)
	}
	s.makeConsumer(jetstream.ConsumerConfig{})
}

// makeConsumer makes the consumer as stream.Ensure does, but for what is given.
func (s *server) makeConsumer(c jetstream.ConsumerConfig) {
	s.t.Helper()
	c.Durable, c.AckPolicy, c.MaxDeliver, c.MaxAckPending = stream.Consumer, jetstream.AckExplicitPolicy, -1, 60_000
	if c.AckWait == 0 {
		c.AckWait = time.Minute
	}
	if _, err := s.js.CreateConsumer(s.t.Context(), stream.Events, c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) delete(seqs ...uint64) {
	s.t.Helper()
	str, err := s.js.Stream(s.t.Context(), stream.Events)
	for _, seq := range seqs {
		if err == nil {
			err = str.DeleteMsg(s.t.Context(), seq)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestMessagesThatExpiredBeforeTheyWereIngestedAreAGap(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{MaxAge: time.Second, AckWait: 200 * time.Millisecond}), newSink()
	s.publish(3)
	expired := mustStream(t, s)
	// Nothing reads meanwhile; the stream's own retention takes the messages.
	for {
		info, err := expired.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.State.Msgs == 0 {
			break
		}
	}
	loop := s.run(to, nil)
	to.wait(t, "the loss is told", func() bool { return loop.metric("expired_messages", "") == 3 })
	to.wantGaps(t, gap{1, 3, 3, ingest.GapExpired})
	if mark := to.mark(); mark.Seq != 3 {
		t.Errorf("the watermark is %d, want 3: what is up to there is named", mark.Seq)
	}
	if n := loop.metric("gaps_found_total", "expired"); n != 1 {
		t.Errorf("%v gaps are counted, want 1", n)
	}
}

func TestMessagesThatExpireAfterTheyWereIngestedAreNoGap(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{MaxAge: time.Second}), newSink()
	last := s.publish(3)
	loop := s.run(to, nil)
	to.waitMark(t, last)
	to.wait(t, "they have expired", func() bool {
		info := to.tidings.Report.Stream
		return info.State.Msgs == 0 && info.State.LastSeq == last
	})
	last = s.publish(2)
	to.waitMark(t, last)
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
	// Nor for the next worker, which has not seen them.
	again := s.run(to, nil)
	last = s.publish(2)
	to.waitMark(t, last)
	to.wantGaps(t)
	if n := again.metric("expired_messages", ""); n != 0 {
		t.Errorf("%v messages count as expired", n)
	}
}

func TestDeletedMessagesAreAGapWhereverTheyWere(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	s.changeable()
	last := s.publish(9)
	s.delete(1, 4, 5, 7, 9)
	s.run(to, nil)
	to.waitMark(t, last)
	to.wantGaps(t, gap{1, 1, 1, ingest.GapExpired}, gap{4, 5, 2, ingest.GapDeleted}, gap{7, 7, 1, ingest.GapDeleted}, gap{9, 9, 1, ingest.GapDeleted})
	if got := to.stored(); !slices.Equal(got, []uint64{2, 3, 6, 8}) {
		t.Errorf("stored are %v", got)
	}
	// What was ingested may be deleted.
	s.delete(3)
	last = s.publish(1)
	to.waitMark(t, last)
	if got := to.gapsOf(); len(got) != 4 {
		t.Errorf("the gaps are %+v", got)
	}
}

func TestAPurgedStreamIsAGapUpToItsEnd(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	s.changeable()
	last := s.publish(4)
	loop := s.run(to, nil)
	to.waitMark(t, last)
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
	s.publish(5)
	str, err := s.js.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	if err := str.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.run(to, nil)
	to.waitMark(t, 9)
	to.wantGaps(t, gap{5, 9, 5, ingest.GapExpired})
}

// A worker that has the message in its hands while it is deleted stores it; but
// nobody can rely on that, and the floor passes it at once.
func TestMessageThatIsDeletedWhileItIsInHandIsNamed(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	s.changeable()
	var held atomic.Bool
	held.Store(true)
	inHand := make(chan struct{}, 100)
	to.before = func(context.Context, []event.Stored) error {
		if held.Load() {
			inHand <- struct{}{}
			return errBusy
		}
		return nil
	}
	s.publish(3)
	s.run(to, nil)
	<-inHand
	s.delete(2)
	held.Store(false)
	to.waitMark(t, 3)
	to.wantGaps(t, gap{2, 2, 1, ingest.GapDeleted})
}

func TestAStreamThatIsMadeAnewLeavesAGapOfUnknownLength(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	last := s.publish(5)
	loop := s.run(to, waitBack)
	to.waitMark(t, last)
	created := to.mark().StreamCreated
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
	// Over a restart of the worker, which knows of it from the journal alone.
	if err := s.js.DeleteStream(t.Context(), stream.Events); err != nil {
		t.Fatal(err)
	}
	s.ensure()
	s.published = 100 // other events
	s.publish(2)
	s.run(to, waitBack)
	var found ingest.Gap
	to.wait(t, "the new stream is stored", func() bool {
		if len(to.gaps) == 0 || to.marks[len(to.marks)-1].Seq != 2 {
			return false
		}
		found = to.gaps[0]
		return true
	})
	to.wantGaps(t, gap{6, 0, 0, ingest.GapReplaced})
	if mark := to.mark(); mark.Generation != 2 || !mark.StreamCreated.After(created) {
		t.Errorf("the watermark is %+v, want one of the second generation", mark)
	}
	if !found.StreamCreated.Equal(created) || found.Generation != 1 {
		t.Errorf("the gap is %+v, want it in the stream of before", found)
	}
}

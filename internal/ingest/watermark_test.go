package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

func TestWatermarkOfAnIdleStreamGoesOnInTime(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	last := s.publish(2)
	s.run(to, nil)
	to.waitMark(t, last)
	first := to.mark()
	to.wait(t, "the idle watermark moves on", func() bool {
		mark := to.marks[len(to.marks)-1]
		return mark.Seq == last && mark.Time.After(first.Time)
	})
	info, err := mustStream(t, s).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.Stream != stream.Events || !first.StreamCreated.Equal(info.Created.Truncate(time.Microsecond)) {
		t.Errorf("the watermark is %+v, want it to name the stream's incarnation %s", first, info.Created)
	}
}

func TestWatermarkBehindTheStreamHasATimeBeforeTheNextMessage(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var stuck atomic.Bool
	to.before = func(_ context.Context, events []event.Stored) error {
		if events[0].StreamSeq > 2 {
			stuck.Store(true)
			return errBusy
		}
		return nil
	}
	s.publish(2)
	loop := s.run(to, func(c *ingest.Config) { c.StopTimeout = 10 * time.Millisecond })
	to.waitMark(t, 2)
	s.publish(1)
	next, err := mustStream(t, s).GetMsg(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	to.wait(t, "message 3 is stuck", stuck.Load)
	told := len(to.allMarks())
	to.wait(t, "marks are told meanwhile", func() bool { return len(to.marks) > told+3 })
	for _, mark := range to.allMarks()[told:] {
		if mark.Seq != 2 || mark.Time.After(next.Time) || mark.Time.Before(to.row(2).ReceivedAt) {
			t.Errorf("the watermark is %+v, want 2 and a time between those of messages 2 (%s) and 3 (%s)", mark, to.row(2).ReceivedAt, next.Time)
		}
	}
	to.wait(t, "the lag is measured", func() bool { return loop.metric("lag_messages", "") == 1 })
}

func TestWatermarkThatCannotBeToldHoldsNothingUp(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var down atomic.Bool
	down.Store(true)
	refused := make(chan struct{}, 1000)
	to.onMark = func(ingest.Watermark) error {
		if down.Load() {
			refused <- struct{}{}
			return errBusy
		}
		return nil
	}
	last := s.publish(3)
	loop := s.run(to, nil)
	to.wait(t, "the events are stored", func() bool { return len(to.rows) == 3 })
	<-refused
	<-refused // the first failure is told by now
	down.Store(false)
	to.waitMark(t, last)
	if loop.metric("watermark_failures_total", "") == 0 {
		t.Error("the failures are not counted")
	}
}

func TestWatermarkOfAStreamThatWasMadeAgainBeginsAnew(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	last := s.publish(5)
	s.run(to, func(c *ingest.Config) {
		open := c.Open
		c.Open = func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
			str, consumer, err := open(ctx)
			if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
				err = errBusy // wait for it to come back
			}
			return str, consumer, err
		}
	})
	to.waitMark(t, last)
	created := to.mark().StreamCreated
	if err := s.js.DeleteStream(t.Context(), stream.Events); err != nil {
		t.Fatal(err)
	}
	s.ensure()
	s.publish(2)
	to.wait(t, "the new stream is stored", func() bool {
		mark := to.marks[len(to.marks)-1]
		return mark.Seq == 2 && mark.StreamCreated.After(created)
	})
	for _, mark := range to.allMarks() {
		if mark.StreamCreated.After(created) && mark.Seq > 2 {
			t.Errorf("the watermark %+v claims sequences of the stream that is gone", mark)
		}
	}
}

func TestConsumerAheadOfTheStreamGivesNoWatermark(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	// As if the stream had lost its messages, but the consumer not its place.
	other, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
		t.Fatal(err)
	}
	s.ensure()
	s.publish(1)
	loop := s.run(to, func(c *ingest.Config) {
		open := c.Open
		c.Open = func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
			_, consumer, err := open(ctx)
			return other, consumer, err
		}
	})
	to.wait(t, "the event is stored", func() bool { return len(to.rows) == 1 })
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
	for _, mark := range to.allMarks() {
		if mark.Seq != 0 {
			t.Errorf("the watermark is %+v, want none beyond the stream", mark)
		}
	}
	if loop.metric("watermark_failures_total", "") == 0 {
		t.Error("the disagreement is not counted")
	}
}

// TestWatermarkIsNeverAheadOfWhatIsStored lets two loops share the consumer
// while everything fails now and then and an operator moves and removes the
// consumer at will, and checks each mark at the moment it is
// told: everything up to its sequence, and everything that was acknowledged to
// the publisher before its time, is stored or parked.
func TestWatermarkIsNeverAheadOfWhatIsStored(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			checkWatermarks(t, rand.New(rand.NewPCG(seed, 1)))
		})
	}
}

// ledger knows what is acknowledged to the publisher, and what is stored.
type ledger struct {
	mu      sync.Mutex
	random  *rand.Rand
	acked   map[uint64]time.Time // by sequence: when the publisher knew
	settled map[uint64]bool
}

func (l *ledger) fails(oneIn int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.IntN(oneIn) == 0
}

func (l *ledger) settle(seqs ...uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seq := range seqs {
		l.settled[seq] = true
	}
}

// check finds what the mark claims wrongly.
func (l *ledger) check(mark ingest.Watermark) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for seq := uint64(1); seq <= mark.Seq; seq++ {
		if !l.settled[seq] {
			return fmt.Errorf("the watermark is %d, but message %d is neither stored nor parked", mark.Seq, seq)
		}
	}
	for seq, at := range l.acked {
		if at.Before(mark.Time) && !l.settled[seq] {
			return fmt.Errorf("the watermark's time is %s, but message %d, acknowledged at %s, is neither stored nor parked", mark.Time, seq, at)
		}
	}
	return nil
}

func checkWatermarks(t *testing.T, random *rand.Rand) {
	s, to := newServer(t, stream.Settings{AckWait: 200 * time.Millisecond}), newSink()
	to.known.Others = []string{"the other"}
	book := &ledger{random: random, acked: map[uint64]time.Time{}, settled: map[uint64]bool{}}
	to.before = func(context.Context, []event.Stored) error {
		if book.fails(5) {
			return errBusy
		}
		return nil
	}
	to.after = func(_ context.Context, events []event.Stored) error {
		if book.fails(5) {
			return errOdd // written, but nobody knows: not settled for sure
		}
		for _, e := range events {
			book.settle(e.StreamSeq)
		}
		return nil
	}
	to.onMark = func(mark ingest.Watermark) error {
		if err := book.check(mark); err != nil {
			t.Error(err)
		}
		return nil
	}
	for range 2 {
		s.run(to, func(c *ingest.Config) {
			waitBack(c)
			c.MaxMessages, c.WatermarkEvery = 7, time.Millisecond
			parker := stream.NewParker(c.JetStream).Park
			c.Park = parkWith(func(ctx context.Context, msg jetstream.Msg, reason error) error {
				if book.fails(3) {
					return errBusy
				}
				if err := parker(ctx, msg, reason); err != nil {
					return err
				}
				meta, err := msg.Metadata()
				if err == nil {
					book.settle(meta.Sequence.Stream)
				}
				return err
			})
		})
	}
	last := uint64(0)
	for i := range 150 {
		msg := &nats.Msg{Subject: "login.events.acme.login", Data: []byte("bad")}
		if i%5 != 0 {
			msg.Data = encode(t, login(fmt.Sprint("e-", i)))
		}
		last = s.publishMsg(msg)
		book.mu.Lock()
		book.acked[last] = time.Now()
		book.mu.Unlock()
		if book.fails(10) {
			s.meddle(book, last)
		}
	}
	to.waitMark(t, last)
	to.wantGaps(t)
	book.mu.Lock()
	defer book.mu.Unlock()
	seqs := make([]uint64, 0, last)
	for seq := range book.settled {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	if !slices.Equal(seqs, numbers(1, last)) {
		t.Errorf("settled are %v", seqs)
	}
}

// meddle does with the consumer what an operator can do.
func (s *server) meddle(book *ledger, last uint64) {
	s.t.Helper()
	book.mu.Lock()
	what, to := book.random.IntN(3), 1+book.random.Uint64N(last+1)
	book.mu.Unlock()
	var err error
	switch what {
	case 0: // ahead or back
		_, err = s.js.ResetConsumerToSequence(s.t.Context(), stream.Events, stream.Consumer, to)
	case 1:
		_, err = s.js.ResetConsumer(s.t.Context(), stream.Events, stream.Consumer)
	case 2:
		err = s.js.DeleteConsumer(s.t.Context(), stream.Events, stream.Consumer)
		s.ensure()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

package ingest_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// keepsItsWord fails the test when a mark goes beyond what the sink has.
func keepsItsWord(t *testing.T, to *sink) {
	t.Helper()
	to.onMark = func(mark ingest.Watermark) error {
		have := to.stored()
		for seq := uint64(1); seq <= mark.Seq; seq++ {
			if _, found := slices.BinarySearch(have, seq); !found {
				t.Errorf("the watermark is %d, but message %d is not stored", mark.Seq, seq)
			}
		}
		return nil
	}
}

func TestConsumerThatIsMovedAheadIsSetBack(t *testing.T) {
	t.Parallel()
	for name, running := range map[string]bool{"while a worker runs": true, "while none runs": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, to := newServer(t, stream.Settings{}), newSink()
			keepsItsWord(t, to)
			last := s.publish(5)
			var stuck atomic.Bool
			to.before = func(_ context.Context, events []event.Stored) error {
				if running && events[0].StreamSeq > 5 && stuck.Load() {
					return errBusy // until the consumer is moved
				}
				return nil
			}
			loop := s.run(to, nil)
			to.waitMark(t, last)
			stuck.Store(true)
			if !running {
				if err := loop.stop(); err != nil {
					t.Fatal(err)
				}
			}
			last = s.publish(20)
			if _, err := s.js.ResetConsumerToSequence(t.Context(), stream.Events, stream.Consumer, 15); err != nil {
				t.Fatal(err)
			}
			stuck.Store(false)
			if !running {
				s.run(to, nil)
			}
			to.waitMark(t, last)
			to.wantGaps(t)
			if got := to.stored(); !slices.Equal(got, numbers(1, last)) {
				t.Errorf("stored are %v", got)
			}
		})
	}
}

func TestConsumerThatPassesMessagesGivesNoWatermark(t *testing.T) {
	t.Parallel()
	for want, config := range map[string]jetstream.ConsumerConfig{
		"deliver policy all": {DeliverPolicy: jetstream.DeliverNewPolicy},
		"no filter":          {FilterSubject: "login.events.other.>"},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			s, to := newServer(t, stream.Settings{}), newSink()
			keepsItsWord(t, to)
			s.publish(5)
			if err := s.js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
				t.Fatal(err)
			}
			s.makeConsumer(config)
			last := s.publish(3)
			loop := s.run(to, waitBack)
			for loop.metric("watermark_failures_total", "") < 3 {
				if err := loop.Ready(t.Context()); err != nil && !strings.Contains(err.Error(), "starting") {
					t.Fatal(err)
				}
			}
			if marks := to.allMarks(); len(marks) > 0 {
				t.Fatalf("the watermark is %+v, want none", marks[0])
			}
			// Made again as it must be, nothing is missing.
			if err := s.js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
				t.Fatal(err)
			}
			s.ensure()
			to.waitMark(t, last)
		})
	}
}

// The store was put back to an older copy: what came after that is acknowledged,
// and must be stored again before it is claimed.
func TestStoreThatLostRowsGetsThemAgain(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	keepsItsWord(t, to)
	var away atomic.Bool
	to.onKnown = func() error {
		if away.Load() {
			return errBusy
		}
		return nil
	}
	s.publish(4)
	loop := s.run(to, nil)
	to.waitMark(t, 4)
	var copied ingest.Known
	to.change(func() { copied = to.known })
	last := s.publish(6)
	to.waitMark(t, last)
	away.Store(true)
	for loop.metric("watermark_failures_total", "") == 0 {
		if err := loop.Live(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	to.change(func() {
		to.known = copied
		for seq := uint64(5); seq <= last; seq++ {
			delete(to.rows, seq)
		}
		to.marks = nil
	})
	away.Store(false)
	to.waitMark(t, last)
	to.wantGaps(t)
	if got := to.stored(); !slices.Equal(got, numbers(1, last)) {
		t.Errorf("stored are %v", got)
	}
}

// The server was put back to an older copy of its files: other messages get the
// sequences that were claimed already.
func TestStreamThatIsPutBackBeginsANewGeneration(t *testing.T) {
	t.Parallel()
	for name, published := range map[string]int{"shorter than it was": 1, "longer than it was": 12} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, to := newServer(t, stream.Settings{}), newSink()
			s.publish(3)
			loop := s.run(to, nil)
			to.waitMark(t, 3)
			if err := loop.stop(); err != nil {
				t.Fatal(err)
			}
			s.stop()
			older := t.TempDir()
			if err := os.CopyFS(older, os.DirFS(s.dir)); err != nil {
				t.Fatal(err)
			}
			s.start()
			s.js = s.connect()
			last := s.publish(5)
			loop = s.run(to, nil)
			to.waitMark(t, last)
			if err := loop.stop(); err != nil {
				t.Fatal(err)
			}
			s.stop()
			s.dir = older
			s.start()
			s.js = s.connect()
			s.published = 1000 // other events
			s.publish(published)
			to.change(func() { clear(to.rows) })
			keepsItsWordFrom(t, to, 2, 4)
			s.run(to, nil)
			to.wait(t, "the new history is stored", func() bool {
				mark := to.known.Watermark
				return mark.Generation == 2 && mark.Seq == 3+uint64(published)
			})
			to.wantGaps(t, gap{9, 0, 0, ingest.GapRewound})
		})
	}
}

// keepsItsWordFrom is keepsItsWord for one generation and what comes from a
// sequence on.
func keepsItsWordFrom(t *testing.T, to *sink, generation uint32, from uint64) {
	t.Helper()
	to.onMark = func(mark ingest.Watermark) error {
		have := to.stored()
		for seq := from; seq <= mark.Seq && mark.Generation == generation; seq++ {
			if _, found := slices.BinarySearch(have, seq); !found {
				t.Errorf("the watermark is %d, but message %d of the new history is not stored", mark.Seq, seq)
			}
		}
		return nil
	}
}

func TestNothingIsClaimedWhileNobodyKnowsWhatWas(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	keepsItsWord(t, to)
	var down atomic.Bool
	down.Store(true)
	to.onKnown = func() error {
		if down.Load() {
			return errBusy
		}
		return nil
	}
	last := s.publish(3)
	loop := s.run(to, nil)
	for loop.metric("watermark_failures_total", "") < 3 {
		if marks := to.allMarks(); len(marks) > 0 {
			t.Fatalf("the watermark is %+v, want none", marks[0])
		}
	}
	to.wait(t, "the events are stored all the same", func() bool { return len(to.rows) == 3 })
	down.Store(false)
	to.waitMark(t, last)
}

// A second worker vouches for what the first has acknowledged: nothing is
// delivered again because one of them was started anew.
func TestAnotherWorkersWordIsEnough(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	keepsItsWord(t, to)
	var behind atomic.Bool
	known := ingest.Known{}
	first := s.run(to, nil)
	to.waitMark(t, s.publish(5))
	to.change(func() { known = to.known })
	to.waitMark(t, s.publish(5))
	// The second worker sees the journal as it was, until the first tells again.
	late := &lateJournal{sink: to, known: known, behind: &behind}
	behind.Store(true)
	second := s.run(to, func(c *ingest.Config) { c.Journal = late })
	to.wait(t, "the second worker has told what it knows", func() bool { return late.told.Load() > 0 })
	behind.Store(false)
	last := s.publish(5)
	to.waitMark(t, last)
	to.wait(t, "the second worker counts the floor", func() bool { return late.seq.Load() == last })
	if n := first.metric("redeliveries_total", "") + second.metric("redeliveries_total", ""); n != 0 {
		t.Errorf("%v messages were delivered again", n)
	}
}

// lateJournal is a journal that one worker sees late, with others at work.
type lateJournal struct {
	*sink

	known  ingest.Known
	behind *atomic.Bool
	told   atomic.Int64
	seq    atomic.Uint64
}

func (j *lateJournal) Known(ctx context.Context, name string) (ingest.Known, error) {
	known, err := j.sink.Known(ctx, name)
	if j.behind.Load() {
		known.Watermark, known.Anchor = j.known.Watermark, j.known.Anchor
	}
	known.Others = []string{"first"}
	return known, err
}

func (j *lateJournal) Tell(ctx context.Context, t ingest.Tidings) error {
	if err := j.sink.Tell(ctx, t); err != nil {
		return err
	}
	j.told.Add(1)
	j.seq.Store(t.Watermark.Seq)
	j.change(func() {})
	return nil
}

var _ ingest.Journal = (*lateJournal)(nil)

func TestReportTellsThePipeline(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{MaxBytes: 1 << 20}), newSink()
	open := uint64(2)
	loop := s.run(to, func(c *ingest.Config) {
		c.Parked = func(context.Context) (ingest.ParkedState, error) {
			return ingest.ParkedState{Messages: 3, Open: &open}, nil
		}
	})
	last := s.publish(4)
	to.wait(t, "the report has the last message", func() bool {
		r := to.tidings.Report
		return r.Stream != nil && r.Stream.State.LastSeq == last && r.Consumer.AckFloor.Stream == last && !r.LastCommit.IsZero()
	})
	to.mu.Lock()
	told := to.tidings
	to.mu.Unlock()
	if r := told.Report; r.Stream.Config.MaxBytes != 1<<20 || r.Parked == nil || *r.Parked.Open != 2 || r.Trouble != nil {
		t.Errorf("the report is %+v", r)
	}
	if told.KnownAt.IsZero() || told.KnownAt.After(time.Now()) || told.Anchor.Seq != last {
		t.Errorf("told is %+v", told)
	}
	if got := ingest.ParseAnchor(told.Anchor.String()); got.Seq != last || !got.Time.Equal(told.Anchor.Time) {
		t.Errorf("the anchor %s is read as %s", told.Anchor, got)
	}
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
}

// The stream may be replaced between any two of the questions.
func TestAnswersOfDifferentStreamsAreWorthlessTogether(t *testing.T) {
	t.Parallel()
	old, anew := time.Unix(1000, 0), time.Unix(2000, 0)
	of := func(created time.Time, last uint64) *jetstream.StreamInfo {
		return &jetstream.StreamInfo{Created: created, State: jetstream.StreamState{LastSeq: last}}
	}
	consumer := func(created time.Time, floor uint64) *jetstream.ConsumerInfo {
		return &jetstream.ConsumerInfo{
			Created: created, AckFloor: jetstream.SequenceInfo{Stream: floor},
			Config: jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1},
		}
	}
	for name, c := range map[string]struct {
		before, after *jetstream.StreamInfo
		consumer      *jetstream.ConsumerInfo
		good          bool
	}{
		"of one":                     {of(old, 9), of(old, 9), consumer(old, 9), true},
		"replaced after the first":   {of(old, 9), of(anew, 9), consumer(anew, 3), false},
		"replaced before the last":   {of(old, 9), of(anew, 9), consumer(old, 9), false},
		"the consumer of the former": {of(anew, 9), of(anew, 9), consumer(old, 9), false},
		"ahead of the stream":        {of(old, 9), of(old, 9), consumer(old, 10), false},
	} {
		if err := ingest.CheckSight(c.before, c.after, c.consumer); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package tail_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/tail"
)

func after(seq uint64) query.TailQuestion { return query.TailQuestion{After: &seq} }

// several are n log-ins, one after the other in the stream.
func (s *system) several(account string, n int) []event.Stored {
	events := make([]event.Stored, n)
	for i := range events {
		events[i] = s.login(account, fmt.Sprintf("user-%d", i%3), time.Duration(-i)*time.Second)
	}
	return events
}

// upTo are the numbers from first to last.
func upTo(first, last uint64) (all []uint64) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

func TestAReaderThatComesBackGoesOnBehindWhereItWas(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.several("acme", 10)...)
	hub, _ := s.run(tail.Config{Page: 3})
	f := follow(t, hub, "acme", after(4))
	f.wantSeqs(10, upTo(5, 10)...)
	if _, mark := f.mark(10); mark.StreamSeq != 10 {
		t.Errorf("then it is told the watermark %+v", mark)
	}
	s.ingest(s.several("acme", 2)...)
	f.wantSeqs(12, 11, 12)

	whole := follow(t, hub, "acme", after(0))
	whole.wantSeqs(12, upTo(1, 12)...)
	bob := "user-1"
	one := follow(t, hub, "acme", query.TailQuestion{After: new(uint64), Filter: query.EventFilter{Username: &bob}})
	one.wantSeqs(12, 2, 5, 8, 12)
	follow(t, hub, "acme", after(12)).begin() // who has everything is told so at once
}

// The order of the place and of the events is the same, whatever a page holds.
func TestAReaderThatReadsPagesIsToldNoWatermarkBeforeItsEvents(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.several("acme", 30)...)
	hub, _ := s.run(tail.Config{Page: 4, Heartbeat: time.Millisecond})
	f := follow(t, hub, "acme", after(0))
	last := uint64(0)
	for last < 30 {
		m := f.next()
		if m.ID < last || m.Mark != nil && last < 30 && m.ID != last {
			t.Fatalf("%+v behind %d", m, last)
		}
		last = m.ID
	}
}

func TestASlowReaderLosesNothing(t *testing.T) {
	s := newSystem(t)
	registry := prometheus.NewRegistry()
	hub, _ := s.run(tail.Config{Buffer: 3, Page: 4, Registerer: registry})
	slow, quick := follow(t, hub, "acme", query.TailQuestion{}).begin(), follow(t, hub, "acme", query.TailQuestion{}).begin()
	for range 4 { // of which the slow one takes none
		s.ingest(s.several("acme", 3)...)
		quick.wantSeqs(s.seq, upTo(s.seq-2, s.seq)...)
	}
	slow.wantSeqs(12, upTo(1, 12)...)
	if n := counted(t, registry, "loginaudit_tail_catch_ups_total"); n < 1 {
		t.Errorf("it has read from the store %v times", n)
	}
	s.ingest(s.several("acme", 2)...) // and then it follows like the others
	slow.wantSeqs(14, 13, 14)
	if n := counted(t, registry, "loginaudit_tail_gaps_total"); n != 0 {
		t.Errorf("%v gaps", n)
	}
	if n := counted(t, registry, "loginaudit_tail_events_total"); n != 12+12+2 && n != 12+12+4 {
		t.Errorf("%v events were sent", n)
	}
}

func TestWhatWaitsForAllReadersIsBounded(t *testing.T) {
	s := newSystem(t)
	registry := prometheus.NewRegistry()
	hub, _ := s.run(tail.Config{Buffered: 4, Registerer: registry})
	first, second := follow(t, hub, "acme", query.TailQuestion{}).begin(), follow(t, hub, "acme", query.TailQuestion{}).begin()
	s.ingest(s.several("acme", 6)...)
	first.wantSeqs(6, upTo(1, 6)...)
	second.wantSeqs(6, upTo(1, 6)...)
	if n := counted(t, registry, "loginaudit_tail_catch_ups_total"); n < 1 {
		t.Errorf("nobody has read from the store")
	}
}

func TestAReaderThatIsTooFarBehindIsToldWhatItDoesNotGet(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.several("acme", 10)...)
	registry := prometheus.NewRegistry()
	hub, _ := s.run(tail.Config{Behind: 5, Buffer: 2, Registerer: registry})
	back := follow(t, hub, "acme", after(3))
	if gap := back.gap(); gap.FromSeq != 4 || gap.ToSeq != 10 {
		t.Errorf("who comes back is told %+v", gap)
	}
	slow := follow(t, hub, "acme", query.TailQuestion{}).begin()
	quick := follow(t, hub, "acme", query.TailQuestion{}).begin()
	for range 6 {
		s.ingest(s.several("acme", 2)...)
		quick.wantSeqs(s.seq, s.seq-1, s.seq)
	}
	// What had been in its buffer it gets, then it is told, and goes on at the end.
	got, gap := []uint64{}, query.TailGap{}
	for gap.ToSeq == 0 {
		switch m := slow.next(); {
		case m.Event != nil:
			got = append(got, m.ID)
		case m.Gap != nil:
			gap = *m.Gap
		}
	}
	if !slices.Equal(got, upTo(11, gap.FromSeq-1)) || gap.ToSeq != s.seq || gap.FromSeq >= gap.ToSeq {
		t.Errorf("it gets %v and then %+v", got, gap)
	}
	s.ingest(s.several("acme", 1)...)
	slow.wantSeqs(s.seq, s.seq)
	if n := counted(t, registry, "loginaudit_tail_gaps_total"); n != 2 {
		t.Errorf("%v gaps", n)
	}
}

// The hub itself may be behind, where the store could not be read for long.
func TestAllReadersAreToldWhatTheHubWasTooLateFor(t *testing.T) {
	s := newSystem(t)
	source := &faulty{Source: s.reader}
	hub, _ := s.run(tail.Config{Source: source, Behind: 5})
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	source.fail(errDown)
	s.ingest(s.several("acme", 20)...)
	source.fail(nil)
	if gap := f.gap(); gap.FromSeq != 1 || gap.ToSeq != 20 {
		t.Errorf("it is told %+v", gap)
	}
	s.ingest(s.several("acme", 1)...)
	f.wantSeqs(21, 21)
}

func TestAReaderThatReadsPagesWaitsForAStoreThatIsDown(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.several("acme", 10)...)
	source := &faulty{Source: s.reader}
	hub, _ := s.run(tail.Config{Source: source, Page: 2, Heartbeat: 10 * time.Millisecond})
	f := follow(t, hub, "acme", after(0))
	f.wantSeqs(1, 1)
	source.fail(errDown)
	asked := source.questions()
	f.wantSeqs(2, 2)
	until(t, "the store is asked in vain", func() bool {
		select {
		case <-f.messages: // that it is still there
		default:
		}
		return source.questions() > asked+1
	})
	source.fail(nil)
	f.wantSeqs(10, upTo(3, 10)...)
}

func TestALastEventIDBeyondTheEndIsWaitedFor(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.several("acme", 5)...)
	source := &faulty{Source: s.reader}
	hub, _ := s.run(tail.Config{Source: source, Patience: patience})
	f := follow(t, hub, "acme", after(7)) // which the claim that was lost with the server had told
	until(t, "it waits", func() bool { return source.questions() > 3 })
	s.ingest(s.several("acme", 4)...)
	f.wantSeqs(9, 8, 9)
}

func TestALastEventIDOfAnotherStreamIsToldAsAGap(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.several("acme", 5)...)
	hub, _ := s.run(tail.Config{Patience: time.Millisecond})
	f := follow(t, hub, "acme", after(5_000_000))
	if gap := f.gap(); gap.FromSeq != 1 || gap.ToSeq != 5 {
		t.Errorf("it is told %+v", gap)
	}
	s.ingest(s.several("acme", 1)...)
	f.wantSeqs(6, 6)

	empty := newSystem(t)
	hub, _ = empty.run(tail.Config{Patience: time.Millisecond})
	follow(t, hub, "acme", after(7)).begin() // there is nothing that it could not get
}

func TestAStreamThatIsMadeAnewIsFollowedFromItsBeginning(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.several("acme", 6)...)
	hub, _ := s.run(tail.Config{Buffer: 2})
	live, slow := follow(t, hub, "acme", query.TailQuestion{}).begin(), follow(t, hub, "acme", query.TailQuestion{}).begin()
	old := s.several("acme", 5)
	s.ingest(old...)
	live.wantSeqs(11, upTo(7, 11)...)
	s.anew(time.Hour)
	s.ingest(s.several("acme", 3)...)
	for m := live.next(); m.ID != 0; m = live.next() { // maybe once more how far the former stream was
		if m.Mark == nil || m.ID != 11 {
			t.Fatalf("who follows is told %+v first", m)
		}
	}
	live.wantSeqs(3, 1, 2, 3)
	// Who was slow gets what it had been given, and is told of the rest.
	got := []uint64{}
	for m := slow.next(); m.Gap == nil; m = slow.next() {
		got = append(got, m.ID)
	}
	if want := upTo(7, uint64(len(got))+6); !slices.Equal(got, want) || slow.at != 11 {
		t.Errorf("who is slow gets %v, want %v and a gap to 11, not to %d", got, want, slow.at)
	}
	slow.wantSeqs(3, 1, 2, 3)
	// What the former stream had at these sequences is not theirs.
	follow(t, hub, "acme", after(0)).wantSeqs(3, 1, 2, 3)
	// What was there before is no news in another stream either.
	s.ingest(s.again(old[0]), s.login("acme", "new", 0))
	live.wantSeqs(5, 5)
}

// A former copy of the stream goes on where it ends: its sequences meet other
// messages than those that were ingested before.
func TestAStreamThatIsPutBackIsFollowedFromWhereItWasPutBack(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.several("acme", 10)...)
	hub, _ := s.run(tail.Config{})
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	s.generation++
	s.seq = 6 // the copy ends there
	s.claim(6)
	f.mark(0)
	s.created = epoch // messages are received later now
	news := s.several("acme", 2)
	s.created = epoch.Add(-time.Hour)
	s.ingest(news...)
	f.wantSeqs(8, 7, 8)
}

// batch is what is inserted at once. It is claimed when the next one is there, unless
// at once.
type batch struct {
	events []event.Stored
	claim  bool
}

// drawBatches makes what comes while a test reads: late events, repeats, events of
// another account, out of order within a batch.
func drawBatches(rt *rapid.T, s *system, account string) []batch {
	batches := make([]batch, rapid.IntRange(1, 6).Draw(rt, "batches"))
	var before []event.Stored
	for i := range batches {
		for range rapid.IntRange(1, 8).Draw(rt, "events") {
			if len(before) > 0 && rapid.IntRange(0, 3).Draw(rt, "repeat") == 0 {
				batches[i].events = append(batches[i].events, s.again(rapid.SampledFrom(before).Draw(rt, "of")))
				continue
			}
			e := s.login(rapid.SampledFrom([]string{account, account, "other"}).Draw(rt, "account"),
				rapid.SampledFrom([]string{"ann", "Anna", "Straße", "x"}).Draw(rt, "username"),
				time.Duration(rapid.IntRange(-100, 100).Draw(rt, "hours"))*time.Hour)
			e.Entry = rapid.SampledFrom(event.Entries()).Draw(rt, "entry")
			e = s.stored(e.Event)
			before = append(before, e)
			batches[i].events = append(batches[i].events, e)
		}
		batches[i].events = rapid.Permutation(batches[i].events).Draw(rt, "order")
		batches[i].claim = i == len(batches)-1 || rapid.Bool().Draw(rt, "claim")
	}
	return batches
}

// some follows until so many messages that say something have come, or the place last
// is reached, and adds the events to got.
func some(hub *tail.Hub, account string, q query.TailQuestion, last uint64, n int, got []uint64) (all []uint64, at uint64, err error) {
	at = *q.After
	enough := errors.New("enough")
	err = hub.Follow(context.Background(), account, q, func(messages []query.TailMessage) error {
		for _, m := range messages {
			if m == (query.TailMessage{}) {
				continue
			}
			if m.Gap != nil {
				return fmt.Errorf("a gap: %+v", *m.Gap)
			}
			if m.Event != nil {
				got = append(got, m.ID)
			}
			if n, at = n-1, m.ID; n == 0 || at >= last {
				return enough
			}
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return got, at, err
}

// Whoever comes and goes, however slowly it reads, while events keep coming, late
// ones, repeats and what nobody asked for: in the end it has had what a list shows,
// once, in the order of the stream.
func TestEventsOfATailAreThoseOfTheListWhateverHappens(t *testing.T) {
	s := newSystem(t)
	examples := 0
	rapid.Check(t, func(rt *rapid.T) {
		examples++
		account := fmt.Sprintf("acme-%d", examples)
		filter := query.EventFilter{Limit: query.MaxLimit, Order: query.Ascending}
		if rapid.Bool().Draw(rt, "of some users") {
			filter.Text = rapid.SampledFrom([]string{"ANN", "ß", "x"}).Draw(rt, "text")
		}
		if rapid.Bool().Draw(rt, "of some entries") {
			filter.Entries = []event.Entry{1, 2, 3}
		}
		hub, err := tail.New(tail.Config{
			Source: s.reader, Every: time.Millisecond, Heartbeat: 2 * time.Millisecond, Patience: patience,
			Buffer: rapid.IntRange(1, 6).Draw(rt, "buffer"), Page: rapid.IntRange(1, 6).Draw(rt, "page"),
		})
		if err != nil {
			rt.Fatal(err)
		}
		at := s.seq
		batches := drawBatches(rt, s, account)
		connections := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 5).Draw(rt, "connections")
		last := s.seq

		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { _ = hub.Run(ctx) })
		running.Go(func() {
			for _, b := range batches {
				s.insert(b.events...)
				if b.claim {
					s.claim(slices.MaxFunc(b.events, func(a, b event.Stored) int { return cmp.Compare(a.StreamSeq, b.StreamSeq) }).StreamSeq)
				}
			}
		})
		var got []uint64
		for i := 0; at < last; i++ {
			q := query.TailQuestion{Filter: filter, After: &at}
			if got, at, err = some(hub, account, q, last, connections[i%len(connections)], got); err != nil {
				rt.Fatal(err)
			}
		}
		page, err := s.reader.Events(context.Background(), account, filter)
		if err != nil {
			rt.Fatal(err)
		}
		var want []uint64
		for _, e := range page.Events {
			want = append(want, e.StreamSeq)
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			rt.Fatalf("the tail had %v, the list has %v", got, want)
		}
	})
}

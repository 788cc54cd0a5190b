package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func TestInvalidMessageIsParkedAloneWithItsBytesAndLaterOnesAreStored(t *testing.T) {
	t.Parallel()
	ahead := login("ahead")
	ahead.OccurredAt = time.Now().Add(time.Hour)
	status := nats.NewMsg("login.events.acme.login")
	status.Header.Set("Status", "503")
	deleted := nats.NewMsg("login.events.acme.login")
	deleted.Header.Set("Status", "409")
	deleted.Header.Set("Description", "Consumer Deleted")
	cases := []struct {
		name   string
		msg    *nats.Msg
		reason string
	}{
		{"not JSON", &nats.Msg{Subject: "login.events.acme.login", Data: []byte("\x00{nope\r\n")}, "not_json"},
		{"empty", &nats.Msg{Subject: "login.events.acme.login"}, ""},
		{"of another account", &nats.Msg{Subject: "login.events.beta.login", Data: encode(t, login("a"))}, string(event.ReasonSubjectMismatch)},
		{"of another kind", &nats.Msg{Subject: "login.events.acme.mfa", Data: encode(t, login("b"))}, string(event.ReasonKindMismatch)},
		{"from the future", &nats.Msg{Subject: "login.events.acme.login", Data: encode(t, ahead)}, string(event.ReasonTooFarAhead)},
		{"shaped like an acknowledgement", &nats.Msg{Subject: "login.events.acme.login", Data: []byte(`{"stream":"LOGIN_EVENTS","seq":5}`)}, "missing"},
		{"shaped like a word of the server", status, ""},
		{"shaped like the end of the consumer", deleted, ""},
		{"over the greatest size", &nats.Msg{Subject: "login.events.acme.login", Data: make([]byte, event.MaxBody+100)}, "too_large"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, to := newServer(t, stream.Settings{}), newSink()
			s.publish(1)
			s.publishMsg(c.msg)
			last := s.publish(1)
			loop := s.run(to, nil)
			to.waitMark(t, last)
			if got := to.stored(); !slices.Equal(got, []uint64{1, 3}) {
				t.Errorf("stored are %v, want 1 and 3", got)
			}
			parked := s.parked()
			if len(parked) != 1 {
				t.Fatalf("%d messages are parked, want 1", len(parked))
			}
			p := parked[0]
			if string(p.Body) != string(c.msg.Data) || p.Subject != c.msg.Subject || p.StreamSeq != 2 {
				t.Errorf("parked is %.200q of %s at %d", p.Body, p.Subject, p.StreamSeq)
			}
			if p.Headers.Get("Status") != c.msg.Header.Get("Status") {
				t.Errorf("parked headers are %v, want %v", p.Headers, c.msg.Header)
			}
			if c.reason != "" && p.Reason != c.reason {
				t.Errorf("the reason is %s, want %s", p.Reason, c.reason)
			}
			if n := loop.metric("parked_total", p.Reason); n != 1 {
				t.Errorf("%v parked messages are counted, want 1", n)
			}
		})
	}
}

func TestMessageThatCannotBeParkedStaysUnacknowledgedAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	s.publishMsg(&nats.Msg{Subject: "login.events.acme.login", Data: []byte("bad")})
	last := s.publish(2)
	var broken atomic.Bool
	broken.Store(true)
	refused := make(chan struct{}, 1000)
	loop := s.run(to, func(c *ingest.Config) {
		parker := stream.NewParker(c.JetStream).Park
		c.Park = parkWith(func(ctx context.Context, msg jetstream.Msg, reason error) error {
			if broken.Load() {
				refused <- struct{}{}
				return errBusy
			}
			return parker(ctx, msg, reason)
		})
	})
	to.wait(t, "the valid ones are stored", func() bool { return len(to.rows) == 2 })
	<-refused
	<-refused // it is delivered again
	if floor := s.consumer().AckFloor.Stream; floor != 0 {
		t.Errorf("the floor is %d, want nothing acknowledged up to there", floor)
	}
	for _, mark := range to.allMarks() {
		if mark.Seq != 0 {
			t.Errorf("the watermark is %d while message 1 is neither stored nor parked", mark.Seq)
		}
	}
	if loop.metric("park_failures_total", "") == 0 {
		t.Error("the failures are not counted")
	}
	broken.Store(false)
	to.waitMark(t, last)
	if n := len(s.parked()); n != 1 {
		t.Errorf("%d messages are parked, want 1", n)
	}
}

func TestMessageThatIsParkedTwiceIsThereOnce(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	last := s.publishMsg(&nats.Msg{Subject: "login.events.acme.login", Data: []byte("bad")})
	var tries atomic.Int32
	s.run(to, func(c *ingest.Config) {
		parker := stream.NewParker(c.JetStream).Park
		c.Park = parkWith(func(ctx context.Context, msg jetstream.Msg, reason error) error {
			if err := parker(ctx, msg, reason); err != nil || tries.Add(1) > 1 {
				return err
			}
			return errBusy // it is parked, but the answer got lost
		})
	})
	to.waitMark(t, last)
	if n := len(s.parked()); n != 1 {
		t.Errorf("%d messages are parked, want 1", n)
	}
}

// refuse makes the sink refuse a batch that holds one of the sequences.
func refuse(to *sink, seqs ...uint64) {
	to.before = func(_ context.Context, events []event.Stored) error {
		for _, e := range events {
			if slices.Contains(seqs, e.StreamSeq) {
				return fmt.Errorf("insert: %w", errRow)
			}
		}
		return nil
	}
}

func TestRowThatTheStoreRefusesIsFoundAndParkedAlone(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]uint64{{1}, {5}, {10}, {3, 4}, {1, 2, 3, 4, 5, 6, 7, 9, 10}} {
		s, to := newServer(t, stream.Settings{}), newSink()
		last := s.publish(10)
		refuse(to, bad...)
		loop := s.run(to, func(c *ingest.Config) { c.MaxWait = 300 * time.Millisecond })
		to.waitMark(t, last)
		want := slices.DeleteFunc(numbers(1, last), func(n uint64) bool { return slices.Contains(bad, n) })
		if got := to.stored(); !slices.Equal(got, want) {
			t.Errorf("%v are bad: stored are %v, want %v", bad, got, want)
		}
		var parked []uint64
		for _, p := range s.parked() {
			parked = append(parked, p.StreamSeq)
			if p.Reason != string(ingest.ReasonRowRefused) || !strings.Contains(p.Detail, errRow.Error()) {
				t.Errorf("the reason is %s: %s", p.Reason, p.Detail)
			}
		}
		slices.Sort(parked)
		if !slices.Equal(parked, bad) {
			t.Errorf("parked are %v, want %v", parked, bad)
		}
		if err := loop.stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorThatEveryRowSharesParksNothingAndEndsRun(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5, 100} {
		s, to := newServer(t, stream.Settings{}), newSink()
		last := s.publish(n)
		refuse(to, numbers(1, last)...)
		var inserts atomic.Int32
		refusing := to.before
		to.before = func(ctx context.Context, events []event.Stored) error {
			inserts.Add(1)
			return refusing(ctx, events)
		}
		err := s.run(to, func(c *ingest.Config) { c.MaxWait = 300 * time.Millisecond }).wait()
		if !errors.Is(err, ingest.ErrEveryRowRefused) || !errors.Is(err, errRow) {
			t.Errorf("%d rows: Run returns %v, want ErrEveryRowRefused with the cause", n, err)
		}
		if parked := s.parked(); len(parked) != 0 {
			t.Errorf("%d rows: %d are parked, want none", n, len(parked))
		}
		if floor := s.consumer().AckFloor.Stream; floor != 0 {
			t.Errorf("%d rows: the floor is %d, want nothing acknowledged", n, floor)
		}
		if tries := inserts.Load(); tries > 40 {
			t.Errorf("%d rows: %d inserts until it was given up", n, tries)
		}
	}
}

func TestSingleRowThatIsRefusedAfterOthersWereStoredIsParked(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	refuse(to, 2)
	s.publish(1)
	s.run(to, nil)
	to.waitMark(t, 1)
	s.publish(1)
	to.waitMark(t, 2)
	if parked := s.parked(); len(parked) != 1 || parked[0].StreamSeq != 2 {
		t.Errorf("parked are %v, want message 2", parked)
	}
}

func TestStoreThatGoesDownWhileABatchIsHalvedParksNothingWrongly(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	last := s.publish(8)
	refuse(to, 6)
	refusing := to.before
	var tries atomic.Int32
	to.before = func(ctx context.Context, events []event.Stored) error {
		if tries.Add(1)%2 == 0 {
			return errBusy
		}
		return refusing(ctx, events)
	}
	s.run(to, func(c *ingest.Config) { c.MaxWait = 300 * time.Millisecond })
	to.waitMark(t, last)
	if parked := s.parked(); len(parked) != 1 || parked[0].StreamSeq != 6 {
		t.Errorf("parked are %v, want message 6", parked)
	}
}

func TestSetUpThatBreaksWhileABatchIsHalvedEndsRun(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	s.publish(8)
	to.before = func(_ context.Context, events []event.Stored) error {
		if len(events) > 1 {
			return errRow
		}
		return errSetup
	}
	if err := s.run(to, func(c *ingest.Config) { c.MaxWait = 300 * time.Millisecond }).wait(); !errors.Is(err, errSetup) {
		t.Errorf("Run returns %v, want the error of the set-up", err)
	}
	if parked := s.parked(); len(parked) != 0 {
		t.Errorf("%d messages are parked, want none", len(parked))
	}
}

// TestConsumerThatIsMadeAgainParksNothingASecondTime: it delivers everything once
// more, long after LOGIN_PARKED has forgotten the ids of what it took.
func TestConsumerThatIsMadeAgainParksNothingASecondTime(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{ParkedDuplicateWindow: 100 * time.Millisecond}), newSink()
	for i := range 20 {
		s.publishMsg(&nats.Msg{Subject: "login.events.acme.login", Data: fmt.Append(nil, "bad ", i)})
	}
	last := s.publish(1)
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
	s.forgets("login.parked.other")
	if err := s.js.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
		t.Fatal(err)
	}
	to.wait(t, "the event comes again", func() bool { return len(to.inserts) > 1 })
	for s.consumer().AckFloor.Stream < last {
		if t.Context().Err() != nil {
			t.Fatal("not all is acknowledged again")
		}
	}
	bodies := map[string]int{}
	for _, m := range s.parked() {
		bodies[string(m.Body)]++
	}
	info, err := s.js.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	// The markers of the test are there too.
	if n := info.CachedInfo().State.Msgs; len(bodies) != 21 || n != 22 {
		t.Errorf("%d messages are parked, with bodies %v; want each of 20 once, and 2 markers", n, bodies)
	}
}

// forgets waits until a stream has forgotten the ids of all that it has, by an
// empty message of its own, which it then has twice.
func (s *server) forgets(subject string) {
	s.t.Helper()
	for stored := 0; stored < 2; {
		answer, err := s.js.Publish(s.t.Context(), subject, nil, jetstream.WithMsgID("marker"))
		if err != nil {
			s.t.Fatal(err)
		}
		if !answer.Duplicate {
			stored++
		}
	}
}

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
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func numbers(from, to uint64) []uint64 {
	var all []uint64
	for n := from; n <= to; n++ {
		all = append(all, n)
	}
	return all
}

func TestLoopStoresEveryEventWithWhatTheStreamKnowsOfIt(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	e := login("one")
	body := encode(t, e)
	s.publishMsg(&nats.Msg{Subject: e.Subject(), Data: body})
	s.run(to, nil)
	to.waitMark(t, 1)
	got := to.row(1)
	stored, err := mustStream(t, s).GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, hash, err := event.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != e.ID || string(got.Raw) != string(body) || got.Hash != hash || got.StreamSeq != 1 || !got.ReceivedAt.Equal(stored.Time) {
		t.Errorf("stored is %+v", got)
	}
}

func mustStream(t testing.TB, s *server) jetstream.Stream {
	t.Helper()
	str, _, err := stream.Open(t.Context(), s.js)
	if err != nil {
		t.Fatal(err)
	}
	return str
}

func TestLoopAcknowledgesAfterInsertOnly(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	inserting, release := make(chan struct{}), make(chan struct{})
	to.before = func(context.Context, []event.Stored) error {
		inserting <- struct{}{}
		<-release
		return nil
	}
	s.publish(1)
	s.run(to, nil)
	<-inserting
	if c := s.consumer(); c.AckFloor.Stream != 0 || c.NumAckPending != 1 {
		t.Errorf("while the insert is under way the floor is %d with %d pending, want 0 with 1", c.AckFloor.Stream, c.NumAckPending)
	}
	close(release)
	to.waitMark(t, 1)
	if c := s.consumer(); c.NumAckPending != 0 {
		t.Errorf("%d messages are not acknowledged", c.NumAckPending)
	}
}

func TestInsertThatFailedAfterWritingIsRepeatedUntilItSucceeds(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{errBusy, errOdd} {
		s, to := newServer(t, stream.Settings{}), newSink()
		var tries atomic.Int32
		to.after = func(context.Context, []event.Stored) error {
			if tries.Add(1) <= 3 {
				return failure
			}
			return nil
		}
		s.publish(1)
		loop := s.run(to, nil)
		to.waitMark(t, 1)
		if err := loop.stop(); err != nil {
			t.Fatal(err)
		}
		if n := len(to.inserts); n != 4 {
			t.Errorf("the batch was inserted %d times, want 4", n)
		}
		if n := loop.metric("insert_errors_total", classify(failure).String()); n != 3 {
			t.Errorf("%v errors are counted, want 3", n)
		}
		if n := loop.metric("redeliveries_total", ""); n != 0 {
			t.Errorf("%v messages were delivered again", n)
		}
	}
}

func TestTimeoutOfAnInsertIsRepeatedWhateverTheTableOfErrorsSays(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	var tries atomic.Int32
	to.before = func(ctx context.Context, _ []event.Stored) error {
		if tries.Add(1) > 1 {
			return nil
		}
		<-ctx.Done()
		return fmt.Errorf("insert: %w", ctx.Err())
	}
	s.publish(1)
	s.run(to, func(c *ingest.Config) {
		c.InsertTimeout = 5 * time.Millisecond
		c.Classify = func(error) ingest.Class { return ingest.Stop }
	})
	to.waitMark(t, 1)
}

func TestServerHearsThatABatchIsInProgress(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{AckWait: 300 * time.Millisecond}), newSink()
	beats := make(chan *nats.Msg, 1000)
	if _, err := s.js.Conn().ChanSubscribe("$JS.ACK.LOGIN_EVENTS.ingest.>", beats); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	to.before = func(context.Context, []event.Stored) error {
		<-release
		return nil
	}
	s.publish(1)
	s.run(to, nil)
	for range 3 {
		if m := <-beats; string(m.Data) != "+WPI" {
			t.Errorf("the server hears %q, want that work is in progress", m.Data)
		}
	}
	close(release)
	to.waitMark(t, 1)
}

func TestBatchesStayWithinTheirBounds(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	last := s.publish(150)
	big := login("big")
	big.Attributes = map[string]string{}
	for i := range 32 {
		big.Attributes[strings.Repeat("k", i+1)] = strings.Repeat("v", 1024)
	}
	for i := range 30 {
		big.ID = fmt.Sprint("big-", i)
		last = s.publishMsg(&nats.Msg{Subject: big.Subject(), Data: encode(t, big)})
	}
	const maxMessages, maxBytes = 20, 256 << 10
	to.before = func(_ context.Context, events []event.Stored) error {
		size := 0
		for _, e := range events {
			size += len(e.Raw)
		}
		if len(events) > maxMessages || size > maxBytes {
			t.Errorf("a batch has %d messages and %d bytes", len(events), size)
		}
		// One batch is inserted while the next is filled, one is acknowledged and
		// one waits for that.
		if n := s.consumer().NumAckPending; n > 4*maxMessages {
			t.Errorf("%d messages are fetched at once", n)
		}
		return nil
	}
	s.run(to, func(c *ingest.Config) { c.MaxMessages, c.MaxBytes = maxMessages, maxBytes })
	to.waitMark(t, last)
	if got := to.stored(); !slices.Equal(got, numbers(1, last)) {
		t.Errorf("stored are %v", got)
	}
}

func TestGracefulStopFinishesTheBatchInHand(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	inserting, release := make(chan struct{}), make(chan struct{})
	to.before = func(ctx context.Context, _ []event.Stored) error {
		inserting <- struct{}{}
		<-release
		return ctx.Err()
	}
	last := s.publish(3)
	loop := s.run(to, func(c *ingest.Config) { c.MaxWait = 100 * time.Millisecond })
	<-inserting
	loop.cancel()
	close(release)
	if err := loop.wait(); err != nil {
		t.Fatal(err)
	}
	if c := s.consumer(); c.AckFloor.Stream != last || c.NumAckPending != 0 {
		t.Errorf("after the stop the floor is %d with %d pending, want %d with none", c.AckFloor.Stream, c.NumAckPending, last)
	}
	if mark := to.mark(); mark.Seq != last {
		t.Errorf("the last watermark is %d, want %d", mark.Seq, last)
	}
}

func TestStopThatCannotFinishTheBatchGivesItToAnotherLoop(t *testing.T) {
	t.Parallel()
	s, stuck := newServer(t, stream.Settings{}), newSink()
	inserting := make(chan struct{}, 100)
	stuck.before = func(context.Context, []event.Stored) error {
		inserting <- struct{}{}
		return errBusy
	}
	s.publish(1)
	loop := s.run(stuck, func(c *ingest.Config) { c.StopTimeout = 20 * time.Millisecond })
	<-inserting
	if err := loop.stop(); err != nil {
		t.Fatal(err)
	}
	if floor := s.consumer().AckFloor.Stream; floor != 0 {
		t.Errorf("the floor is %d, want nothing acknowledged", floor)
	}
	to := newSink()
	s.run(to, nil)
	to.waitMark(t, 1) // long before AckWait, which is a minute
}

func TestStopClassEndsRunWithoutAcknowledging(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{}), newSink()
	to.before = func(context.Context, []event.Stored) error { return errSetup }
	s.publish(2)
	loop := s.run(to, nil)
	if err := loop.wait(); !errors.Is(err, errSetup) {
		t.Errorf("Run returns %v, want the error of the sink", err)
	}
	if c := s.consumer(); c.AckFloor.Stream != 0 {
		t.Errorf("the floor is %d, want nothing acknowledged", c.AckFloor.Stream)
	}
	if n := len(s.parked()); n != 0 {
		t.Errorf("%d messages are parked", n)
	}
	if err := loop.Live(t.Context()); err == nil {
		t.Error("a loop that ended calls itself alive")
	}
}

func TestWrongConfigurationIsRefusedByName(t *testing.T) {
	t.Parallel()
	s := newServer(t, stream.Settings{})
	good := func() ingest.Config {
		return ingest.Config{
			JetStream: s.js, Open: s.open(s.js), Sink: newSink(), Classify: classify,
			Park:   parkWith(func(context.Context, jetstream.Msg, error) error { return nil }),
			Logger: zap.NewNop(), Registerer: prometheus.NewRegistry(),
		}
	}
	cases := map[string]func(*ingest.Config){
		"Sink":           func(c *ingest.Config) { c.Sink = nil },
		"Registerer":     func(c *ingest.Config) { c.Registerer = nil },
		"MaxMessages":    func(c *ingest.Config) { c.MaxMessages = 100_001 },
		"MaxBytes":       func(c *ingest.Config) { c.MaxBytes = 1 },
		"Inserts":        func(c *ingest.Config) { c.Inserts = 9 },
		"MaxWait":        func(c *ingest.Config) { c.MaxWait = -1 },
		"InsertTimeout":  func(c *ingest.Config) { c.InsertTimeout = -1 },
		"StopTimeout":    func(c *ingest.Config) { c.StopTimeout = -1 },
		"RetryPause":     func(c *ingest.Config) { c.RetryPause = 1 },
		"RetryPauseMax":  func(c *ingest.Config) { c.RetryPauseMax = 1 },
		"ParkAgainAfter": func(c *ingest.Config) { c.ParkAgainAfter = -1 },
		"WatermarkEvery": func(c *ingest.Config) { c.WatermarkEvery = -1 },
	}
	for name, change := range cases {
		config := good()
		change(&config)
		if _, err := ingest.New(config); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v, want it to name %s", err, name)
		}
	}
	config := good()
	for range 2 { // two loops of one process share their metrics
		if _, err := ingest.New(config); err != nil {
			t.Errorf("a good configuration is refused: %v", err)
		}
	}
	taken := good()
	clash := prometheus.NewGauge(prometheus.GaugeOpts{Name: "loginaudit_ingest_events_total", Help: "something else"})
	taken.Registerer.MustRegister(clash)
	if _, err := ingest.New(taken); err == nil {
		t.Error("a metric's name that is taken is accepted")
	}
}

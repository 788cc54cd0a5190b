package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a real NATS server with the streams of loginaudit, which can be
// stopped and started again.
type server struct {
	t        testing.TB
	dir      string
	port     int
	nats     *natsserver.Server
	js       jetstream.JetStream
	settings stream.Settings

	published uint64 // the last sequence of publish
}

func newServer(t testing.TB, settings stream.Settings) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir(), port: natsserver.RANDOM_PORT, settings: settings}
	s.start()
	t.Cleanup(s.stop)
	s.js = s.connect()
	s.ensure()
	return s
}

func (s *server) start() {
	s.t.Helper()
	var err error
	s.nats, err = natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: s.port, JetStream: true, StoreDir: s.dir, NoLog: true, NoSigs: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.nats.Start()
	if !s.nats.ReadyForConnections(30 * time.Second) {
		s.t.Fatal("the server takes no connections")
	}
	s.port = int(netip.MustParseAddrPort(s.nats.Addr().String()).Port())
}

func (s *server) stop() {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
}

func (s *server) connect() jetstream.JetStream {
	s.t.Helper()
	nc, err := nats.Connect(s.nats.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

func (s *server) ensure() {
	s.t.Helper()
	if err := stream.Ensure(s.t.Context(), s.js, s.settings); err != nil {
		s.t.Fatal(err)
	}
}

// open is what the wiring gives the loop as Config.Open; it brings nothing back.
func (s *server) open(js jetstream.JetStream) func(context.Context) (jetstream.Stream, jetstream.Consumer, error) {
	return func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) { return stream.Open(ctx, js) }
}

func (s *server) publishMsg(msg *nats.Msg) uint64 {
	s.t.Helper()
	answer, err := s.js.PublishMsg(s.t.Context(), msg)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.Sequence
}

// publish publishes n valid events and gives the sequence of the last.
func (s *server) publish(n int) uint64 {
	s.t.Helper()
	last := s.published
	for i := range n {
		e := login(fmt.Sprintf("e-%d-%d", last, i))
		last = s.publishMsg(&nats.Msg{Subject: e.Subject(), Data: encode(s.t, e)})
	}
	s.published = last
	return last
}

func (s *server) consumer() *jetstream.ConsumerInfo {
	s.t.Helper()
	_, c, err := stream.Open(s.t.Context(), s.js)
	if err != nil {
		s.t.Fatal(err)
	}
	return c.CachedInfo()
}

// parked is what LOGIN_PARKED holds.
func (s *server) parked() []stream.ParkedMessage {
	s.t.Helper()
	var all []stream.ParkedMessage
	for m, err := range stream.NewInbox(s.js).List(s.t.Context(), stream.ParkedFilter{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func login(id string) event.Event {
	return event.Event{
		ID: id, Account: "acme", Username: "ada", Entry: 1, Status: 1,
		OccurredAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func encode(t testing.TB, e event.Event) []byte {
	t.Helper()
	body, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// sink keeps events in memory and fails on demand: the fault injector.
type sink struct {
	mu      sync.Mutex
	changed chan struct{} // closed and made anew at every change
	rows    map[uint64]event.Stored
	inserts [][]uint64
	marks   []ingest.Watermark
	gaps    []ingest.Gap
	known   ingest.Known
	tidings ingest.Tidings // the last ones
	// before and after may fail an insert before and after it has written;
	// onMark may fail the watermark, onKnown the question for it. They run without
	// the lock.
	before, after func(ctx context.Context, events []event.Stored) error
	onMark        func(ingest.Watermark) error
	onKnown       func() error
}

func newSink() *sink {
	return &sink{changed: make(chan struct{}), rows: map[uint64]event.Stored{}}
}

func (s *sink) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// rows is the sink's block.
type rows struct{ events []event.Stored }

func (r *rows) Add(e *event.Stored)    { r.events = append(r.events, *e) }
func (r *rows) Raw(row int) []byte     { return r.events[row].Raw }
func (r *rows) Reset()                 { r.events = nil }
func (s *sink) NewBlock() ingest.Block { return &rows{} }

func (s *sink) Insert(ctx context.Context, b ingest.Block, from, to int, begin ingest.Begin) error {
	ctx, release := begin(ctx)
	defer release()
	events := b.(*rows).events[from:to]
	if s.before != nil {
		if err := s.before(ctx, events); err != nil {
			return err
		}
	}
	s.change(func() {
		seqs := make([]uint64, len(events))
		for i, e := range events {
			seqs[i] = e.StreamSeq
			s.rows[e.StreamSeq] = e
		}
		s.inserts = append(s.inserts, seqs)
	})
	if s.after != nil {
		return s.after(ctx, events)
	}
	return nil
}

// wait waits until the condition holds; it is tried again at every change.
func (s *sink) wait(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		s.mu.Lock()
		holds, changed := condition(), s.changed
		s.mu.Unlock()
		if holds {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// waitMark waits until the watermark has reached seq.
func (s *sink) waitMark(t testing.TB, seq uint64) {
	t.Helper()
	s.wait(t, fmt.Sprintf("the watermark is %d", seq), func() bool {
		return len(s.marks) > 0 && s.marks[len(s.marks)-1].Seq >= seq
	})
}

// mark is the last watermark.
func (s *sink) mark() ingest.Watermark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.marks[len(s.marks)-1]
}

func (s *sink) allMarks() []ingest.Watermark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.marks)
}

func (s *sink) row(seq uint64) event.Stored {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows[seq]
}

func (s *sink) stored() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	seqs := make([]uint64, 0, len(s.rows))
	for seq := range s.rows {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	return seqs
}

var (
	errBusy  = errors.New("busy")
	errRow   = errors.New("bad row")
	errSetup = errors.New("wrong schema")
	errOdd   = errors.New("never seen before")
	errLarge = errors.New("too large")
)

func classify(err error) ingest.Class {
	switch {
	case errors.Is(err, errBusy):
		return ingest.Retry
	case errors.Is(err, errRow):
		return ingest.Split
	case errors.Is(err, errSetup):
		return ingest.Stop
	case errors.Is(err, errLarge):
		return ingest.TooLarge
	}
	return ingest.Unknown
}

// parkWith parks one message after the other.
func parkWith(one func(ctx context.Context, msg jetstream.Msg, reason error) error) func(context.Context, []ingest.Invalid) []error {
	return func(ctx context.Context, all []ingest.Invalid) []error {
		errs := make([]error, len(all))
		for i, m := range all {
			errs[i] = one(ctx, m.Msg, m.Reason)
		}
		return errs
	}
}

// running is a loop that runs.
type running struct {
	*ingest.Loop
	t        testing.TB
	registry *prometheus.Registry
	cancel   context.CancelFunc
	done     chan struct{}
	err      error
}

// run starts a loop; change may alter its configuration, and first gets the loop
// before it runs. It is stopped with the test.
func (s *server) run(to *sink, change func(*ingest.Config), first ...func(*ingest.Loop)) *running {
	s.t.Helper()
	js := s.connect()
	registry := prometheus.NewRegistry()
	config := ingest.Config{
		JetStream: js, Open: s.open(js), Sink: to, Journal: to, Park: parkWith(stream.NewParker(js).Park), Classify: classify,
		Logger: zap.NewNop(), Registerer: registry,
		MaxWait: 5 * time.Millisecond, RetryPause: time.Millisecond, RetryPauseMax: 20 * time.Millisecond,
		ParkAgainAfter: 5 * time.Millisecond, WatermarkEvery: 10 * time.Millisecond,
	}
	if change != nil {
		change(&config)
	}
	loop, err := ingest.New(config)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range first {
		f(loop)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Loop: loop, t: s.t, registry: registry, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = loop.Run(ctx)
	}()
	s.t.Cleanup(func() {
		cancel()
		<-r.done
	})
	return r
}

// stop asks the loop to stop and gives what Run returned.
func (r *running) stop() error {
	r.cancel()
	return r.wait()
}

// wait waits until Run returns.
func (r *running) wait() error {
	r.t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(time.Minute):
		r.t.Fatal("Run does not return")
		return nil
	}
}

// metric is the sum of a metric over the series that have the label value, or
// over all where it is "".
func (r *running) metric(name, value string) float64 {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() != "loginaudit_ingest_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			if value != "" && (len(m.GetLabel()) == 0 || m.GetLabel()[0].GetValue() != value) {
				continue
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

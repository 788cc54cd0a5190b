package tail_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/tail"
	"github.com/loginaudit/loginaudit/internal/testserver"
)

func TestMain(m *testing.M) { testserver.Main(m) }

var epoch = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const patience = time.Minute // a test that waits longer has failed

// system is a fresh database, with who writes to it and what the tail reads.
type system struct {
	t      testing.TB
	server testserver.Database
	writer *store.DB
	reader *store.DB
	seq    uint64 // the last one of the stream
	made   int    // events
	// generation is the history of the stream that is claimed, created when it began.
	generation uint32
	created    time.Time
}

func newSystem(t testing.TB) *system {
	t.Helper()
	s := &system{t: t, server: testserver.ClickHouse(t), generation: 1, created: epoch.Add(-time.Hour)}
	if _, err := store.Migrate(t.Context(), s.config(s.server.Owner)); err != nil {
		t.Fatal(err)
	}
	s.writer, s.reader = s.open(s.server.Writer), s.open(s.server.Reader)
	return s
}

func (s *system) config(as testserver.Credentials) store.Config {
	return store.Config{Addr: s.server.Addr, Database: s.server.Database, Username: as.User, Password: as.Password}
}

func (s *system) open(as testserver.Credentials) *store.DB {
	s.t.Helper()
	db, err := store.Open(s.t.Context(), s.config(as))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

// login is an event of the account that is the next in the stream. It occurred so
// long after the epoch.
func (s *system) login(account, username string, after time.Duration) event.Stored {
	s.seq++
	s.made++
	return s.stored(event.Event{
		ID: fmt.Sprintf("id-%d", s.made), Account: account, Username: username, OccurredAt: epoch.Add(after), Entry: 1, Status: 1,
	})
}

// stored gives an event the place in the stream that is s.seq.
func (s *system) stored(e event.Event) event.Stored {
	s.t.Helper()
	raw, err := event.Encode(e)
	if err != nil {
		s.t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	stored := event.Stored{Event: e, Raw: raw, StreamSeq: s.seq, ReceivedAt: s.created.Add(time.Duration(s.seq) * time.Millisecond)}
	copy(stored.Hash[:], sum[:])
	return stored
}

// again is the same content as e, published once more.
func (s *system) again(e event.Stored) event.Stored {
	s.seq++
	return s.stored(e.Event)
}

func (s *system) insert(events ...event.Stored) {
	s.t.Helper()
	if err := s.writer.Insert(context.Background(), events); err != nil {
		s.t.Fatal(err)
	}
}

// claim tells that everything up to seq is ingested.
func (s *system) claim(seq uint64) {
	s.t.Helper()
	err := s.writer.Tell(context.Background(), store.Tidings{Worker: "w", Lasting: true, Claim: store.Claim{
		Stream: "LOGIN_EVENTS", Created: s.created, Generation: s.generation, Seq: seq,
		Time: s.created.Add(time.Duration(seq) * time.Millisecond), KnownAt: time.Now(),
	}})
	if err != nil {
		s.t.Fatal(err)
	}
}

// ingest inserts events and claims them.
func (s *system) ingest(events ...event.Stored) {
	s.t.Helper()
	s.insert(events...)
	s.claim(s.seq)
}

// anew gives the stream a new history, which was created so long after the epoch.
func (s *system) anew(after time.Duration) {
	s.generation, s.created, s.seq = s.generation+1, epoch.Add(after), 0
}

// run runs a hub over the system until the test ends, or stop is called.
func (s *system) run(c tail.Config) (hub *tail.Hub, stop func()) {
	s.t.Helper()
	if c.Source == nil {
		c.Source = s.reader
	}
	if c.Every == 0 {
		c.Every = 5 * time.Millisecond
	}
	hub, err := tail.New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(stop)
	return hub, stop
}

// follower is a reader of a test. What it is sent waits until it is asked for.
type follower struct {
	t        testing.TB
	messages chan query.TailMessage
	ended    chan error
	cancel   context.CancelFunc
	at       uint64 // the last id
}

// follow follows the tail until the test ends. Nothing is read ahead: a message is
// delivered when next asks for it.
func follow(t testing.TB, hub *tail.Hub, account string, q query.TailQuestion) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{t: t, messages: make(chan query.TailMessage), ended: make(chan error, 1), cancel: cancel}
	go func() {
		f.ended <- hub.Follow(ctx, account, q, func(messages []query.TailMessage) error {
			for _, m := range messages {
				select {
				case f.messages <- m:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		})
	}()
	t.Cleanup(func() { f.leave() })
	return f
}

// leave ends the following, as who closes the connection.
func (f *follower) leave() {
	f.cancel()
	select {
	case err := <-f.ended:
		f.ended <- err
	case <-time.After(patience):
		f.t.Error("Follow does not end with its context")
	}
}

// next is the next message that says something.
func (f *follower) next() query.TailMessage {
	f.t.Helper()
	for {
		select {
		case m := <-f.messages:
			if m == (query.TailMessage{}) {
				continue
			}
			f.at = m.ID
			return m
		case err := <-f.ended:
			f.ended <- err
			f.t.Fatalf("the tail has ended: %v", err)
		case <-time.After(patience):
			f.t.Fatal("nothing comes")
		}
	}
}

// begin waits for the first watermark.
func (f *follower) begin() *follower {
	f.t.Helper()
	if m := f.next(); m.Mark == nil || m.ID != m.Mark.StreamSeq {
		f.t.Fatalf("it begins with %+v, not with the watermark", m)
	}
	return f
}

// event is the next event; watermarks are passed.
func (f *follower) event() query.Event {
	f.t.Helper()
	for {
		switch m := f.next(); {
		case m.Gap != nil:
			f.t.Fatalf("a gap: %+v", *m.Gap)
		case m.Event != nil:
			if m.ID != m.Event.Event.StreamSeq {
				f.t.Fatalf("the id of %d is %d", m.Event.Event.StreamSeq, m.ID)
			}
			return m.Event.Event
		}
	}
}

// seqs are the sequences of the events up to the one of last.
func (f *follower) seqs(last uint64) (seqs []uint64) {
	f.t.Helper()
	for len(seqs) == 0 || seqs[len(seqs)-1] < last {
		seqs = append(seqs, f.event().StreamSeq)
	}
	return seqs
}

// gap is the next gap.
func (f *follower) gap() query.TailGap {
	f.t.Helper()
	for {
		if m := f.next(); m.Gap != nil {
			if m.ID != m.Gap.ToSeq || m.Gap.Detail == "" {
				f.t.Errorf("the gap %+v has the id %d", *m.Gap, m.ID)
			}
			return *m.Gap
		}
	}
}

// mark waits for a watermark of at least seq and returns the events before it.
func (f *follower) mark(seq uint64) (events []query.Event, mark query.Watermark) {
	f.t.Helper()
	for {
		switch m := f.next(); {
		case m.Event != nil:
			events = append(events, m.Event.Event)
		case m.Mark != nil && m.ID >= seq:
			return events, *m.Mark
		}
	}
}

func (f *follower) wantSeqs(last uint64, want ...uint64) {
	f.t.Helper()
	if got := f.seqs(last); !slices.Equal(got, want) {
		f.t.Fatalf("events %v, want %v", got, want)
	}
}

// faulty is a store that fails while broken says so.
type faulty struct {
	tail.Source
	mu     sync.Mutex
	broken error
	asked  int
	// read, where not nil, is told of an edge that was read; the hub gets it when
	// release is closed.
	read, release chan struct{}
}

func (f *faulty) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = err
}

func (f *faulty) ask() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.broken
}

func (f *faulty) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *faulty) TailEdge(ctx context.Context) (query.TailEdge, error) {
	if err := f.ask(); err != nil {
		return query.TailEdge{}, err
	}
	edge, err := f.Source.TailEdge(ctx)
	if f.read != nil {
		select {
		case f.read <- struct{}{}:
			<-f.release
		default: // it was told before
		}
	}
	return edge, err
}

func (f *faulty) ArrivedOf(ctx context.Context, account string, filter query.EventFilter, of query.Stretch) ([]query.Event, uint64, error) {
	if err := f.ask(); err != nil {
		return nil, 0, err
	}
	return f.Source.ArrivedOf(ctx, account, filter, of)
}

var errDown = errors.Join(query.ErrUnavailable, errors.New("somebody pulled the plug"))

// counted is the value of a metric of the registry.
func counted(t testing.TB, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			m := family.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// until waits for a condition.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		}
	}
}

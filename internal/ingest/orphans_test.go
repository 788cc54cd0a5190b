package ingest_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// longWait is an AckWait that no test lives to see.
const longWait = 10 * time.Minute

// takenBy fetches n messages as a worker does that then dies: they are delivered,
// and nobody answers.
func (s *server) takenBy(js jetstream.JetStream, n int) []jetstream.Msg {
	s.t.Helper()
	_, consumer, err := stream.Open(s.t.Context(), js)
	if err != nil {
		s.t.Fatal(err)
	}
	batch, err := consumer.Fetch(n)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []jetstream.Msg
	for msg := range batch.Messages() {
		all = append(all, msg)
	}
	if len(all) != n {
		s.t.Fatalf("%d messages were fetched, want %d", len(all), n)
	}
	return all
}

// moreMarks waits until as many more marks are told: as often the loop has looked.
func (s *sink) moreMarks(t testing.TB, n int) {
	t.Helper()
	had := len(s.allMarks())
	s.wait(t, "the loop has looked again", func() bool { return len(s.marks) >= had+n })
}

func TestMessagesOfAWorkerThatDiedAloneComeWithoutWaiting(t *testing.T) {
	t.Parallel()
	for name, told := range map[string]bool{"before it told anything": false, "after it told how far it was": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, to := newServer(t, stream.Settings{AckWait: longWait}), newSink()
			keepsItsWord(t, to)
			if told {
				first := s.run(to, nil)
				to.waitMark(t, s.publish(5))
				if err := first.stop(); err != nil {
					t.Fatal(err)
				}
			}
			last := s.publish(20)
			held := s.takenBy(s.connect(), 10)
			// One in the middle is settled: the floor is below it.
			if err := held[4].DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
			to.change(func() { to.rows[last-15] = event.Stored{StreamSeq: last - 15} })
			loop := s.run(to, nil)
			to.waitMark(t, last)
			if got := to.stored(); !slices.Equal(got, numbers(1, last)) {
				t.Errorf("stored are %v", got)
			}
			if n := loop.metric("redeliveries_total", ""); n != 10 {
				t.Errorf("%v messages are counted as delivered again, want 10", n)
			}
			to.wantGaps(t)
		})
	}
}

// A worker that told something a moment ago may live: it is not robbed of what it
// has in hand. Who began later has none of it and does not count.
func TestMessagesOfAWorkerAreTakenOverWhenItIsSilent(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{AckWait: longWait}), newSink()
	keepsItsWord(t, to)
	held := s.publish(10)
	s.takenBy(s.connect(), 10)
	to.known.Others = []string{"dead:1", "dead:2"}
	loop := s.run(to, nil)
	last := s.publish(5)
	to.wait(t, "what comes after is stored", func() bool { return len(to.rows) == 5 })
	to.moreMarks(t, 5)
	to.change(func() { to.known.Others = []string{"dead:2", "young:3"} })
	to.moreMarks(t, 5)
	if got := to.stored(); !slices.Equal(got, numbers(held+1, last)) || to.mark().Seq != 0 {
		t.Errorf("stored are %v although who has the others is not silent; the watermark is %d", got, to.mark().Seq)
	}
	to.change(func() { to.known.Others = []string{"young:3"} })
	to.waitMark(t, last)
	if n := loop.metric("redeliveries_total", ""); n < 10 {
		t.Errorf("%v messages are counted as delivered again, want those that the dead ones held", n)
	}
}

// The usual restart: the old worker ends in order after the new one has begun.
func TestNothingComesTwiceWhereTheOldWorkerFinishesWhatItHas(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{AckWait: longWait}), newSink()
	var halt atomic.Bool
	inserting, release := make(chan struct{}, 10), make(chan struct{})
	to.before = func(context.Context, []event.Stored) error {
		if halt.Load() {
			inserting <- struct{}{}
			<-release
		}
		return nil
	}
	s.publish(10)
	held := s.takenBy(s.connect(), 10)
	to.known.Others = []string{"old:1"}
	loop := s.run(to, nil)
	last := s.publish(5)
	to.wait(t, "what comes after is stored", func() bool { return len(to.rows) == 5 })
	for _, msg := range held {
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	to.waitMark(t, last)
	// The new one has some in hand when the old one falls silent.
	halt.Store(true)
	last = s.publish(3)
	<-inserting
	to.change(func() { to.known.Others = nil })
	to.moreMarks(t, 5)
	close(release)
	to.waitMark(t, last)
	if got := to.stored(); len(got) != 8 || loop.metric("redeliveries_total", "") != 0 {
		t.Errorf("stored are %v, %v were delivered again", got, loop.metric("redeliveries_total", ""))
	}
}

// After AckWait the server has delivered again what nobody works on. What is still
// out then, somebody keeps: who cannot reach the store is silent, and lives.
func TestWhatSomebodyKeepsLongerThanAckWaitIsLeftToIt(t *testing.T) {
	t.Parallel()
	const wait = 600 * time.Millisecond
	s, to := newServer(t, stream.Settings{AckWait: wait}), newSink()
	s.publish(4)
	held := s.takenBy(s.connect(), 4)
	dropped := held[3]
	defer keep(held[:3], wait/10)()
	to.known.Others = []string{"cut off:1"}
	loop := s.run(to, nil)
	to.waitMark(t, 0)
	// From now on nobody works on this one: when it comes, AckWait has passed.
	if err := dropped.InProgress(); err != nil {
		t.Fatal(err)
	}
	to.wait(t, "the server delivers again what nobody keeps", func() bool { return len(to.rows) == 1 })
	to.change(func() { to.known.Others = nil })
	to.moreMarks(t, 5)
	if got := to.stored(); !slices.Equal(got, []uint64{4}) || loop.metric("redeliveries_total", "") != 1 {
		t.Errorf("stored are %v, want nothing of what is kept", got)
	}
}

// keep tells the server again and again that the messages are worked on, until the
// function that it gives is called.
func keep(messages []jetstream.Msg, every time.Duration) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			for _, msg := range messages {
				_ = msg.InProgress() // where that does not work, the test fails
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// Two that begin at once may both have everything delivered again, and each also
// what the other has taken by then.
func TestTwoWorkersThatTakeOverAtOnceDoNoHarm(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{AckWait: longWait}), newSink()
	keepsItsWord(t, to)
	s.publish(50)
	s.takenBy(s.connect(), 40)
	both := func(c *ingest.Config) { c.MaxMessages = 7 }
	s.run(to, both)
	s.run(to, both)
	last := s.publish(50)
	to.waitMark(t, last)
	if got := to.stored(); !slices.Equal(got, numbers(1, last)) {
		t.Errorf("stored are %v", got)
	}
	to.wantGaps(t)
}

// Where the consumer may not be reset, or the server does not know how, AckWait
// does the same.
func TestWhereTheConsumerCannotBeResetTheMessagesComeAfterAckWait(t *testing.T) {
	t.Parallel()
	s, to := newServer(t, stream.Settings{AckWait: 3 * time.Second}), newSink()
	last := s.publish(5)
	s.takenBy(s.connect(), 5)
	core, logs := observer.New(zap.WarnLevel)
	var refused atomic.Bool
	s.run(to, func(c *ingest.Config) {
		c.JetStream = s.connectWithout("$JS.API.CONSUMER.RESET.>", &refused)
		c.Open = s.open(c.JetStream)
		c.Logger = zap.New(core)
	})
	to.waitMark(t, last)
	if !refused.Load() || len(logs.FilterMessageSnippet("cannot have messages delivered again at once").All()) != 1 {
		t.Errorf("it was refused: %t; the log says %v", refused.Load(), logs.All())
	}
}

// connectWithout connects as a user that may not publish on a subject, and notes
// when it is refused.
func (s *server) connectWithout(subject string, refused *atomic.Bool) jetstream.JetStream {
	s.t.Helper()
	options := &natsserver.Options{
		Host: "127.0.0.1", Port: s.port, JetStream: true, StoreDir: s.dir, NoLog: true, NoSigs: true,
		Users: []*natsserver.User{
			{Username: "all", Password: "all"},
			{Username: "less", Password: "less", Permissions: &natsserver.Permissions{Publish: &natsserver.SubjectPermission{Deny: []string{subject}}}},
		},
		NoAuthUser: "all",
	}
	s.stop()
	server, err := natsserver.NewServer(options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.nats = server
	server.Start()
	if !server.ReadyForConnections(30 * time.Second) {
		s.t.Fatal("the server takes no connections")
	}
	nc, err := nats.Connect(server.ClientURL(), nats.UserInfo("less", "less"),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { refused.Store(true) }))
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

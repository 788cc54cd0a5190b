package publish_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// pipeline is a NATS server that can be stopped and started again, on the same
// port and with what it stored.
type pipeline struct {
	t    testing.TB
	dir  string
	port int
	s    *natsserver.Server
}

func newPipeline(t testing.TB) *pipeline {
	t.Helper()
	p := &pipeline{t: t, dir: t.TempDir(), port: natsserver.RANDOM_PORT}
	t.Cleanup(p.stop)
	p.start()
	p.port = portOf(t, p.s.Addr().String())
	return p
}

func (p *pipeline) start() {
	p.t.Helper()
	s, err := startServer(p.dir, func(o *natsserver.Options) { o.Port = p.port })
	if err != nil {
		p.t.Fatal(err)
	}
	p.s = s
}

// restart starts the server again and waits until its stream answers: a server
// that is stopped while it still reads its streams leaves goroutines behind.
func (p *pipeline) restart() {
	p.t.Helper()
	p.start()
	nc, err := nats.Connect(p.s.ClientURL())
	if err != nil {
		p.t.Fatal(err)
	}
	defer nc.Close()
	testsystem.Until(p.t, "the stream answers", func() error {
		question := nats.NewMsg("login.events.acme.login") // which the stream refuses
		question.Header.Set(nats.ExpectedStreamHdr, "NONE")
		answer, err := nc.RequestMsg(question, time.Second)
		if err == nil && !strings.Contains(string(answer.Data), "10060") {
			err = errors.New(string(answer.Data))
		}
		return err
	})
}

func (p *pipeline) stop() {
	p.s.Shutdown()
	p.s.WaitForShutdown()
}

// down stops the server and waits until the connection has noticed.
func (p *pipeline) down(nc *nats.Conn) {
	p.t.Helper()
	p.stop()
	testsystem.Until(p.t, "the connection is lost", func() error {
		if nc.Status() == nats.CONNECTED {
			return errors.New("it is connected")
		}
		return nil
	})
}

// alarms collects what an outbox tells.
type alarms struct {
	mu  sync.Mutex
	all []error
}

func (a *alarms) add(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, err)
}

func (a *alarms) told() []error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.all)
}

// quick makes deliveries of tests go on soon.
func quick(dir string) publish.OutboxOptions {
	return publish.OutboxOptions{Dir: dir, RetryPause: time.Millisecond}
}

// outbox opens an outbox that delivers over nc; the test ends it without a wait.
func outbox(t testing.TB, nc *nats.Conn, options publish.OutboxOptions) *publish.Outbox {
	t.Helper()
	b, err := publisher(t, nc, publish.Options{Timeout: time.Minute, TryTimeout: 5 * time.Second, RetryPause: time.Millisecond}).OpenOutbox(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { leave(t, b) })
	return b
}

// leave closes an outbox and lets it keep what it has.
func leave(t testing.TB, b *publish.Outbox) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func flush(t testing.TB, b *publish.Outbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testsystem.Patience)
	defer cancel()
	if err := b.Flush(ctx); err != nil {
		t.Fatalf("%v; %+v", err, b.Stats())
	}
}

// keep publishes events that must go into the outbox.
func keep(t testing.TB, b *publish.Outbox, all ...event.Event) {
	t.Helper()
	for _, e := range all {
		receipt, err := b.Publish(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if !receipt.InOutbox || receipt.StreamSeq != 0 {
			t.Fatalf("receipt of %s is %+v, want it in the outbox", e.ID, receipt)
		}
	}
}

// stored are the ids of the events in the stream, in its order.
func stored(t testing.TB, s jetstream.Stream) []string {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && info.State.Msgs > 0; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := event.Decode(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

func idsOf(all []event.Event) []string {
	var ids []string
	for _, e := range all {
		ids = append(ids, e.ID)
	}
	return ids
}

func wantStored(t testing.TB, s jetstream.Stream, want []string) {
	t.Helper()
	if got := stored(t, s); !slices.Equal(got, want) {
		t.Errorf("the stream holds %d events: %v\nwant %d in this order: %v", len(got), abridged(got), len(want), abridged(want))
	}
}

func abridged(ids []string) string {
	if len(ids) > 30 {
		return strings.Join(ids[:30], " ") + fmt.Sprintf(" … %d more", len(ids)-30)
	}
	return strings.Join(ids, " ")
}

// files are the names in dir that match the pattern.
func files(t testing.TB, dir, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// eventsStream opens the stream on a new connection, which outlives the others.
func eventsStream(t testing.TB, s *natsserver.Server) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(connect(t, s))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "LOGIN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// change updates the stream.
func change(t testing.TB, nc *nats.Conn, how func(*jetstream.StreamConfig)) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config := eventsConfig()
	how(&config)
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

package app_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testserver"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// parkedPlace is a NATS server with the streams, where messages are parked.
type parkedPlace struct {
	*testserver.NATSServer
	js jetstream.JetStream
}

func newParkedPlace(t testing.TB) parkedPlace {
	t.Helper()
	s := testserver.NATS(t)
	js, err := jetstream.New(s.Connect(engine.UserOperator))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Ensure(t.Context(), js, stream.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	return parkedPlace{s, js}
}

// fetched is a message as the worker would have it.
type fetched struct {
	jetstream.Msg
	subject string
	body    []byte
	header  nats.Header
	seq     uint64
}

func (m fetched) Subject() string      { return m.subject }
func (m fetched) Data() []byte         { return m.body }
func (m fetched) Headers() nats.Header { return m.header }
func (m fetched) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{
		Stream: stream.Events, Sequence: jetstream.SequencePair{Stream: m.seq}, Timestamp: time.Unix(1_700_000_000, int64(m.seq)),
	}, nil
}

// parkAs parks messages as the worker does, with its rights.
func (p parkedPlace) parkAs(t testing.TB, reason error, messages ...fetched) {
	t.Helper()
	js, err := jetstream.New(p.Connect(engine.UserIngest))
	if err != nil {
		t.Fatal(err)
	}
	parker, places := stream.NewParker(js), make(chan struct{}, 100)
	var all sync.WaitGroup
	for _, m := range messages {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if err := parker.Park(t.Context(), m, reason); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// someEvents are n valid messages of an account, the first of sequence from.
func someEvents(account string, from, n int) []fetched {
	var all []fetched
	for i := from; i < from+n; i++ {
		body := fmt.Sprintf(`{"id":"e%d","account":%q,"username":"u%d","occurred_at":"2026-11-01T10:00:00Z","entry":1,"status":1}`, i, account, i%50)
		all = append(all, fetched{subject: "login.events." + account + ".login", body: []byte(body), seq: uint64(i)})
	}
	return all
}

func brokenBy(reason event.Reason) error {
	return &event.Error{Reason: reason, Field: "occurred_at", Detail: "is wrong: " + string(reason)}
}

// parked is a call of "loginaudit parked" as a user.
func (p parkedPlace) parked(t testing.TB, as engine.NATSUser, args ...string) testsystem.Result {
	t.Helper()
	return run(t, "", "loginaudit", append(append([]string{"parked"}, args...), p.as(t, as)...)...)
}

func (p parkedPlace) as(t testing.TB, user engine.NATSUser) []string {
	t.Helper()
	seed := map[engine.NATSUser]string{engine.UserPublisher: p.Publisher, engine.UserIngest: p.Ingest, engine.UserOperator: p.Operator}[user]
	return []string{"--nats", p.URL, "--nkey", seed, "--inbox-prefix", user.InboxPrefix(), "--data-dir", t.TempDir()}
}

// operator calls as the operator, and fails the test unless the exit status is as wanted.
func (p parkedPlace) operator(t testing.TB, status int, args ...string) testsystem.Result {
	t.Helper()
	r := p.parked(t, engine.UserOperator, args...)
	if r.Status != status {
		t.Fatalf("%v: status %d, want %d\n%s%s", args, r.Status, status, r.Out, r.Err)
	}
	return r
}

func (p parkedPlace) messages(t testing.TB, name string) uint64 {
	t.Helper()
	s, err := p.js.Stream(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

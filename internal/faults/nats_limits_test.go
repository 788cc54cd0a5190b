package faults_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/publish"
)

// asOperator are the flags of a worker that may make streams, as in serve.
func asOperator(s *faults.System) []string {
	return []string{
		"--nats-nkey=" + s.Key(engine.UserOperator), "--nats-inbox-prefix=" + engine.UserOperator.InboxPrefix(),
		"--stream-ensure", "--stream-ack-wait=2s", "--stream-duplicate-window=100ms",
	}
}

// deleteConsumer deletes the workers' consumer.
func deleteConsumer(t *testing.T, s *faults.System) {
	t.Helper()
	if err := s.JetStream().DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
		t.Fatal(err)
	}
}

// Somebody deletes the consumer under load, and with it the knowledge of what is
// acknowledged. Where the worker may, it makes another and reads the stream again
// from its beginning; where it may not, it says why it waits until the operator has
// made another. No answer changes, whatever was read twice.
func TestConsumerDeletedUnderLoadIsMadeAgainAndNothingIsLost(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	load := s.NewPublisher().Load()
	t.Run("by the worker", func(t *testing.T) {
		w := s.NewWorker(asOperator(s)...)
		w.Start()
		s.Stored(100)
		deleteConsumer(t, s)
		s.Until("the worker makes it again", func() error { return tells(w, "the stream or its consumer was deleted, making it again") })
		load.More(100)
		s.Stored(s.Confirmed())
		w.Stop()
	})
	t.Run("by the operator, where the worker may not", func(t *testing.T) {
		w := s.NewWorker()
		w.Start()
		w.Ready()
		deleteConsumer(t, s)
		s.Until("the worker says who can help", func() error {
			return says(w.NotReady(), `[-] ingest: open source: open consumer ingest of stream LOGIN_EVENTS: nats: API error: `+
				`code=404 err_code=10014 description=consumer not found ("loginaudit streams" makes it)`)
		})
		if err := w.NotLive(); err != nil {
			t.Errorf("the worker asks for another start: %v", err)
		}
		load.More(100) // publishers do not notice
		s.EnsureStreams()
		w.Ready()
	})
	load.Stop()
	s.Check()
}

// large makes up so many valid messages of about 60 KB each.
func large(t *testing.T, n int) []publish.Message {
	t.Helper()
	messages := make([]publish.Message, n)
	for i := range messages {
		e := someone("acme", fmt.Sprintf("large-%d", i))
		e.Unknown = map[string]json.RawMessage{"rest": json.RawMessage(`"` + strings.Repeat("x", 60_000) + `"`)}
		var err error
		if messages[i], err = publish.NewMessage(e); err != nil {
			t.Fatal(err)
		}
	}
	return messages
}

// someone logs in by password, some time ago.
func someone(account, id string) event.Event {
	return event.Event{
		ID: id, Account: account, Username: "ann", OccurredAt: time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC),
		Entry: 1, Status: 1, SessionID: "session of " + id,
	}
}

// The stream reaches its limit. Publishers get a typed error at once, for single
// events and for batches; nothing old is dropped, and what is there is ingested.
// When the operator has raised the limit, publishers repeat what was refused.
func TestStreamAtItsLimitRefusesNewEventsAndKeepsTheOldOnes(t *testing.T) {
	s := faults.Start(t, faults.Options{StreamFlags: []string{"--stream-max-bytes=1MiB"}})
	w, p := s.NewWorker(), s.NewPublisher()
	w.Start()
	p.Publish(100)
	refused := fill(t, p, publish.ErrStreamFull)
	var failure *publish.Error
	if err := p.Send(refused); !errors.Is(err, publish.ErrStreamFull) {
		t.Errorf("a batch gets %v, want %v", err, publish.ErrStreamFull)
	} else if errors.As(err, &failure); failure.Unknown {
		t.Errorf("the batch may be in the stream: %v", err)
	}
	full := last(t, s)
	s.Drain() // of what is there, nothing waits
	s.EnsureStreams("--stream-max-bytes=64MiB")
	if err := p.Send(refused); err != nil {
		t.Errorf("after the limit was raised: %v", err)
	}
	s.Check()
	if info, err := s.StreamInfo(); err != nil || info.State.FirstSeq != 1 || info.State.Msgs < full+uint64(len(refused)) {
		t.Errorf("the stream has %+v %v, want all messages from the first one", info.State, err)
	}
}

// fill publishes large events, one by one, until one is refused, and gives that
// one and the rest.
func fill(t *testing.T, p *faults.Publisher, want error) (refused []publish.Message) {
	t.Helper()
	messages := large(t, 500)
	for i, m := range messages {
		err := p.SendOne(m)
		if err == nil {
			continue
		}
		var failure *publish.Error
		if !errors.Is(err, want) || !errors.As(err, &failure) || failure.Unknown || failure.Code == 0 {
			t.Fatalf("a single event gets %v, want %v by the server's word", err, want)
		}
		return messages[i : i+5]
	}
	t.Fatal("the stream is not full after 30 MB")
	return nil
}

// The streams together reach the limit of the server, max-store. It is as at the
// limit of the stream; the operator gives the server more room and starts it again.
func TestServerAtItsStoreLimitRefusesNewEventsAndKeepsTheOldOnes(t *testing.T) {
	s := faults.Start(t, faults.Options{NATSFlags: []string{"--max-store=16777216"}})
	w, p := s.NewWorker(), s.NewPublisher()
	w.Start()
	refused := fill(t, p, publish.ErrResources)
	s.Drain()
	s.NATS.Stop()
	s.NATS.SetFlags("--max-store=67108864")
	s.NATS.Start()
	s.Until("what was refused is published", func() error { return p.Send(refused) })
	s.Check()
}

package app_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// TestServeMakesADeletedConsumerOrStreamAgain: what an operator's mistake took
// away must not take the page and the publishers' way in along.
func TestServeMakesADeletedConsumerOrStreamAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	nc := s.connect(t)
	now := time.Now().Add(-time.Minute)
	publishPlain(t, nc, "login.events.acme.login", line("acme", "e1", "ann", 1, now))
	there := []string{"e1"}
	s.has(t, "acme", there...)

	js := asOperator(t, s, dir)
	for _, deletion := range []struct {
		id     string
		delete func(context.Context) error
	}{
		{"e2", func(ctx context.Context) error { return js.DeleteConsumer(ctx, "LOGIN_EVENTS", "ingest") }},
		{"e3", func(ctx context.Context) error { return js.DeleteStream(ctx, "LOGIN_EVENTS") }},
	} {
		if err := deletion.delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Until(t, "the consumer is there again", func() error {
			_, err := js.Consumer(t.Context(), "LOGIN_EVENTS", "ingest")
			return err
		})
		publishPlain(t, nc, "login.events.acme.login", line("acme", deletion.id, "ann", 1, now))
		there = append(there, deletion.id)
		s.has(t, "acme", there...) // what a deleted stream held and nobody had ingested is lost
	}
}

// asOperator is JetStream as the user who may change streams.
func asOperator(t *testing.T, s system, dir string) jetstream.JetStream {
	t.Helper()
	seed, err := nats.NkeyOptionFromSeed(filepath.Join(dir, "nats", "operator.nk"))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.NATSURL(), seed, nats.CustomInboxPrefix(engine.UserOperator.InboxPrefix()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

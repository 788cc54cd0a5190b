package engine_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// startNATS starts a server and closes it when the test ends.
func startNATS(t *testing.T, cfg engine.NATSConfig) *engine.NATS {
	t.Helper()
	server := engine.NewNATS(cfg)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, server) })
	return server
}

// natsAs signs in as a user.
func natsAs(t *testing.T, server *engine.NATS, user engine.NATSUser) *nats.Conn {
	t.Helper()
	key, err := nats.NkeyOptionFromSeed(server.SeedFile(user))
	if err != nil {
		t.Fatal(err)
	}
	return natsWith(t, server.URL(), key, nats.CustomInboxPrefix(user.InboxPrefix()))
}

func natsWith(t *testing.T, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	// A refusal is looked for where one is expected; nothing is to be printed.
	options = append(options, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func jetStream(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// makeStreams makes both streams and the consumer of ingest as the operator.
func makeStreams(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	for name, subject := range map[string]string{"LOGIN_EVENTS": "login.events.>", "LOGIN_PARKED": "login.parked.>"} {
		_, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
			Name: name, Subjects: []string{subject}, Discard: jetstream.DiscardNew, AllowAtomicPublish: true, AllowDirect: true,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := js.CreateOrUpdateConsumer(t.Context(), "LOGIN_EVENTS", jetstream.ConsumerConfig{
		Durable: "ingest", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
}

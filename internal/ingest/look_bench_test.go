package ingest_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testserver"
)

// BenchmarkLook is what a claim costs before it is told: the questions to NATS.
// (BenchmarkTell of internal/store is the rest.)
func BenchmarkLook(b *testing.B) {
	s := testserver.NATS(b)
	as := func(user engine.NATSUser) jetstream.JetStream {
		js, err := jetstream.New(s.Connect(user))
		if err != nil {
			b.Fatal(err)
		}
		return js
	}
	operator := as(engine.UserOperator)
	if err := stream.Ensure(b.Context(), operator, stream.DefaultSettings()); err != nil {
		b.Fatal(err)
	}
	for range 100 {
		if _, err := operator.Publish(b.Context(), "login.events.acme.login", []byte("{}")); err != nil {
			b.Fatal(err)
		}
	}
	events, consumer, err := stream.Open(b.Context(), as(engine.UserIngest))
	if err != nil {
		b.Fatal(err)
	}
	msg, err := consumer.Next()
	if err == nil {
		err = msg.DoubleAck(b.Context()) // a floor within the stream is asked for its time
	}
	if err != nil {
		b.Fatal(err)
	}
	look := ingest.Looker(events, consumer)
	for b.Loop() {
		if err := look(b.Context(), ingest.Anchor{Seq: 50}); err != nil {
			b.Fatal(err)
		}
	}
}

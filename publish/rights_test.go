package publish_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testserver"
	"github.com/loginaudit/loginaudit/publish"
)

// TestPublisherNeedsNoMoreThanTheRightsOfThePublisherUser publishes to the
// embedded server of `serve`, which syncs every write and lets publishers do
// little.
func TestPublisherNeedsNoMoreThanTheRightsOfThePublisherUser(t *testing.T) {
	s := testserver.NATS(t)
	js, err := jetstream.New(s.Connect(engine.UserOperator))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Ensure(t.Context(), js, stream.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	violations := make(chan error, 100)
	nc := s.Connect(engine.UserPublisher, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err }))
	p := publisher(t, nc, publish.Options{})
	if _, err := p.Publish(t.Context(), login("single")); err != nil {
		t.Error(err)
	}
	if _, err := p.PublishBatch(t.Context(), logins(2000)); err != nil {
		t.Error(err)
	}
	events, err := js.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	if n := messages(t, events); n != 2001 {
		t.Errorf("the stream holds %d messages, want 2001", n)
	}
	for len(violations) > 0 {
		t.Error(<-violations)
	}
}

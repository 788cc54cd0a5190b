package ingest_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testserver"
)

// TestLoopNeedsNoMoreThanTheRightsOfTheIngestUser runs the loop on the embedded
// server of `serve`, which syncs every write and gives the worker few rights.
func TestLoopNeedsNoMoreThanTheRightsOfTheIngestUser(t *testing.T) {
	t.Parallel()
	s := testserver.NATS(t)
	asOperator, err := jetstream.New(s.Connect(engine.UserOperator))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Ensure(t.Context(), asOperator, stream.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	violations := make(chan error, 100)
	asIngest, err := jetstream.New(s.Connect(engine.UserIngest,
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err })))
	if err != nil {
		t.Fatal(err)
	}
	asPublisher, err := jetstream.New(s.Connect(engine.UserPublisher))
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range [][]byte{encode(t, login("a")), []byte("bad"), encode(t, login("b"))} {
		if _, err := asPublisher.Publish(t.Context(), "login.events.acme.login", body); err != nil {
			t.Fatal(err)
		}
	}
	// The worker may set the consumer back where somebody has moved it.
	if _, err := asOperator.ResetConsumerToSequence(t.Context(), stream.Events, stream.Consumer, 3); err != nil {
		t.Fatal(err)
	}
	to := newSink()
	loop, err := ingest.New(ingest.Config{
		JetStream: asIngest, Sink: to, Journal: to, Park: parkWith(stream.NewParker(asIngest).Park), Classify: classify,
		Open: func(ctx context.Context) (jetstream.Stream, jetstream.Consumer, error) {
			return stream.Open(ctx, asIngest)
		},
		Logger: zap.NewNop(), Registerer: prometheus.NewRegistry(),
		MaxMessages: 1, MaxWait: time.Millisecond, WatermarkEvery: 5 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- loop.Run(ctx) }()
	to.waitMark(t, 3)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := to.stored(); !slices.Equal(got, []uint64{1, 3}) {
		t.Errorf("stored are %v, want 1 and 3: 2 is parked", got)
	}
	for len(violations) > 0 {
		t.Error(<-violations)
	}
}

package emit_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testserver"
	"github.com/loginaudit/loginaudit/publish"
	"github.com/nats-io/nats.go/jetstream"
)

func publisher(t testing.TB, s *testserver.NATSServer, o publish.Options) *publish.Publisher {
	t.Helper()
	p, err := publish.New(s.Connect(engine.UserPublisher), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func withStreams(t testing.TB) *testserver.NATSServer {
	t.Helper()
	s := testserver.NATS(t)
	js, err := jetstream.New(s.Connect(engine.UserOperator))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Ensure(t.Context(), js, stream.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSendPublishesEveryEventAndTellsOfEach(t *testing.T) {
	p := publisher(t, withStreams(t), publish.Options{})
	events := collect(generator(t, emit.Options{Accounts: 2, Users: 20}).Generate(noon.AddDate(0, 0, -3), noon))
	for _, duplicates := range []int{0, len(events)} { // sending it again adds nothing
		told, repeats := 0, 0
		err := emit.Send(t.Context(), p, slices.Values(events), 0, func(r publish.Result) {
			told++
			if r.Receipt.Duplicate {
				repeats++
			}
			if r.Err != nil {
				t.Error(r.Err)
			}
		})
		if err != nil || told != len(events) || repeats != duplicates {
			t.Errorf("told %d of %d, %d repeats, %v", told, len(events), repeats, err)
		}
	}
}

func TestSendEndsWithItsContextAndWhatItSentIsConfirmed(t *testing.T) {
	p := publisher(t, withStreams(t), publish.Options{})
	for _, rate := range []float64{0, 200} {
		ctx, cancel := context.WithCancel(t.Context())
		confirmed := 0
		err := emit.Send(ctx, p, generator(t, emit.Options{Accounts: 1, Users: 5}).Live(time.Now), rate, func(r publish.Result) {
			if r.Err == nil {
				confirmed++
			}
			cancel()
		})
		if err != nil || confirmed == 0 {
			t.Errorf("rate %g: %d confirmed, %v", rate, confirmed, err)
		}
	}
}

func TestSendTellsWhyItCannotPublish(t *testing.T) {
	noStream := publisher(t, testserver.NATS(t), publish.Options{BatchTimeout: 100 * time.Millisecond, BatchMessages: 10})
	g := generator(t, emit.Options{Accounts: 1, Users: 5})
	if err := emit.Send(t.Context(), noStream, g.Live(time.Now), 0, func(publish.Result) {}); !errors.Is(err, publish.ErrUnavailable) {
		t.Errorf("no stream: %v", err)
	}
	invalid := []event.Event{{ID: "no account"}}
	if err := emit.Send(t.Context(), noStream, slices.Values(invalid), 0, func(publish.Result) {}); err == nil {
		t.Error("an invalid event was sent")
	}
}

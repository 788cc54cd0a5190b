package publish_test

import (
	"context"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

func TestPublishedEventIsInTheStreamAsItWasEncoded(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	receipt, err := publisher(t, nc, publish.Options{}).Publish(t.Context(), login("e-1"))
	if err != nil {
		t.Fatal(err)
	}
	if receipt != (publish.Receipt{StreamSeq: 1, Tries: 1}) {
		t.Errorf("receipt is %+v", receipt)
	}
	stored, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	want := message(t, login("e-1"))
	if stored.Subject != "login.events.acme.login" || string(stored.Data) != string(want.Body) {
		t.Errorf("stored is %s %s", stored.Subject, stored.Data)
	}
	if id := stored.Header.Get("Nats-Msg-Id"); id != event.MessageID(want.Hash) {
		t.Errorf("the message id is %q, want the content hash %q", id, event.MessageID(want.Hash))
	}
}

func TestRawBodyIsPublishedByteForByte(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	body := `{ "status": 2,"entry":1, "occurred_at":"2026-11-23T10:00:00.5+01:00",  "username":"ada","account":"acme","id":"r-1","extra":[1,2.50]}`
	m, err := publish.ParseMessage([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publisher(t, nc, publish.Options{}).PublishMessage(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	stored, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if string(stored.Data) != body || stored.Subject != "login.events.acme.logout" {
		t.Errorf("stored is %s %s", stored.Subject, stored.Data)
	}
}

func TestFirstTryThatTheStreamHasAlreadyIsToldAsDuplicate(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	p := publisher(t, nc, publish.Options{})
	for try, want := range []bool{false, true} {
		receipt, err := p.Publish(t.Context(), login("e-1"))
		if err != nil {
			t.Fatal(err)
		}
		if receipt.Duplicate != want || receipt.StreamSeq != 1 {
			t.Errorf("publish %d: receipt is %+v, want Duplicate %t", try+1, receipt, want)
		}
	}
	if n := messages(t, stream); n != 1 {
		t.Errorf("the stream holds %d messages, want 1", n)
	}
}

func TestSameIDWithOtherContentIsNoDuplicate(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	p := publisher(t, nc, publish.Options{})
	other := login("e-1")
	other.Username = "eve"
	for _, e := range []event.Event{login("e-1"), other} {
		if receipt, err := p.Publish(t.Context(), e); err != nil || receipt.Duplicate {
			t.Errorf("receipt %+v, error %v", receipt, err)
		}
	}
	if n := messages(t, stream); n != 2 {
		t.Errorf("the stream holds %d messages, want 2", n)
	}
}

// wantError checks kind, and whether the event may be stored all the same.

// silent is a subscriber that takes messages and never answers.

func TestPublishGoesOnWhenTheServerComesBack(t *testing.T) {
	dir := t.TempDir()
	first, err := startServer(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	port := first.Addr().String()
	nc := connect(t, first)
	events(t, nc, nil)
	p := publisher(t, nc, publish.Options{Timeout: time.Minute, TryTimeout: 200 * time.Millisecond})
	first.Shutdown()
	first.WaitForShutdown()

	published := make(chan error, 1)
	go func() {
		_, err := p.Publish(context.WithoutCancel(t.Context()), login("e-1"))
		published <- err
	}()
	second, err := startServer(dir, func(o *natsserver.Options) { o.Port = portOf(t, port) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		second.Shutdown()
		second.WaitForShutdown()
	})
	if err := <-published; err != nil {
		t.Fatal(err)
	}
}

func TestLostAnswerIsNotToldAsDuplicate(t *testing.T) {
	nc := connect(t, server(t, nil))
	tries := make(chan int, 100)
	n := 0
	if _, err := nc.Subscribe("login.events.>", func(m *nats.Msg) {
		n++
		tries <- n
		if n > 1 { // the answer to the first try is lost; the second finds it stored
			_ = m.Respond([]byte(`{"stream":"LOGIN_EVENTS","seq":9,"duplicate":true}`))
		}
	}); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, nc, publish.Options{Timeout: time.Minute, TryTimeout: 50 * time.Millisecond, RetryPause: time.Millisecond})
	receipt, err := p.Publish(t.Context(), login("e-1"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (publish.Receipt{StreamSeq: 9, Tries: 2}); receipt != want {
		t.Errorf("receipt is %+v, want %+v", receipt, want)
	}
}

func TestWrongOptionsAreRefusedByName(t *testing.T) {
	nc := connect(t, server(t, nil))
	cases := map[string]publish.Options{
		"Timeout":         {Timeout: -1},
		"TryTimeout":      {TryTimeout: -1},
		"RetryPause":      {RetryPause: -1},
		"BatchTimeout":    {BatchTimeout: -1},
		"Linger":          {Linger: -1},
		"BatchMessages":   {BatchMessages: 1001},
		"BatchBytes":      {BatchBytes: -1},
		"BatchesInFlight": {BatchesInFlight: 51},
		"Window":          {Window: -1},
	}
	for name, options := range cases {
		if _, err := publish.New(nc, options); err == nil || !strings.Contains(err.Error(), "option "+name+" ") {
			t.Errorf("%s: error is %v, want it to name the option", name, err)
		}
	}
	if _, err := publish.New(nil, publish.Options{}); err == nil {
		t.Error("a nil connection is accepted")
	}
}

package publish_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

func wantError(t *testing.T, err, kind error, unknown bool) *publish.Error {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error is %v, want the kind %q", err, kind)
	}
	var e *publish.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is a %T, want a *publish.Error", err)
	}
	if e.Unknown != unknown {
		t.Errorf("Unknown is %t, want %t (%v)", e.Unknown, unknown, err)
	}
	return e
}

func TestInvalidEventIsRefusedWithItsFieldAndNothingIsSent(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	_, err := publisher(t, nc, publish.Options{}).Publish(t.Context(), login("has space"))
	wantError(t, err, publish.ErrInvalid, false)
	var broken *event.Error
	if !errors.As(err, &broken) || broken.Field != "id" || broken.Reason != event.ReasonBadCharacters {
		t.Errorf("error is %v, want the field id and its rule", err)
	}
	if n := messages(t, stream); n != 0 {
		t.Errorf("the stream holds %d messages, want none", n)
	}
}

func TestMessageThatWasMadeByHandIsRefused(t *testing.T) {
	nc := connect(t, server(t, nil))
	_, err := publisher(t, nc, publish.Options{}).PublishMessage(t.Context(), publish.Message{Body: []byte("{}")})
	wantError(t, err, publish.ErrInvalid, false)
}

func TestFullStreamIsToldAtOnce(t *testing.T) {
	nc := connect(t, server(t, nil))
	events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
	p := publisher(t, nc, publish.Options{})
	if _, err := p.Publish(t.Context(), login("e-1")); err != nil {
		t.Fatal(err)
	}
	_, err := p.Publish(t.Context(), login("e-2"))
	if e := wantError(t, err, publish.ErrStreamFull, false); e.Code != 10077 {
		t.Errorf("the code is %d, want 10077", e.Code)
	}
}

func TestServerWithoutStorageIsToldAsOutOfResources(t *testing.T) {
	s := server(t, func(o *natsserver.Options) { o.JetStreamMaxStore = 1 << 20 })
	nc := connect(t, s)
	events(t, nc, nil)
	p := publisher(t, nc, publish.Options{})
	var err error
	for i := 0; err == nil && i < 100; i++ {
		e := login("big-" + strings.Repeat("x", i))
		e.Attributes = map[string]string{}
		for k := range 32 {
			e.Attributes[strings.Repeat("k", k+1)] = strings.Repeat("v", 1024)
		}
		_, err = p.Publish(t.Context(), e)
	}
	wantError(t, err, publish.ErrResources, false)
}

func TestMessageThatTheStreamFindsTooLargeIsToldAsTooLarge(t *testing.T) {
	nc := connect(t, server(t, nil))
	events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 128 })
	_, err := publisher(t, nc, publish.Options{}).Publish(t.Context(), login("e-1"))
	if e := wantError(t, err, publish.ErrTooLarge, false); e.Code != 10054 {
		t.Errorf("the code is %d, want 10054", e.Code)
	}
}

func TestMessageThatTheServerFindsTooLargeIsToldAsTooLarge(t *testing.T) {
	nc := connect(t, server(t, func(o *natsserver.Options) { o.MaxPayload = 100 }))
	_, err := publisher(t, nc, publish.Options{}).Publish(t.Context(), login("e-1"))
	wantError(t, err, publish.ErrTooLarge, false)
}

func TestBodyOverTheContractsLimitIsNotSent(t *testing.T) {
	nc := connect(t, server(t, nil))
	m := message(t, login("e-1"))
	m.Body = append(m.Body, make([]byte, event.MaxBody)...)
	_, err := publisher(t, nc, publish.Options{}).PublishMessage(t.Context(), m)
	wantError(t, err, publish.ErrTooLarge, false)
}

func TestMissingStreamIsToldAsUnavailableAfterTheTimeout(t *testing.T) {
	nc := connect(t, server(t, nil))
	_, err := publisher(t, nc, publish.Options{Timeout: 300 * time.Millisecond}).Publish(t.Context(), login("e-1"))
	wantError(t, err, publish.ErrUnavailable, false)
}

func TestOtherStreamOnTheSubjectIsNotTakenForOurs(t *testing.T) {
	nc := connect(t, server(t, nil))
	other := events(t, nc, func(c *jetstream.StreamConfig) { c.Name = "SOMETHING_ELSE" })
	_, err := publisher(t, nc, publish.Options{}).Publish(t.Context(), login("e-1"))
	if e := wantError(t, err, publish.ErrRefused, false); e.Code != 10060 {
		t.Errorf("the code is %d, want 10060", e.Code)
	}
	if n := messages(t, other); n != 0 {
		t.Errorf("the other stream holds %d messages, want none", n)
	}
}

func TestAnswerThatIsNoAcknowledgementIsNotTakenForOne(t *testing.T) {
	answers := map[string]string{
		"empty":         "",
		"not JSON":      "ok",
		"other stream":  `{"stream":"ELSE","seq":7}`,
		"without a seq": `{"stream":"LOGIN_EVENTS"}`,
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			nc := connect(t, server(t, nil))
			if _, err := nc.Subscribe("login.events.>", func(m *nats.Msg) { _ = m.Respond([]byte(answer)) }); err != nil {
				t.Fatal(err)
			}
			_, err := publisher(t, nc, publish.Options{}).Publish(t.Context(), login("e-1"))
			wantError(t, err, publish.ErrRefused, true)
		})
	}
}

func silent(t *testing.T, nc *nats.Conn) <-chan *nats.Msg {
	t.Helper()
	arrived := make(chan *nats.Msg, 100)
	if _, err := nc.ChanSubscribe("login.events.>", arrived); err != nil {
		t.Fatal(err)
	}
	return arrived
}

func TestSilenceIsATimeoutAfterSeveralTriesAndTheOutcomeIsUnknown(t *testing.T) {
	nc := connect(t, server(t, nil))
	arrived := silent(t, nc)
	options := publish.Options{Timeout: 200 * time.Millisecond, TryTimeout: 20 * time.Millisecond, RetryPause: time.Millisecond}
	_, err := publisher(t, nc, options).Publish(t.Context(), login("e-1"))
	wantError(t, err, publish.ErrTimeout, true)
	if n := len(arrived); n < 2 {
		t.Errorf("the event was sent %d times, want several", n)
	}
}

func TestCallersDeadlineBoundsPublish(t *testing.T) {
	nc := connect(t, server(t, nil))
	silent(t, nc)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := publisher(t, nc, publish.Options{Timeout: time.Hour}).Publish(ctx, login("e-1"))
	wantError(t, err, publish.ErrTimeout, true)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want it to be context.DeadlineExceeded too", err)
	}
}

func TestCancelledContextEndsPublish(t *testing.T) {
	nc := connect(t, server(t, nil))
	arrived := silent(t, nc)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := publisher(t, nc, publish.Options{Timeout: time.Hour}).Publish(ctx, login("e-1"))
	wantError(t, err, publish.ErrCanceled, true)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want it to be context.Canceled too", err)
	}
}

func TestNothingIsSentForACallerWhoHasGivenUp(t *testing.T) {
	nc := connect(t, server(t, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := publisher(t, nc, publish.Options{}).Publish(ctx, login("e-1"))
	wantError(t, err, publish.ErrCanceled, false)
}

func TestMissingPermissionIsToldAsDenied(t *testing.T) {
	s := server(t, func(o *natsserver.Options) {
		o.Users = []*natsserver.User{
			{Username: "all", Password: "all"},
			{Username: "beta", Password: "beta", Permissions: &natsserver.Permissions{
				Publish: &natsserver.SubjectPermission{Allow: []string{"login.events.beta.>"}},
			}},
			{Username: "deaf", Password: "deaf", Permissions: &natsserver.Permissions{
				Subscribe: &natsserver.SubjectPermission{Deny: []string{">"}},
			}},
		}
	})
	events(t, connect(t, s, nats.UserInfo("all", "all")), nil)
	options := publish.Options{TryTimeout: 100 * time.Millisecond}

	t.Run("to publish for the account", func(t *testing.T) {
		nc := connect(t, s, nats.UserInfo("beta", "beta"))
		_, err := publisher(t, nc, options).Publish(t.Context(), login("e-1"))
		wantError(t, err, publish.ErrDenied, false)
	})
	t.Run("to receive the answer", func(t *testing.T) {
		nc := connect(t, s, nats.UserInfo("deaf", "deaf"))
		p := publisher(t, nc, options)
		for range 2 {
			_, err := p.Publish(t.Context(), login("e-2"))
			wantError(t, err, publish.ErrDenied, true)
		}
	})
	t.Run("in a batch, event by event", func(t *testing.T) {
		nc := connect(t, s, nats.UserInfo("beta", "beta"))
		allowed := login("e-3")
		allowed.Account = "beta"
		results, err := publisher(t, nc, options).PublishBatch(t.Context(), []event.Event{allowed, login("e-4")})
		wantError(t, err, publish.ErrDenied, false)
		if results[0].Err != nil || !errors.Is(results[1].Err, publish.ErrDenied) {
			t.Errorf("results are %+v, want the first published and the second denied", results)
		}
	})
}

func TestStoppedServerIsToldAsUnavailableAndNothingIsKeptForLater(t *testing.T) {
	s := server(t, nil)
	lost := make(chan struct{})
	nc := connect(t, s, nats.DisconnectErrHandler(func(*nats.Conn, error) { close(lost) }))
	p := publisher(t, nc, publish.Options{Timeout: 300 * time.Millisecond})
	s.Shutdown()
	s.WaitForShutdown()
	<-lost
	_, err := p.Publish(t.Context(), login("e-1"))
	wantError(t, err, publish.ErrUnavailable, false)
	if n, err := nc.Buffered(); err == nil && n != 0 {
		t.Errorf("the connection keeps %d bytes to send later, want none", n)
	}
}

func TestClosedConnectionIsToldAtOnce(t *testing.T) {
	nc := connect(t, server(t, nil))
	p := publisher(t, nc, publish.Options{Timeout: time.Hour})
	nc.Close()
	_, err := p.Publish(t.Context(), login("e-1"))
	wantError(t, err, publish.ErrUnavailable, false)
	if !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("error is %v, want it to be nats.ErrConnectionClosed too", err)
	}
}

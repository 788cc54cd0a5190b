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
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

func TestWhileThePipelineIsUpTheOutboxStaysEmptyAndEventsAreConfirmed(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	dir := t.TempDir()
	b := outbox(t, nc, quick(dir))
	for i, e := range logins(3) {
		receipt, err := b.Publish(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if want := (publish.Receipt{StreamSeq: uint64(i + 1), Tries: 1}); receipt != want {
			t.Errorf("receipt is %+v, want %+v", receipt, want)
		}
	}
	wantStored(t, stream, idsOf(logins(3)))
	if got := b.Stats(); got != (publish.OutboxStats{}) {
		t.Errorf("stats are %+v, want all zero", got)
	}
	if segments := files(t, dir, "segment-*"); len(segments) > 0 {
		t.Errorf("files are written: %v", segments)
	}
}

func TestEventsPublishedDuringAnOutageArriveOnceInOrderWithThoseAfterIt(t *testing.T) {
	p := newPipeline(t)
	nc := connect(t, p.s)
	events(t, nc, nil)
	dir := t.TempDir()
	b := outbox(t, nc, quick(dir))
	all := logins(300)
	for _, e := range all[:100] {
		if _, err := b.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	p.down(nc)
	keep(t, b, all[100:200]...)
	if s := b.Stats(); s.Records != 100 || s.Stored != 100 || s.Bytes == 0 || s.Oldest.IsZero() {
		t.Errorf("stats are %+v, want 100 records that wait", s)
	}
	p.restart()
	for _, e := range all[200:] { // some behind the waiting ones, some direct
		if _, err := b.Publish(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, b)
	wantStored(t, eventsStream(t, p.s), idsOf(all))
	s := b.Stats()
	if s.Records != 0 || s.Bytes != 0 || !s.Oldest.IsZero() || s.Delivered != s.Stored || s.LastError != nil {
		t.Errorf("stats are %+v, want all delivered", s)
	}
	testsystem.Until(t, "no delivered event stays on this disk", func() error {
		if left := files(t, dir, "segment-*"); len(left) > 0 {
			return errors.New(strings.Join(left, " "))
		}
		return nil
	})
}

func TestServiceStartsWhileTheServerIsDown(t *testing.T) {
	p := newPipeline(t)
	events(t, connect(t, p.s), nil)
	url := p.s.ClientURL()
	p.stop()
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	b := outbox(t, nc, quick(t.TempDir()))
	keep(t, b, logins(3)...)
	p.restart()
	flush(t, b)
	wantStored(t, eventsStream(t, p.s), idsOf(logins(3)))
}

func TestEventsWaitForAStreamThatIsNotThereYet(t *testing.T) {
	nc := connect(t, server(t, nil))
	b := outbox(t, nc, quick(t.TempDir()))
	keep(t, b, logins(3)...)
	testsystem.Until(t, "the reason is told", func() error {
		if err := b.Stats().LastError; !errors.Is(err, publish.ErrUnavailable) {
			return errors.Join(errors.New("the last error is"), err)
		}
		return nil
	})
	stream := events(t, nc, nil)
	flush(t, b)
	wantStored(t, stream, idsOf(logins(3)))
}

func TestEventsWaitForAStreamThatIsFull(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = 2 })
	b := outbox(t, nc, quick(t.TempDir()))
	all := logins(6)
	for _, e := range all[:2] {
		if receipt, err := b.Publish(t.Context(), e); err != nil || receipt.InOutbox {
			t.Fatalf("receipt %+v, error %v", receipt, err)
		}
	}
	keep(t, b, all[2:]...)
	testsystem.Until(t, "the reason is told", func() error {
		if err := b.Stats().LastError; !errors.Is(err, publish.ErrStreamFull) {
			return errors.Join(errors.New("the last error is"), err)
		}
		return nil
	})
	change(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = 100 })
	flush(t, b)
	wantStored(t, stream, idsOf(all))
}

func TestEventWhoseAnswerIsLostIsKeptAndArrivesOnce(t *testing.T) {
	s := server(t, nil)
	nc := connect(t, s)
	arrived := silent(t, nc)
	options := quick(t.TempDir())
	options.DirectTimeout = 20 * time.Millisecond
	b, err := publisher(t, nc, publish.Options{TryTimeout: 50 * time.Millisecond, Timeout: time.Minute}).OpenOutbox(options)
	if err != nil {
		t.Fatal(err)
	}
	defer leave(t, b)
	receipt, err := b.Publish(t.Context(), login("e-1"))
	if err != nil || receipt != (publish.Receipt{InOutbox: true, Tries: 1}) {
		t.Fatalf("receipt %+v, error %v", receipt, err)
	}
	for range 2 {
		<-arrived // directly, and from the outbox
	}
	stream := events(t, connect(t, s), nil)
	flush(t, b)
	wantStored(t, stream, []string{"e-1"})
}

func TestWhatWaitingDoesNotMendIsToldAtOnceAndNotStored(t *testing.T) {
	s := server(t, func(o *natsserver.Options) {
		o.Users = []*natsserver.User{
			{Username: "all", Password: "all"},
			{Username: "beta", Password: "beta", Permissions: &natsserver.Permissions{
				Publish: &natsserver.SubjectPermission{Allow: []string{"login.events.beta.>"}},
			}},
		}
	})
	all := connect(t, s, nats.UserInfo("all", "all"))
	events(t, all, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
	beta := outbox(t, connect(t, s, nats.UserInfo("beta", "beta")), quick(t.TempDir()))
	b := outbox(t, all, quick(t.TempDir()))
	big := login("e-2")
	big.Reason = strings.Repeat("x", 500)
	large := message(t, login("e-3"))
	large.Body = append(large.Body, make([]byte, event.MaxBody)...)

	_, err := b.Publish(t.Context(), login("has space"))
	wantError(t, err, publish.ErrInvalid, false)
	_, err = b.PublishMessage(t.Context(), publish.Message{Body: []byte("{}")})
	wantError(t, err, publish.ErrInvalid, false)
	_, err = b.PublishMessage(t.Context(), large)
	wantError(t, err, publish.ErrTooLarge, false)
	_, err = b.Publish(t.Context(), big)
	wantError(t, err, publish.ErrTooLarge, false)
	_, err = beta.Publish(t.Context(), login("e-4"))
	wantError(t, err, publish.ErrDenied, false)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Publish(canceled, login("e-5"))
	wantError(t, err, publish.ErrCanceled, false)
	for _, o := range []*publish.Outbox{b, beta} {
		if s := o.Stats(); s.Records != 0 || s.Stored != 0 {
			t.Errorf("stats are %+v, want nothing stored", s)
		}
	}
}

func TestSubjectThatIsTooLongForARecordIsInvalidInAnOutbox(t *testing.T) {
	nc := connect(t, server(t, nil))
	b := outbox(t, nc, quick(t.TempDir()))
	m := message(t, login("e-1"))
	m.Subject += "." + strings.Repeat("x", 300)
	_, err := b.PublishMessage(t.Context(), m)
	wantError(t, err, publish.ErrInvalid, false)
}

func TestFullOutboxIsToldAtOnceWithTheReasonOfTheDelivery(t *testing.T) {
	nc := connect(t, server(t, nil))
	options := quick(t.TempDir())
	options.MaxRecords = 2
	b := outbox(t, nc, options)
	all := logins(4)
	keep(t, b, all[:2]...)
	_, err := b.Publish(t.Context(), all[2])
	wantError(t, err, publish.ErrOutboxFull, false)
	if s := b.Stats(); s.Full != 1 || s.Records != 2 {
		t.Errorf("stats are %+v, want one turned away", s)
	}
	stream := events(t, nc, nil)
	flush(t, b)
	if _, err := b.Publish(t.Context(), all[3]); err != nil {
		t.Error(err)
	}
	wantStored(t, stream, []string{all[0].ID, all[1].ID, all[3].ID})
}

func TestOutboxTakesNoMoreBytesThanItMay(t *testing.T) {
	nc := connect(t, server(t, nil))
	options := quick(t.TempDir())
	options.MaxBytes = 1 << 20
	b := outbox(t, nc, options)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		e := login("big-" + strings.Repeat("x", i%100))
		e.Attributes = map[string]string{}
		for k := range 30 {
			e.Attributes[strings.Repeat("k", k+1)] = strings.Repeat("v", 1000)
		}
		_, err = b.Publish(t.Context(), e)
	}
	wantError(t, err, publish.ErrOutboxFull, false)
	if s := b.Stats(); s.Bytes > 1<<20 || s.Bytes < 900_000 || s.Records < 20 {
		t.Errorf("stats are %+v, want a little under 1 MiB", s)
	}
}

func TestClosedOutboxKeepsWhatItHasForTheNext(t *testing.T) {
	nc := connect(t, server(t, nil))
	dir := t.TempDir()
	first := outbox(t, nc, quick(dir))
	keep(t, first, logins(3)...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := first.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "3 events stay") {
		t.Errorf("error is %v, want it to tell 3 events", err)
	}
	_, err := first.Publish(t.Context(), login("e-9"))
	wantError(t, err, publish.ErrOutboxClosed, false)

	second := outbox(t, nc, quick(dir))
	if s := second.Stats(); s.Records != 3 || s.Bytes == 0 || s.Oldest.IsZero() {
		t.Errorf("stats are %+v, want the 3 records", s)
	}
	stream := events(t, nc, nil)
	if err := second.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := second.Close(t.Context()); err != nil {
		t.Errorf("the second close: %v", err)
	}
	wantStored(t, stream, idsOf(logins(3)))
	if left := files(t, dir, "segment-*"); len(left) > 0 {
		t.Errorf("files stay: %v", left)
	}
}

func TestClosedConnectionKeepsEventsForTheNextStart(t *testing.T) {
	s := server(t, nil)
	nc := connect(t, s)
	dir := t.TempDir()
	b := outbox(t, nc, quick(dir))
	nc.Close()
	keep(t, b, logins(3)...)
	testsystem.Until(t, "the reason is told", func() error {
		if err := b.Stats().LastError; !errors.Is(err, nats.ErrConnectionClosed) {
			return errors.Join(errors.New("the last error is"), err)
		}
		return nil
	})
	leave(t, b)
	other := connect(t, s)
	stream := events(t, other, nil)
	flush(t, outbox(t, other, quick(dir)))
	wantStored(t, stream, idsOf(logins(3)))
}

func TestRestartSendsOnlyWhatIsNotDelivered(t *testing.T) {
	nc := connect(t, server(t, nil))
	dir := t.TempDir()
	first := outbox(t, nc, quick(dir))
	all := logins(10)
	keep(t, first, all...)
	events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = 5 })
	testsystem.Until(t, "5 are delivered", func() error {
		if s := first.Stats(); s.Delivered != 5 {
			return errors.New("not yet")
		}
		return nil
	})
	leave(t, first)
	sent := silent(t, nc) // beside the stream: it sees what is sent from now on
	change(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = 100 })
	second := outbox(t, nc, quick(dir))
	if s := second.Stats(); s.Records != 5 {
		t.Errorf("stats are %+v, want 5 records", s)
	}
	flush(t, second)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	m := <-sent
	if e, _, err := event.Decode(m.Data); err != nil || e.ID != all[5].ID {
		t.Errorf("sent first is %s (%v), want %s", e.ID, err, all[5].ID)
	}
}

func TestEventThatFindsTheOutboxClosedAfterItsTryIsToldSo(t *testing.T) {
	nc := connect(t, server(t, nil))
	arrived := silent(t, nc)
	options := quick(t.TempDir())
	options.DirectTimeout = time.Minute
	b := outbox(t, nc, options)
	published := make(chan error, 1)
	go func() {
		_, err := b.Publish(t.Context(), login("e-1"))
		published <- err
	}()
	m := <-arrived
	leave(t, b)
	if err := m.Respond([]byte(`{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}`)); err != nil {
		t.Fatal(err)
	}
	err := <-published
	wantError(t, err, publish.ErrOutboxClosed, false)
	if !errors.Is(err, publish.ErrStreamFull) {
		t.Errorf("error is %v, want the reason of the delivery in it", err)
	}
}

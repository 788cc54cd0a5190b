package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/publish"
)

func login(id string) event.Event {
	return event.Event{
		ID: id, Account: "acme", Username: "ann", Entry: 1, Status: 1,
		OccurredAt: time.Now().UTC().Truncate(time.Microsecond), SessionID: "s-" + id,
	}
}

// Publishers are in other accounts than the stream, and are told all the same
// what became of what they sent.
func TestTheAnswersOfTheStreamReachPublishersInTheirAccounts(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	all := publishers(t, server)
	for who, nc := range all {
		_, err := nc.RequestWithContext(t.Context(), "login.events.acme.login", []byte("{}"))
		if !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("%s publisher, without a stream: %v", who, err)
		}
	}
	operator := jetStream(t, natsAs(t, server, engine.UserOperator))
	makeStreams(t, operator)
	for who, nc := range all {
		p, err := publish.New(nc, publish.Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		single := login(who)
		for _, duplicate := range []bool{false, true} {
			if receipt, err := p.Publish(t.Context(), single); err != nil || receipt.Duplicate != duplicate {
				t.Errorf("%s publisher: %+v %v, want duplicate: %v", who, receipt, err, duplicate)
			}
		}
		batch := []event.Event{login(who + "-1"), login(who + "-2"), single} // the last has the batch refused by 10201
		results, err := p.PublishBatch(t.Context(), batch)
		if err != nil || !results[2].Receipt.Duplicate || results[1].Receipt.Duplicate {
			t.Errorf("%s publisher, batch with a repeat: %+v %v", who, results, err)
		}
		bulk(t, p, who, 3000)
	}
	s, err := operator.Stream(t.Context(), "LOGIN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 2*3003 {
		t.Errorf("the stream holds %d messages, want %d", n, 2*3003)
	}
	if last, err := s.GetMsg(t.Context(), s.CachedInfo().State.LastSeq); err != nil || last.Header.Get("Nats-Request-Info") != "" {
		t.Errorf("a stored message tells of the accounts: %v %v", last, err)
	}
}

// bulk publishes n events of which the stream has none.
func bulk(t *testing.T, p *publish.Publisher, who string, n int) {
	t.Helper()
	b := p.Bulk(t.Context(), func(r publish.Result) {
		if r.Err != nil || r.Receipt.Duplicate {
			t.Errorf("%s publisher, bulk: %+v", who, r)
		}
	})
	for i := range n {
		m, err := publish.NewMessage(login(fmt.Sprintf("%s-bulk-%d", who, i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Errorf("%s publisher, bulk: %v", who, err)
	}
}

func TestAFullStreamAndAFullDiskAreToldToPublishers(t *testing.T) {
	const least = 16 << 20
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: least})
	operator := jetStream(t, natsAs(t, server, engine.UserOperator))
	for code, maxBytes := range map[jetstream.ErrorCode]int64{10077: 1 << 20, 10023: -1} {
		_, err := operator.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{
			Name: "LOGIN_EVENTS", Subjects: []string{"login.events.>"}, Discard: jetstream.DiscardNew, MaxBytes: maxBytes,
		})
		if err != nil {
			t.Fatal(err)
		}
		for who, nc := range publishers(t, server) {
			js, body := jetStream(t, nc), bytes.Repeat([]byte("x"), 512<<10)
			for range 2 * least / len(body) {
				if _, err = js.Publish(t.Context(), "login.events.acme.login", body); err != nil {
					break
				}
			}
			var refusal *jetstream.APIError
			if !errors.As(err, &refusal) || refusal.ErrorCode != code {
				t.Errorf("%s publisher, with at most %d bytes: %v, want error %d", who, maxBytes, err, code)
			}
		}
		if err := operator.DeleteStream(t.Context(), "LOGIN_EVENTS"); err != nil {
			t.Fatal(err)
		}
	}
}

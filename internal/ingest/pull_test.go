package ingest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAcknowledgementSubjectsOfEveryServerAreRead(t *testing.T) {
	want := jetstream.MsgMetadata{
		Stream: "S", Consumer: "C", NumDelivered: 2, NumPending: 6,
		Sequence: jetstream.SequencePair{Stream: 3, Consumer: 4}, Timestamp: time.Unix(0, 5),
	}
	domain := want
	domain.Domain = "hub"
	cases := map[string]jetstream.MsgMetadata{
		"$JS.ACK.S.C.2.3.4.5.6":               want,
		"$JS.ACK._.HASH.S.C.2.3.4.5.6":        want,
		"$JS.ACK.hub.HASH.S.C.2.3.4.5.6.rand": domain,
	}
	for subject, want := range cases {
		d, err := newDelivery(&nats.Msg{Reply: subject})
		if err != nil {
			t.Errorf("%s is refused: %v", subject, err)
			continue
		}
		got, err := (&message{delivery: d}).Metadata()
		if err != nil || !got.Timestamp.Equal(want.Timestamp) {
			t.Errorf("%s is read as %+v, %v", subject, got, err)
		}
		if got.Timestamp = want.Timestamp; *got != want {
			t.Errorf("%s is read as %+v", subject, got)
		}
	}
}

func TestOtherReplySubjectsAreNoAcknowledgementSubjects(t *testing.T) {
	for _, subject := range []string{
		"", "_INBOX.abc", "$JS.ACK.S.C.2.3.4.5", "$JS.ACK.x.S.C.2.3.4.5.6", "$JS.API.S.C.2.3.4.5.6", "$JS.ACK.S.C.2.three.4.5.6",
		"$JS.ACK.S.C.2.3.4.99999999999999999999.6",
	} {
		if _, err := newDelivery(&nats.Msg{Reply: subject}); err == nil {
			t.Errorf("%q is taken for an acknowledgement subject", subject)
		}
	}
}

func TestPullRequestsGoToTheDomainsAPI(t *testing.T) {
	cases := []struct {
		options jetstream.JetStreamOptions
		want    string
	}{
		{jetstream.JetStreamOptions{}, "$JS.API."},
		{jetstream.JetStreamOptions{Domain: "hub"}, "$JS.hub.API."},
		{jetstream.JetStreamOptions{APIPrefix: "other"}, "other."},
		{jetstream.JetStreamOptions{APIPrefix: "other."}, "other."},
	}
	for _, c := range cases {
		if got := apiPrefix(c.options); got != c.want {
			t.Errorf("%+v gives %q, want %q", c.options, got, c.want)
		}
	}
}

func TestEndOfAPullRequestIsUnderstood(t *testing.T) {
	cases := []struct {
		status, description string
		want                string // of the error; "" is none
	}{
		{"404", "No Messages", ""},
		{"408", "Request Timeout", ""},
		{"409", "Message Size Exceeds MaxBytes", ""},
		{"409", "Batch Completed", ""},
		{"409", "Consumer Deleted", errGone.Error()},
		{"503", "", errGone.Error()},
		{"409", "Leadership Change", "Leadership Change"},
		{"409", "Server Shutdown", "Server Shutdown"},
		{"400", "Bad Request", "Bad Request"},
	}
	for _, c := range cases {
		msg := &nats.Msg{Header: nats.Header{"Status": {c.status}, "Description": {c.description}}}
		if !ends(msg) {
			t.Errorf("%s does not end the request", c.status)
		}
		err := statusError(msg)
		if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %s gives %v, want %q", c.status, c.description, err, c.want)
		}
	}
	if ends(&nats.Msg{Header: nats.Header{"Status": {"100"}}}) {
		t.Error("a heartbeat ends the request")
	}
}

// pulling gives a puller of a fresh stream with the messages 1 to n.
func pulling(t *testing.T, n int) (*puller, jetstream.JetStream) {
	t.Helper()
	s, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server takes no connections")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	c, err := js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "C", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := js.Publish(t.Context(), "s", nil); err != nil {
			t.Fatal(err)
		}
	}
	p, err := newPuller(js, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p, js
}

// fetched are the next n messages. It asks for them, unless a request is under
// way.
func fetched(t *testing.T, p *puller, n int) []*message {
	t.Helper()
	if !p.asked() {
		if err := p.ask(limits{n, 1 << 20, 10 * time.Second}); err != nil {
			t.Fatal(err)
		}
	}
	var all []*message
	for len(all) < n {
		select {
		case msg := <-p.arrived:
			d, ok, err := p.take(msg)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				all = append(all, &message{delivery: d, nc: p.nc})
			}
		case <-time.After(time.Minute):
			t.Fatalf("%d messages came, want %d", len(all), n)
		}
	}
	return all
}

func TestOwnMessageOfTheStreamDoesAllThatAMessageCanDo(t *testing.T) {
	p, js := pulling(t, 6)
	messages := fetched(t, p, 6)
	m := messages[0]
	meta, err := m.Metadata()
	if err != nil || meta.Sequence.Stream != 1 || meta.Stream != "S" || m.Subject() != "s" || m.Reply() == "" || m.Headers() != nil || len(m.Data()) != 0 {
		t.Errorf("the message is %+v with %+v, %v", m.msg, meta, err)
	}
	words := []func() error{
		messages[0].Ack, messages[1].Term, func() error { return messages[2].TermWithReason("because") },
		messages[3].InProgress, messages[4].Nak,
		func() error { return messages[5].DoubleAck(t.Context()) },
	}
	for i, word := range words {
		if err := word(); err != nil {
			t.Errorf("word %d: %v", i, err)
		}
	}
	again := fetched(t, p, 1)
	if again[0].seq != 5 || again[0].delivered != 2 {
		t.Fatalf("after the words comes %+v; want message 5 again", again[0])
	}
	if err := again[0].NakWithDelay(time.Hour); err != nil {
		t.Error(err)
	}
	c, err := js.Consumer(t.Context(), "S", "C")
	if err != nil {
		t.Fatal(err)
	}
	if info := c.CachedInfo(); info.NumAckPending != 2 || info.AckFloor.Stream != 3 {
		t.Errorf("%d messages are pending above %d, want 2 above 3", info.NumAckPending, info.AckFloor.Stream)
	}
}

func TestLateMessagesOfAnEarlierRequestAreNotLost(t *testing.T) {
	p, js := pulling(t, 0)
	// A request that is given up, as after a slow answer.
	if err := p.ask(limits{1, 1 << 20, 10 * time.Second}); err != nil {
		t.Fatal(err)
	}
	if err := p.overdue(time.Now().Add(time.Minute)); !errors.Is(err, errNoAnswer) {
		t.Fatalf("the silence gives %v, want errNoAnswer", err)
	}
	if err := p.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("late")); err != nil {
		t.Fatal(err)
	}
	if got := fetched(t, p, 1); string(got[0].Data()) != "late" {
		t.Errorf("fetched is %+v", got[0])
	}
}

func TestSilentServerIsTold(t *testing.T) {
	p, _ := pulling(t, 0)
	if _, err := p.nc.Subscribe("silent", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	p.subject = "silent"
	if err := p.ask(limits{1, 1 << 20, time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if err := p.overdue(time.Now()); err != nil || !p.asked() {
		t.Errorf("the silence gives %v before its time", err)
	}
	if err := p.overdue(time.Now().Add(2 * time.Second)); !errors.Is(err, errNoAnswer) || p.asked() {
		t.Errorf("the silence gives %v, want errNoAnswer and the request's end", err)
	}
}

func TestFinishingContextOutlivesItsParentByTheLimit(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	work, cancel := finishing(ctx, time.Millisecond)
	defer cancel()
	if work.Err() != nil {
		t.Error("the work ends before it is asked to")
	}
	stop()
	<-work.Done()
}

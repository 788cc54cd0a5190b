package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// publishers signs in as each kind of publisher: with the key, and without one.
func publishers(t *testing.T, server *engine.NATS) map[string]*nats.Conn {
	t.Helper()
	return map[string]*nats.Conn{"keyed": natsAs(t, server, engine.UserPublisher), "anonymous": natsWith(t, server.URL())}
}

// attacks are the messages by which a publisher may have the stream answer on
// the subject reply: with an acknowledgement, with nothing (a batch is opened),
// with the acknowledgement of a batch, and with an error. The first two of them
// end up in the stream.
func attacks(reply, batch string) []*nats.Msg {
	headers := []nats.Header{
		{},
		{"Nats-Batch-Id": {"whole-" + batch}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"}},
		{"Nats-Batch-Id": {"open-" + batch}, "Nats-Batch-Sequence": {"1"}},
		{"Nats-Batch-Id": {"torn-" + batch}, "Nats-Batch-Sequence": {"7"}},
	}
	var messages []*nats.Msg
	for _, header := range headers {
		messages = append(messages, &nats.Msg{Subject: "login.events.acme.login", Reply: reply, Header: header, Data: []byte("{}")})
	}
	return messages
}

// The server publishes an answer with its own rights on the subject that the
// publisher names. An empty answer on a subject of JetStream's interface would
// be a request, on a subject of a stream an event, on one of a consumer the
// acknowledgement that an event is in the database.
func TestNoAnswerToAPublisherDoesAnythingButReachPublishers(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	operator := jetStream(t, natsAs(t, server, engine.UserOperator))
	makeStreams(t, operator)
	// A message is on its way to ingest, so that there is one to acknowledge.
	if _, err := operator.Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	replies := []string{
		"$JS.API.STREAM.DELETE.LOGIN_EVENTS", "$JS.API.STREAM.DELETE.LOGIN_PARKED",
		"$JS.API.CONSUMER.DELETE.LOGIN_EVENTS.ingest", "$JS.API.STREAM.PURGE.LOGIN_EVENTS",
		"$JS.API.STREAM.MSG.DELETE.LOGIN_EVENTS", "$JS.API.STREAM.PEER.REMOVE.LOGIN_EVENTS",
		"$JS.API.CONSUMER.MSG.NEXT.LOGIN_EVENTS.ingest", "$SYS.REQ.SERVER.PING",
		"login.parked.acme", "login.parked.other", "login.events.other.login", "login.events.acme.login",
		"_INBOX_ingest.x.y", "_INBOX_operator.x.y",
	}
	acknowledgement := fetchOne(t, server).Reply()
	want := uint64(1)
	for who, nc := range publishers(t, server) {
		for i, reply := range replies {
			for _, msg := range attacks(reply, fmt.Sprint(who, i)) {
				if err := nc.PublishMsg(msg); err != nil {
					t.Fatal(err)
				}
			}
			want += 2
		}
		for _, msg := range attacks(acknowledgement, who) {
			if violation(t, nc, func() error { return nc.PublishMsg(msg) }) == nil {
				t.Errorf("%s publisher: the answer may go to %s", who, msg.Reply)
			}
		}
		// The stream answers in order: after this one, every answer is out.
		if _, err := jetStream(t, nc).Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil {
			t.Fatalf("%s publisher: %v", who, err)
		}
		want++
	}
	untouched(t, operator, want)
}

// fetchOne fetches a message as ingest does and does not acknowledge it.
func fetchOne(t *testing.T, server *engine.NATS) jetstream.Msg {
	t.Helper()
	consumer, err := jetStream(t, natsAs(t, server, engine.UserIngest)).Consumer(t.Context(), "LOGIN_EVENTS", "ingest")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// untouched fails unless both streams and the consumer are there, the events
// are as many as were published, each by a publisher, nothing is parked, and
// the message that was fetched is not acknowledged.
func untouched(t *testing.T, operator jetstream.JetStream, want uint64) {
	t.Helper()
	events, err := operator.Stream(t.Context(), "LOGIN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := events.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	if s := info.State; s.Msgs != want || s.FirstSeq != 1 || len(s.Subjects) != 1 || s.Subjects["login.events.acme.login"] != want {
		t.Errorf("the stream holds %d messages from %d, of subjects %v; want %d from 1 of one subject", s.Msgs, s.FirstSeq, s.Subjects, want)
	}
	for seq := uint64(1); seq <= want; seq++ {
		if msg, err := events.GetMsg(t.Context(), seq); err != nil || string(msg.Data) != "{}" {
			t.Errorf("message %d: %v %v", seq, msg, err)
		}
	}
	parked, err := operator.Stream(t.Context(), "LOGIN_PARKED")
	if err != nil {
		t.Fatal(err)
	}
	if n := parked.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("%d messages are parked", n)
	}
	consumer, err := events.Consumer(t.Context(), "ingest")
	if err != nil {
		t.Fatal(err)
	}
	if c := consumer.CachedInfo(); c.AckFloor.Stream != 0 || c.Delivered.Stream != 1 {
		t.Errorf("of the consumer's messages %d are acknowledged, %d delivered", c.AckFloor.Stream, c.Delivered.Stream)
	}
}

// The subjects of a stream are the names of the accounts, so even a look at its
// state is too much.
func TestAPublisherReadsNoStreamAndLearnsNoAccount(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	makeStreams(t, jetStream(t, natsAs(t, server, engine.UserOperator)))
	for who, nc := range publishers(t, server) {
		for _, subject := range []string{
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.LOGIN_EVENTS",
			"$JS.API.STREAM.MSG.GET.LOGIN_EVENTS", "$JS.API.DIRECT.GET.LOGIN_EVENTS", "$JS.API.DIRECT.GET.LOGIN_EVENTS.login.events.acme.login",
			"$JS.API.CONSUMER.INFO.LOGIN_EVENTS.ingest", "$JS.API.CONSUMER.CREATE.LOGIN_EVENTS", "$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.PING.CONNZ",
		} {
			if violation(t, nc, func() error { return nc.PublishRequest(subject, nc.NewInbox(), []byte(`{"subjects_filter":">"}`)) }) == nil {
				t.Errorf("%s publisher: %s is not refused", who, subject)
			}
		}
		for _, subject := range []string{"login.>", "login.events.acme.login", "$JS.EVENT.ADVISORY.>", "$SYS.>", "_R_.>", ">", "_INBOX_ingest.>"} {
			if violation(t, nc, func() error { _, err := nc.SubscribeSync(subject); return err }) == nil {
				t.Errorf("%s publisher: subscribes to %s", who, subject)
			}
		}
	}
}

func TestThePublishersWithAKeyAndThoseWithoutHearNothingOfEachOther(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	makeStreams(t, jetStream(t, natsAs(t, server, engine.UserOperator)))
	spies := map[string]*nats.Subscription{}
	all := publishers(t, server)
	for who, nc := range all {
		spy, err := nc.SubscribeSync("_INBOX.>")
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		spies[who] = spy
	}
	for range 2 { // what the one hears in the first round comes before its own answer in the second
		for who, nc := range all {
			if _, err := jetStream(t, nc).Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil {
				t.Fatalf("%s: %v", who, err)
			}
		}
		fetchOne(t, server)
	}
	for who, spy := range spies {
		if n, _, err := spy.Pending(); err != nil || n != 2 {
			t.Errorf("the %s publisher hears %d answers, want its own two (%v)", who, n, err)
		}
	}
}

func TestAPublisherHasABoundedNumberOfSubscriptions(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	for who, nc := range publishers(t, server) {
		for range engine.MaxSubscriptions {
			if _, err := nc.SubscribeSync(nc.NewInbox()); err != nil {
				t.Fatal(err)
			}
		}
		err := violation(t, nc, func() error { _, err := nc.SubscribeSync(nc.NewInbox()); return err })
		if !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
			t.Errorf("%s publisher: one more than allowed: %v", who, err)
		}
	}
}

func TestHoweverManyPublishersThereAreTheOthersGetIn(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	for range engine.MaxPublishers {
		natsWith(t, server.URL())
	}
	if _, err := nats.Connect(server.URL()); !errors.Is(err, nats.ErrMaxAccountConnectionsExceeded) {
		t.Errorf("one more than allowed: %v", err)
	}
	for _, user := range engine.NATSUsers() {
		natsAs(t, server, user)
	}
}

// What is staged of a batch lies on the disk beside the streams.
func TestOpenBatchesAreBoundedAndLeaveTheWayToSingleMessagesFree(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	makeStreams(t, jetStream(t, natsAs(t, server, engine.UserOperator)))
	all := publishers(t, server)
	open := func(nc *nats.Conn, id int) string {
		answer, err := nc.RequestMsgWithContext(t.Context(), &nats.Msg{
			Subject: "login.events.acme.login", Data: []byte("{}"),
			Header: nats.Header{"Nats-Batch-Id": {fmt.Sprint(id)}, "Nats-Batch-Sequence": {"1"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(answer.Data)
	}
	for id := range 50 {
		if answer := open(all["anonymous"], id); answer != "" {
			t.Fatalf("batch %d: %s", id, answer)
		}
	}
	if answer := open(all["keyed"], 50); !strings.Contains(answer, "10210") {
		t.Errorf("one more batch: %q", answer)
	}
	for who, nc := range all {
		if _, err := jetStream(t, nc).Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil {
			t.Errorf("%s publisher: %v", who, err)
		}
	}
}

// An answer that gets to JetStream's interface in some way is no valid request.
func TestRequestsWithFieldsThatJetStreamDoesNotKnowAreRefused(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	nc := natsAs(t, server, engine.UserOperator)
	makeStreams(t, jetStream(t, nc))
	answer, err := nc.RequestWithContext(t.Context(), "$JS.API.STREAM.PURGE.LOGIN_EVENTS", []byte(`{"stream":"LOGIN_EVENTS","seq":1}`))
	if err != nil || !strings.Contains(string(answer.Data), "10025") {
		t.Errorf("purge by an acknowledgement: %v %s", err, answer.Data)
	}
}

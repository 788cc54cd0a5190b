package deploycheck

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// natsRoles are the users of deploy/nats.conf and the variables that name them.
var natsRoles = map[string]string{
	"publisher": "NATS_PUBLISHER_NKEY",
	"ingest":    "NATS_INGEST_NKEY",
	"operator":  "NATS_OPERATOR_NKEY",
}

// natsKeys are the files with the seeds of the users, by role.
type natsKeys map[string]string

// makeNATSKeys makes the three keys and sets the variables of the public ones.
func makeNATSKeys(t *testing.T) natsKeys {
	t.Helper()
	keys, dir := natsKeys{}, t.TempDir()
	for role, variable := range natsRoles {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		seed, err := pair.Seed()
		if err != nil {
			t.Fatal(err)
		}
		keys[role] = filepath.Join(dir, role+".nk")
		if err := os.WriteFile(keys[role], seed, 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(variable, public)
	}
	return keys
}

// natsOptions is deploy/nats.conf as nats-server reads it.
func natsOptions(t testing.TB) *server.Options {
	t.Helper()
	options, err := server.ProcessConfigFile(filepath.Join(testsystem.Root(t), "deploy", "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return options
}

// startNATS runs a server with deploy/nats.conf on loopback.
func startNATS(t *testing.T) (url string, keys natsKeys) {
	t.Helper()
	keys = makeNATSKeys(t)
	options := natsOptions(t)
	options.Host, options.Port = "127.0.0.1", server.RANDOM_PORT
	options.HTTPHost, options.HTTPPort = "127.0.0.1", server.RANDOM_PORT
	options.StoreDir = t.TempDir()
	options.NoLog, options.NoSigs = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(testsystem.Patience) {
		t.Fatal("nats-server does not take connections")
	}
	return s.ClientURL(), keys
}

// refusals collects what the server tells a connection that it may not do.
type refusals chan error

func connectAs(t testing.TB, url, seedFile string) (*nats.Conn, refusals) {
	t.Helper()
	nkey, err := nats.NkeyOptionFromSeed(seedFile)
	if err != nil {
		t.Fatal(err)
	}
	refused := make(refusals, 100)
	nc, err := nats.Connect(url, nkey, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc, refused
}

// wantRefused fails unless the server refuses what act does.
func wantRefused(t testing.TB, nc *nats.Conn, refused refusals, what string, act func() error) {
	t.Helper()
	for len(refused) > 0 {
		<-refused
	}
	err := act()
	if flush := nc.Flush(); flush != nil {
		t.Fatal(flush)
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	select {
	case err := <-refused:
		if !strings.Contains(strings.ToLower(err.Error()), "permissions violation") {
			t.Errorf("%s: refused with %v", what, err)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s was not refused (%v)", what, err)
	}
}

func jetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// withStreams has the operator make the streams.
func withStreams(t testing.TB, url string, keys natsKeys) jetstream.JetStream {
	t.Helper()
	nc, _ := connectAs(t, url, keys["operator"])
	js := jetStream(t, nc)
	for range 2 { // the second time it finds them
		if err := stream.Ensure(t.Context(), js, stream.DefaultSettings()); err != nil {
			t.Fatal(err)
		}
	}
	return js
}

func TestNATSConfigIsDurableAndBounded(t *testing.T) {
	makeNATSKeys(t)
	o := natsOptions(t)
	if !o.JetStream || !o.SyncAlways {
		t.Errorf("jetstream %v, sync always %v", o.JetStream, o.SyncAlways)
	}
	if o.JetStreamMaxStore <= 0 || o.MaxPayload < 64<<10+64<<10 || o.MaxPayload > 1<<20 {
		t.Errorf("file store %d, payload %d", o.JetStreamMaxStore, o.MaxPayload)
	}
	if o.HTTPHost != "127.0.0.1" {
		t.Errorf("monitoring listens on %q, but has no access control", o.HTTPHost)
	}
	if o.NoAuthUser != "" || o.Authorization != "" || len(o.Users) != 0 {
		t.Error("somebody gets in without an nkey")
	}
	if len(o.Nkeys) != len(natsRoles) {
		t.Errorf("%d nkey users, want %d", len(o.Nkeys), len(natsRoles))
	}
	if o.Cluster.Port != 0 || o.Gateway.Port != 0 || o.LeafNode.Port != 0 || o.Websocket.Port != 0 || o.MQTT.Port != 0 {
		t.Error("a port is open that loginaudit does not use")
	}
}

func TestNATSRefusesWhoeverHasNoKey(t *testing.T) {
	url, _ := startNATS(t)
	if nc, err := nats.Connect(url); err == nil {
		nc.Close()
		t.Error("connected without a key")
	}
	stranger := makeNATSKeys(t)["publisher"] // the server runs with others
	nkey, err := nats.NkeyOptionFromSeed(stranger)
	if err != nil {
		t.Fatal(err)
	}
	if nc, err := nats.Connect(url, nkey); err == nil {
		nc.Close()
		t.Error("connected with a key that the server does not know")
	}
}

func TestNATSPublisherPublishesEventsAndSeesNothing(t *testing.T) {
	url, keys := startNATS(t)
	operator := withStreams(t, url, keys)
	nc, refused := connectAs(t, url, keys["publisher"])
	js := jetStream(t, nc)
	ack, err := js.Publish(t.Context(), "login.events.acme.login", []byte("{}"), jetstream.WithMsgID("1"))
	if err != nil || ack.Stream != stream.Events || ack.Sequence != 1 {
		t.Fatalf("%+v, %v", ack, err)
	}
	again, err := js.Publish(t.Context(), "login.events.acme.login", []byte("{}"), jetstream.WithMsgID("1"))
	if err != nil || !again.Duplicate {
		t.Fatalf("repeat: %+v, %v", again, err)
	}
	for _, subject := range []string{"login.events.>", "login.parked.>", ">", "$JS.>"} {
		wantRefused(t, nc, refused, "subscribe "+subject, func() error {
			_, err := nc.SubscribeSync(subject)
			return err
		})
	}
	for _, subject := range []string{
		"login.parked.acme", "login.notes.x.1.1.replayed", "$JS.API.STREAM.CREATE.OTHER", "$JS.API.STREAM.DELETE.LOGIN_EVENTS",
		"$JS.API.STREAM.PURGE.LOGIN_EVENTS", "$JS.API.STREAM.MSG.GET.LOGIN_EVENTS", "$JS.API.DIRECT.GET.LOGIN_EVENTS",
		"$JS.API.CONSUMER.CREATE.LOGIN_EVENTS.spy", "$JS.API.CONSUMER.MSG.NEXT.LOGIN_EVENTS.ingest",
		"$JS.ACK.LOGIN_EVENTS.ingest.1.1.1.1.0", "$SYS.REQ.SERVER.PING", "other",
	} {
		wantRefused(t, nc, refused, "publish "+subject, func() error { return nc.Publish(subject, nil) })
	}
	s, err := operator.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages in the stream, want 1", n)
	}
}

// A publisher shares no inbox with ingest, and cannot have the server's
// acknowledgement stored as an event by naming a subject of events as reply.
func TestNATSPublisherReadsNoEventAndForgesNoAcknowledgement(t *testing.T) {
	url, keys := startNATS(t)
	operator := withStreams(t, url, keys)
	nc, _ := connectAs(t, url, keys["publisher"])
	spy, err := nc.SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest("login.events.acme.login", "login.events.victim.login", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	ingest, _ := connectAs(t, url, keys["ingest"])
	_, consumer, err := stream.Open(t.Context(), jetStream(t, ingest))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.Next(jetstream.FetchMaxWait(testsystem.Patience)); err != nil {
		t.Fatal(err)
	}
	// The acknowledgement of a last event comes after whatever the spy heard before.
	if _, err := jetStream(t, nc).Publish(t.Context(), "login.events.acme.login", []byte(`{"last":true}`)); err != nil {
		t.Fatal(err)
	}
	for _, heard := range spied(t, spy) {
		if strings.HasPrefix(heard.Subject, "login.") || string(heard.Data) == "{}" {
			t.Errorf("the publisher heard %s %q", heard.Subject, heard.Data)
		}
	}
	s, err := operator.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	if info := s.CachedInfo().State; info.Msgs != 2 {
		t.Errorf("%d messages in the stream, want the two that were published", info.Msgs)
	}
}

// spied is everything that a subscription has heard up to now.
func spied(t testing.TB, s *nats.Subscription) []*nats.Msg {
	t.Helper()
	n, _, err := s.Pending()
	if err != nil {
		t.Fatal(err)
	}
	var all []*nats.Msg
	for range n {
		m, err := s.NextMsg(testsystem.Patience)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func TestNATSIngestFetchesAcknowledgesAndParksAndNothingElse(t *testing.T) {
	url, keys := startNATS(t)
	operator := withStreams(t, url, keys)
	publisher, _ := connectAs(t, url, keys["publisher"])
	if _, err := jetStream(t, publisher).Publish(t.Context(), "login.events.acme.login", []byte("no event")); err != nil {
		t.Fatal(err)
	}
	nc, refused := connectAs(t, url, keys["ingest"])
	js := jetStream(t, nc)
	s, consumer, err := stream.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(10, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	for m := range batch.Messages() {
		fetched++
		if err := stream.NewParker(js).Park(t.Context(), m, errors.New("no JSON")); err != nil {
			t.Fatal(err)
		}
		if err := m.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if fetched != 1 {
		t.Fatalf("fetched %d", fetched)
	}
	if _, err := s.Info(t.Context()); err != nil {
		t.Error(err)
	}
	wantRefused(t, nc, refused, "publish an event", func() error { return nc.Publish("login.events.acme.login", nil) })
	wantRefused(t, nc, refused, "note", func() error { return nc.Publish("login.notes.x.1.1.replayed", nil) })
	if counts, err := stream.NewOpenCounter(js).Count(t.Context()); err != nil || counts.Total != 1 {
		t.Errorf("ingest counts %+v open messages, %v", counts, err)
	}
	wantRefused(t, nc, refused, "subscribe to events", func() error { _, err := nc.SubscribeSync("login.events.>"); return err })
	for _, api := range []string{
		"STREAM.DELETE.LOGIN_EVENTS", "STREAM.PURGE.LOGIN_EVENTS", "STREAM.UPDATE.LOGIN_EVENTS", "STREAM.CREATE.OTHER",
		"STREAM.MSG.DELETE.LOGIN_EVENTS", "STREAM.MSG.DELETE.LOGIN_PARKED", "CONSUMER.DELETE.LOGIN_EVENTS.ingest",
		"CONSUMER.CREATE.LOGIN_EVENTS.other", "STREAM.MSG.GET.LOGIN_EVENTS",
	} {
		wantRefused(t, nc, refused, api, func() error { return nc.Publish("$JS.API."+api, nil) })
	}
	inbox := stream.NewInbox(operator)
	parked, err := inbox.Get(t.Context(), 1)
	if err != nil || string(parked.Body) != "no event" {
		t.Errorf("the operator reads %q, %v", parked.Body, err)
	}
}

func TestNATSOperatorManagesStreamsButDeletesNoEvent(t *testing.T) {
	url, keys := startNATS(t)
	js := withStreams(t, url, keys)
	changed := stream.DefaultSettings()
	changed.MaxAge = 48 * time.Hour
	if err := stream.Ensure(t.Context(), js, changed); err != nil {
		t.Fatal(err)
	}
	nc, refused := connectAs(t, url, keys["operator"])
	wantRefused(t, nc, refused, "park", func() error { return nc.Publish("login.parked.acme", nil) })
	for _, api := range []string{
		"STREAM.DELETE.LOGIN_EVENTS", "STREAM.DELETE.LOGIN_PARKED", "STREAM.PURGE.LOGIN_EVENTS",
		"STREAM.MSG.DELETE.LOGIN_EVENTS", "CONSUMER.DELETE.LOGIN_EVENTS.ingest", "STREAM.CREATE.OTHER",
		"STREAM.RESTORE.LOGIN_EVENTS", "STREAM.SNAPSHOT.LOGIN_EVENTS",
		"STREAM.DELETE.LOGIN_PARKED_NOTES", "STREAM.MSG.DELETE.LOGIN_PARKED_NOTES", "STREAM.PURGE.LOGIN_PARKED_NOTES",
	} {
		wantRefused(t, nc, refused, api, func() error { return nc.Publish("$JS.API."+api, nil) })
	}
	publisher, _ := connectAs(t, url, keys["publisher"])
	if _, err := jetStream(t, publisher).Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	s, err := jetStream(t, nc).Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testsystem.Patience)
	defer cancel()
	if m, err := s.GetMsg(ctx, 1); err != nil || string(m.Data) != "{}" {
		t.Errorf("read an event: %v", err)
	}
}

// The publisher's own package, and what import uses, need no more rights than
// that, atomic batches included.
func TestNATSPublisherRightsServeThePublisherPackage(t *testing.T) {
	url, keys := startNATS(t)
	operator := withStreams(t, url, keys)
	nc, refused := connectAs(t, url, keys["publisher"])
	publisher, err := publish.New(nc, publish.Options{Timeout: testsystem.Patience})
	if err != nil {
		t.Fatal(err)
	}
	events := make([]event.Event, 300)
	for i := range events {
		events[i] = loginEvent(fmt.Sprintf("e%d", i), "alice")
	}
	if _, err := publisher.Publish(t.Context(), events[0]); err != nil {
		t.Fatal(err)
	}
	results, err := publisher.PublishBatch(t.Context(), events[1:])
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	s, err := operator.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != uint64(len(events)) {
		t.Errorf("%d messages in the stream, want %d", n, len(events))
	}
	if len(refused) > 0 {
		t.Error(<-refused)
	}
}

// loginEvent is a valid event of account acme.
func loginEvent(id, username string) event.Event {
	return event.Event{
		ID: id, Account: "acme", Username: username, Entry: 1, Status: 1,
		OccurredAt: time.Now().UTC().Truncate(time.Microsecond), SessionID: "s-" + id,
	}
}

// The operator's rights are enough for all that is done with parked messages.
func TestNATSOperatorReplaysDiscardsAndErasesParkedMessages(t *testing.T) {
	url, keys := startNATS(t)
	js := withStreams(t, url, keys)
	publisher, _ := connectAs(t, url, keys["publisher"])
	for range 3 {
		if _, err := jetStream(t, publisher).Publish(t.Context(), "login.events.acme.login", []byte("no event")); err != nil {
			t.Fatal(err)
		}
	}
	nc, _ := connectAs(t, url, keys["ingest"])
	_, consumer, err := stream.Open(t.Context(), jetStream(t, nc))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		m, err := consumer.Next(jetstream.FetchMaxWait(testsystem.Patience))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.NewParker(jetStream(t, nc)).Park(t.Context(), m, errors.New("no JSON")); err != nil {
			t.Fatal(err)
		}
	}
	selected, err := stream.NewInbox(js).Select(t.Context(), stream.ParkedFilter{})
	if err != nil || len(selected) != 3 {
		t.Fatalf("%+v, %v", selected, err)
	}
	operator := stream.NewOperator(js, stream.Who{By: "test"})
	told := func(o stream.Outcome) {
		if o.Err != nil {
			t.Errorf("message %d: %v", o.Seq, o.Err)
		}
	}
	err = errors.Join(
		operator.Replay(t.Context(), selected[:1], stream.ReplayOptions{}, told),
		operator.Discard(t.Context(), selected[1:2], "a test", told),
		operator.Erase(t.Context(), selected[2:], "a test", told),
	)
	if err != nil {
		t.Error(err)
	}
	if counts, err := stream.NewOpenCounter(js).Count(t.Context()); err != nil || counts.Total != 0 || counts.Parked != 2 {
		t.Errorf("counted are %+v, %v", counts, err)
	}
}

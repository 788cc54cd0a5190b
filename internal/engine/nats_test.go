package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// small keeps the streams of a test small.
const small = 1 << 30

func TestStreamsKeysAndPortOutliveARestart(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	makeStreams(t, jetStream(t, natsAs(t, server, engine.UserOperator)))
	addr := server.Addr()
	if _, err := jetStream(t, natsAs(t, server, engine.UserPublisher)).Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	stop(t, server)
	if err := server.Healthy(); err == nil {
		t.Error("a closed server is healthy")
	}
	again := startNATS(t, engine.NATSConfig{Dir: filepath.Dir(server.SeedFile(engine.UserIngest)), Addr: addr, MaxStore: small})
	if again.Addr() != addr || again.Healthy() != nil {
		t.Errorf("it listens on %s instead of %s, health %v", again.Addr(), addr, again.Healthy())
	}
	stream, err := jetStream(t, natsAs(t, again, engine.UserOperator)).Stream(t.Context(), "LOGIN_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("the stream holds %d messages, want 1", stream.CachedInfo().State.Msgs)
	}
}

func TestAServerCanBeStartedAgain(t *testing.T) {
	defer goleak.VerifyNone(t)
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	mention(t, server.Start(t.Context()), "runs already")
	stop(t, server)
	stop(t, server) // twice is harmless
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop(t, server)
}

func TestTheWayOfAnEventThroughTheRightsOfTheThreeUsers(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	operator := jetStream(t, natsAs(t, server, engine.UserOperator))
	makeStreams(t, operator)
	publisher := jetStream(t, natsAs(t, server, engine.UserPublisher))
	ack, err := publisher.Publish(t.Context(), "login.events.acme.login", []byte("{}"), jetstream.WithMsgID("1"))
	if err != nil || ack.Stream != "LOGIN_EVENTS" {
		t.Fatalf("publish: %+v %v", ack, err)
	}

	ingest := jetStream(t, natsAs(t, server, engine.UserIngest))
	consumer, err := ingest.Consumer(t.Context(), "LOGIN_EVENTS", "ingest")
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(1)
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		if _, err := ingest.Publish(t.Context(), "login.parked.acme", msg.Data()); err != nil {
			t.Errorf("ingest parks: %v", err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Errorf("ingest acknowledges: %v", err)
		}
	}
	if err := batch.Error(); err != nil {
		t.Error(err)
	}
	parked, err := operator.Stream(t.Context(), "LOGIN_PARKED")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := parked.GetMsg(t.Context(), 1)
	if err != nil || string(msg.Data) != "{}" {
		t.Errorf("the operator reads %v %v", msg, err)
	}
	if err := parked.DeleteMsg(t.Context(), 1); err != nil {
		t.Errorf("the operator discards: %v", err)
	}
	if _, err := operator.Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil {
		t.Errorf("the operator replays: %v", err)
	}
}

func TestEachUserIsRefusedWhatIsNotItsWork(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	makeStreams(t, jetStream(t, natsAs(t, server, engine.UserOperator)))
	for _, c := range []struct {
		user               engine.NATSUser
		publish, subscribe []string
	}{
		{
			user: engine.UserPublisher,
			publish: []string{
				"login.parked.acme", "login.notes.x.1.1.replayed", "login.other", "anything", "_INBOX.x", "_INBOX_ingest.x", "$JS.API.STREAM.CREATE.X",
				"$JS.API.STREAM.DELETE.LOGIN_EVENTS", "$JS.API.STREAM.PURGE.LOGIN_EVENTS", "$JS.API.STREAM.MSG.GET.LOGIN_EVENTS",
				"$JS.API.DIRECT.GET.LOGIN_EVENTS", "$JS.API.CONSUMER.CREATE.LOGIN_EVENTS", "$JS.ACK.LOGIN_EVENTS.ingest.1.1.1.1.0",
				"$JS.API.CONSUMER.MSG.NEXT.LOGIN_EVENTS.ingest", "$JS.API.STREAM.INFO.LOGIN_EVENTS", "$SYS.REQ.SERVER.PING",
			},
			subscribe: []string{"login.events.>", "login.parked.>", ">", "_INBOX_ingest.>", "_INBOX_operator.>", "$JS.>", "$SYS.>"},
		},
		{
			user: engine.UserIngest,
			publish: []string{
				"login.events.acme.login", "login.notes.x.1.1.replayed", "$JS.API.DIRECT.GET.LOGIN_PARKED_NOTES", "$JS.API.STREAM.MSG.GET.LOGIN_PARKED",
				"$JS.API.STREAM.DELETE.LOGIN_EVENTS", "$JS.API.STREAM.UPDATE.LOGIN_EVENTS",
				"$JS.API.CONSUMER.DELETE.LOGIN_EVENTS.ingest", "$JS.API.STREAM.MSG.DELETE.LOGIN_PARKED", "$JS.ACK.LOGIN_EVENTS.other.1.1.1.1.0",
			},
			subscribe: []string{"login.>", ">", "_INBOX.>", "_INBOX_operator.>", "$SYS.>"},
		},
		{
			user:      engine.UserOperator,
			publish:   []string{"anything", "$SYS.REQ.SERVER.PING", "_INBOX.x"},
			subscribe: []string{">", "_INBOX.>", "_INBOX_ingest.>", "$SYS.>"},
		},
	} {
		nc := natsAs(t, server, c.user)
		for _, subject := range c.publish {
			if err := violation(t, nc, func() error { return nc.Publish(subject, nil) }); err == nil {
				t.Errorf("%s publishes on %s", c.user, subject)
			}
		}
		for _, subject := range c.subscribe {
			if err := violation(t, nc, func() error { _, err := nc.SubscribeSync(subject); return err }); err == nil {
				t.Errorf("%s subscribes to %s", c.user, subject)
			}
		}
	}
}

// violation does something and returns the server's refusal, nil without one.
func violation(t *testing.T, nc *nats.Conn, do func() error) error {
	t.Helper()
	before := nc.LastError()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(10 * time.Second); err != nil { // a refusal comes before the answer to this
		t.Fatal(err)
	}
	if last := nc.LastError(); !errors.Is(before, last) {
		return last
	}
	return nil
}

func TestWithoutAKeyOneIsThePublisherOnLoopbackOnly(t *testing.T) {
	local := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	makeStreams(t, jetStream(t, natsAs(t, local, engine.UserOperator)))
	anonymous := natsWith(t, local.URL())
	if _, err := jetStream(t, anonymous).Publish(t.Context(), "login.events.acme.login", []byte("{}")); err != nil || !local.Anonymous() {
		t.Errorf("publish without a key: %v", err)
	}
	if violation(t, anonymous, func() error { return anonymous.Publish("$JS.API.STREAM.DELETE.LOGIN_EVENTS", nil) }) == nil {
		t.Error("without a key one deletes streams")
	}

	open := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), Addr: "0.0.0.0:0", MaxStore: small})
	_, port, err := net.SplitHostPort(open.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nats.Connect("nats://127.0.0.1:" + port); !errors.Is(err, nats.ErrAuthorization) || open.Anonymous() {
		t.Errorf("without a key on a server that listens everywhere: %v", err)
	}
	key, err := nats.NkeyOptionFromSeed(open.SeedFile(engine.UserPublisher))
	if err != nil {
		t.Fatal(err)
	}
	natsWith(t, "nats://127.0.0.1:"+port, key)
}

func TestCredentialsOfNobodyAreRefused(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	other := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	key, err := nats.NkeyOptionFromSeed(other.SeedFile(engine.UserPublisher))
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]nats.Option{
		"another server's key": key, "a password": nats.UserInfo("publisher", "x"), "a token": nats.Token("x"),
	} {
		if _, err := nats.Connect(server.URL(), option); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMessagesUpToTheLimitAreTaken(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small, MaxPayload: 256 << 10})
	makeStreams(t, jetStream(t, natsAs(t, server, engine.UserOperator)))
	js := jetStream(t, natsAs(t, server, engine.UserPublisher))
	msg := &nats.Msg{Subject: "login.events.acme.login", Data: bytes.Repeat([]byte("x"), 64<<10), Header: nats.Header{}}
	msg.Header.Set("Large", strings.Repeat("h", 32<<10))
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Errorf("64 KiB and its headers: %v", err)
	}
	msg.Data = bytes.Repeat(msg.Data, 5)
	if _, err := js.PublishMsg(t.Context(), msg); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("more than the limit: %v", err)
	}
}

func TestSeedsAreMadeWhereTheyAreWantedAndKeptPrivate(t *testing.T) {
	dir := t.TempDir()
	seeds := map[engine.NATSUser]string{engine.UserPublisher: filepath.Join(dir, "publisher.nk")}
	server := startNATS(t, engine.NATSConfig{Dir: filepath.Join(dir, "nats"), MaxStore: small, Seeds: seeds})
	for user, want := range map[engine.NATSUser]string{
		engine.UserPublisher: filepath.Join(dir, "publisher.nk"),
		engine.UserIngest:    filepath.Join(dir, "nats", "ingest.nk"),
		engine.UserOperator:  filepath.Join(dir, "nats", "operator.nk"),
	} {
		if server.SeedFile(user) != want {
			t.Errorf("seed of %s in %s, want %s", user, server.SeedFile(user), want)
		}
		if info, err := os.Stat(want); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", want, info, err)
		}
	}
}

func refusedNATS(t *testing.T, cfg engine.NATSConfig) error {
	t.Helper()
	server := engine.NewNATS(cfg)
	err := server.Start(t.Context())
	if err == nil {
		stop(t, server)
		t.Fatal("it started")
	}
	if server.Healthy() == nil || server.URL() != "" {
		t.Errorf("after a failed start: url %q", server.URL())
	}
	return err
}

func TestWhyTheServerDoesNotStartIsTold(t *testing.T) {
	running := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: small})
	dir := filepath.Dir(running.SeedFile(engine.UserIngest))
	taken := refusedNATS(t, engine.NATSConfig{Dir: t.TempDir(), Addr: running.Addr(), MaxStore: small})
	if mention(t, taken, running.Addr(), "another process"); !errors.Is(taken, engine.ErrPortTaken) {
		t.Errorf("%v is not ErrPortTaken", taken)
	}
	inUse := refusedNATS(t, engine.NATSConfig{Dir: dir, MaxStore: small})
	if mention(t, inUse, dir, "process "+strconv.Itoa(os.Getpid())); !errors.Is(inUse, engine.ErrDirInUse) {
		t.Errorf("%v is not ErrDirInUse", inUse)
	}
	room, err := engine.StoreRoom(dir)
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.nk")
	if err := os.WriteFile(bad, []byte("not a seed"), 0o600); err != nil {
		t.Fatal(err)
	}
	notAFolder := t.TempDir()
	if err := os.WriteFile(filepath.Join(notAFolder, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	free := t.TempDir()
	shared := filepath.Join(t.TempDir(), "shared.nk")
	for _, c := range []struct {
		cfg  engine.NATSConfig
		want []string
	}{
		{engine.NATSConfig{}, []string{"data directory", "not given"}},
		{engine.NATSConfig{Dir: bad}, []string{"data directory", bad}},
		{engine.NATSConfig{Dir: free, Addr: "nowhere"}, []string{"nowhere", "host:port"}},
		{engine.NATSConfig{Dir: free, Addr: "127.0.0.1:many"}, []string{"port", "65535"}},
		{engine.NATSConfig{Dir: free, Addr: "192.0.2.1:4222"}, []string{"192.0.2.1:4222"}},
		{engine.NATSConfig{Dir: free, Addr: "nowhere.invalid:4222"}, []string{"nowhere.invalid"}},
		{engine.NATSConfig{Dir: free, MaxPayload: 1000}, []string{"1000", "128 KiB"}},
		{engine.NATSConfig{Dir: free, MaxStore: 1000}, []string{"1000", "16 MiB"}},
		{engine.NATSConfig{Dir: free, MaxStore: 2 * room}, []string{"disk", fmt.Sprint(2 * room)}},
		{engine.NATSConfig{Dir: notAFolder, MaxStore: small}, []string{"JetStream", notAFolder}},
		{engine.NATSConfig{Dir: free, Seeds: map[engine.NATSUser]string{engine.UserIngest: bad}}, []string{"key of ingest", bad, "remove"}},
		{
			engine.NATSConfig{Dir: free, MaxStore: small, Seeds: map[engine.NATSUser]string{engine.UserIngest: shared, engine.UserPublisher: shared}},
			[]string{"accounts", "Duplicate nkey"},
		},
	} {
		mention(t, refusedNATS(t, c.cfg), append(c.want, "start nats")...)
	}
}

func TestUnlessToldTheStreamsTakeHalfOfTheFreeDiskAtMost(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir()})
	room, err := engine.StoreRoom(filepath.Dir(server.SeedFile(engine.UserIngest)))
	if err != nil {
		t.Fatal(err)
	}
	if limit := server.MaxStore(); limit <= 0 || limit > room {
		t.Errorf("limit %d with %d free", limit, room)
	}
	_, err = jetStream(t, natsAs(t, server, engine.UserOperator)).CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "TOO_LARGE", Subjects: []string{"login.parked.>"}, MaxBytes: server.MaxStore() + 1,
	})
	mention(t, err, "insufficient storage")
	if _, err := engine.StoreLimit("/proc", 0); err == nil {
		t.Error("a disk without room is enough")
	}
	if _, err := engine.StoreLimit(filepath.Join(t.TempDir(), "nowhere"), 0); err == nil {
		t.Error("a folder that is not there has room")
	}
}

func TestAServerThatMayNotWaitForItsEndEndsAllTheSame(t *testing.T) {
	dir := t.TempDir()
	server := startNATS(t, engine.NATSConfig{Dir: dir, MaxStore: small})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Close(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	next := engine.NewNATS(engine.NATSConfig{Dir: dir, MaxStore: small})
	eventually(t, "its end frees the directory", func() bool { return next.Start(t.Context()) == nil })
	stop(t, next)
}

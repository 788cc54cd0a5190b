package publish_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// programs are what this test binary is when it is called by their name.
func programs() map[string]func(args []string) int {
	return map[string]func([]string) int{
		killedProgram:  publishUntilKilled,
		limitedProgram: publishOnLimitedDisk,
	}
}

func TestMain(m *testing.M) {
	if run, ok := programs()[filepath.Base(os.Args[0])]; ok {
		os.Exit(run(os.Args[1:]))
	}
	// A NATS server that is stopped while it takes messages may leave goroutines
	// of its store behind. They are the server's, which no auth service contains.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(natsServer+".(*msgBlock).flushLoop"),
		goleak.IgnoreAnyFunction(natsServer+".(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction(natsServer+"/ats.Register.func1"),
	)
}

const natsServer = "github.com/nats-io/nats-server/v2/server"

// start starts one of programs as a process of its own.
func start(t testing.TB, program string, args ...string) *testsystem.Process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), exe, args...) // Start ends it
	cmd.Args[0] = program
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	return testsystem.Start(t, cmd)
}

// startServer starts a real NATS server with JetStream; change may alter its options.
func startServer(dir string, change func(*natsserver.Options)) (*natsserver.Server, error) {
	options := &natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT,
		JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true,
	}
	if change != nil {
		change(options)
	}
	s, err := natsserver.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("create NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(30 * time.Second) {
		return nil, fmt.Errorf("start NATS server: it takes no connections")
	}
	return s, nil
}

func server(t testing.TB, change func(*natsserver.Options)) *natsserver.Server {
	t.Helper()
	s, err := startServer(t.TempDir(), change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

func connect(t testing.TB, s *natsserver.Server, options ...nats.Option) *nats.Conn {
	t.Helper()
	options = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(10 * time.Millisecond)}, options...)
	nc, err := nats.Connect(s.ClientURL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// eventsConfig is the least that the stream LOGIN_EVENTS must be.
func eventsConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "LOGIN_EVENTS", Subjects: []string{"login.events.>"},
		Discard: jetstream.DiscardNew, AllowAtomicPublish: true, Duplicates: time.Minute,
	}
}

// events creates the stream; change may alter it.
func events(t testing.TB, nc *nats.Conn, change func(*jetstream.StreamConfig)) jetstream.Stream {
	t.Helper()
	config := eventsConfig()
	if change != nil {
		change(&config)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.CreateStream(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publisher(t testing.TB, nc *nats.Conn, options publish.Options) *publish.Publisher {
	t.Helper()
	p, err := publish.New(nc, options)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func login(id string) event.Event {
	return event.Event{
		ID: id, Account: "acme", Username: "ada", Entry: 1, Status: 1,
		OccurredAt: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC),
	}
}

func logins(n int) []event.Event {
	all := make([]event.Event, n)
	for i := range all {
		all[i] = login(fmt.Sprintf("e-%05d", i))
	}
	return all
}

func message(t testing.TB, e event.Event) publish.Message {
	t.Helper()
	m, err := publish.NewMessage(e)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// messages is how many the stream holds.
func messages(t testing.TB, s jetstream.Stream) uint64 {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

func portOf(t testing.TB, address string) int {
	t.Helper()
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return int(a.Port())
}

// exampleServer stands for the NATS servers of an installation.
func exampleServer() (url string, stop func()) {
	dir, err := os.MkdirTemp("", "publish-example-*")
	if err != nil {
		panic(err)
	}
	s, err := startServer(dir, nil)
	if err != nil {
		panic(err)
	}
	stop = func() {
		s.Shutdown()
		s.WaitForShutdown()
		_ = os.RemoveAll(dir)
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		panic(err)
	}
	if _, err := js.CreateStream(context.Background(), eventsConfig()); err != nil {
		panic(err)
	}
	return s.ClientURL(), stop
}

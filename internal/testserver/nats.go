package testserver

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// natsStore is what the streams of one test may take of the disk.
const natsStore = 1 << 30

// NATSServer is an embedded NATS server that one test has for itself.
type NATSServer struct {
	// URL is where clients connect; it stays over Restart.
	URL string
	// Publisher, Ingest and Operator are the files with the nkey seeds.
	Publisher, Ingest, Operator string

	tb     testing.TB
	dir    string
	addr   string
	server *engine.NATS
}

// NATS starts a server with no streams in a directory of its own, and stops it
// when the test ends.
func NATS(tb testing.TB) *NATSServer {
	tb.Helper()
	s := &NATSServer{tb: tb, dir: tb.TempDir(), addr: "127.0.0.1:0"}
	tb.Cleanup(s.Stop)
	s.Start()
	s.URL, s.addr = s.server.URL(), s.server.Addr()
	s.Publisher = s.server.SeedFile(engine.UserPublisher)
	s.Ingest = s.server.SeedFile(engine.UserIngest)
	s.Operator = s.server.SeedFile(engine.UserOperator)
	return s
}

// Start starts a server that was stopped, with its data, on its port.
func (s *NATSServer) Start() {
	s.tb.Helper()
	s.server = engine.NewNATS(engine.NATSConfig{Dir: s.dir, Addr: s.addr, MaxStore: natsStore})
	if err := s.server.Start(context.WithoutCancel(s.tb.Context())); err != nil {
		s.tb.Fatalf("testserver: %v", err)
	}
}

// Stop stops the server in order. Its data stay.
func (s *NATSServer) Stop() {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	if err := s.server.Close(ctx); err != nil {
		s.tb.Errorf("testserver: %v", err)
	}
}

// Restart stops the server and starts it again, with its data, on its port.
func (s *NATSServer) Restart() {
	s.tb.Helper()
	s.Stop()
	s.Start()
}

// Options returns what nats.Connect takes to sign in as the given user.
func (s *NATSServer) Options(as engine.NATSUser) []nats.Option {
	s.tb.Helper()
	key, err := nats.NkeyOptionFromSeed(s.server.SeedFile(as))
	if err != nil {
		s.tb.Fatalf("testserver: read seed of %s: %v", as, err)
	}
	return []nats.Option{key, nats.CustomInboxPrefix(as.InboxPrefix()), nats.MaxReconnects(-1)}
}

// Connect signs in as the given user, with more options if wanted, and closes
// the connection when the test ends.
func (s *NATSServer) Connect(as engine.NATSUser, more ...nats.Option) *nats.Conn {
	s.tb.Helper()
	nc, err := nats.Connect(s.URL, append(s.Options(as), more...)...)
	if err != nil {
		s.tb.Fatalf("testserver: connect as %s: %v", as, err)
	}
	s.tb.Cleanup(nc.Close)
	return nc
}

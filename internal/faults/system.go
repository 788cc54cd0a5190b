package faults

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// Options say what a System is like. The zero value is a usual one.
type Options struct {
	// Seed decides which events are published. Default 1.
	Seed uint64
	// AckWait is after how long what a dead worker had in hand is delivered
	// again. Default 2 s; below it, workers have it confirmed every third of it.
	AckWait time.Duration
	// StreamFlags are further flags of "loginaudit streams", such as
	// --stream-max-bytes=2MiB.
	StreamFlags []string
	// NATSFlags and ClickHouseFlags are flags of the servers' programs: for NATS
	// --max-store=BYTES, for ClickHouse --memory=BYTES.
	NATSFlags, ClickHouseFlags []string
	// NATSDisk and ClickHouseDisk put the server on a file system of its own of
	// so many bytes. NATS needs 32 MiB at least, ClickHouse 64. 0: none.
	NATSDisk, ClickHouseDisk int64
}

// System is NATS, ClickHouse and a query service, as processes that a test
// breaks. Workers and publishers are added to it.
type System struct {
	// NATS and ClickHouse are the servers.
	NATS, ClickHouse *Server
	// Query is the query service that Check asks.
	Query *Query
	// Seed is that of the made-up events.
	Seed uint64

	tb        testing.TB
	options   Options
	proxies   *toxiproxy.ApiServer
	tokenFile string
	token     string
	operator  jetstream.JetStream
	ledger    *ledger
	events    *generator
	workers   []*Worker
	watch     *watch
}

// Start starts both servers, makes schema and streams, and starts the query
// service. All of it ends with the test.
func Start(tb testing.TB, o Options) *System {
	tb.Helper()
	if o.Seed == 0 {
		o.Seed = 1
	}
	if o.AckWait == 0 {
		o.AckWait = 2 * time.Second
	}
	s := &System{tb: tb, options: o, Seed: o.Seed, proxies: newProxies(), ledger: newLedger()}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the events were made up with seed %d", s.Seed)
		}
	})
	dir := tb.TempDir()
	s.NATS = newServer(tb, "nats", filepath.Join(dir, "nats"), o.NATSDisk, o.NATSFlags)
	s.ClickHouse = newServer(tb, "clickhouse", filepath.Join(dir, "clickhouse"), o.ClickHouseDisk, o.ClickHouseFlags)
	s.ClickHouse.Launch()
	s.NATS.Start()
	s.ClickHouse.Await()
	s.MustLoginaudit("migrate")
	s.EnsureStreams()
	s.makeToken(dir)
	s.events = newGenerator(tb, o.Seed)
	s.connectOperator()
	s.Query = newQuery(s)
	s.Query.Start()
	s.Query.Ready()
	s.watch = startWatch(tb, s)
	return s
}

func (s *System) makeToken(dir string) {
	s.tb.Helper()
	s.tokenFile = filepath.Join(dir, "admin.token")
	token, err := access.OpenAdminToken(s.tokenFile)
	if err != nil {
		s.tb.Fatalf("faults: make token: %v", err)
	}
	s.token = token.Secret()
}

// connectOperator connects straight to NATS, as the operator.
func (s *System) connectOperator() {
	s.tb.Helper()
	nc := s.connect(s.NATS.Addr(), engine.UserOperator)
	js, err := jetstream.New(nc)
	if err != nil {
		s.tb.Fatalf("faults: open JetStream: %v", err)
	}
	s.operator = js
}

// connect connects to NATS for good. The connection ends with the test.
func (s *System) connect(addr string, user engine.NATSUser) *nats.Conn {
	s.tb.Helper()
	key, err := nats.NkeyOptionFromSeed(s.NATS.ready.Keys[string(user)])
	if err != nil {
		s.tb.Fatalf("faults: read key: %v", err)
	}
	nc, err := nats.Connect("nats://"+addr, key, nats.CustomInboxPrefix(user.InboxPrefix()),
		nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(20*time.Millisecond, 0),
		// Whatever goes wrong shows in what is asked.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		s.tb.Fatalf("faults: connect to NATS: %v", err)
	}
	s.tb.Cleanup(nc.Close)
	return nc
}

// clickHouseEnv are the settings of a client of ClickHouse.
func (s *System) clickHouseEnv(addr string, role engine.Role) []string {
	return []string{
		"LOGINAUDIT_CLICKHOUSE_ADDR=" + addr,
		"LOGINAUDIT_CLICKHOUSE_USERNAME=" + string(role),
		"LOGINAUDIT_CLICKHOUSE_PASSWORD=" + s.ClickHouse.ready.Keys[string(role)],
	}
}

// natsEnv are the settings of a client of NATS.
func (s *System) natsEnv(addr string, user engine.NATSUser) []string {
	return []string{
		"LOGINAUDIT_NATS_URL=nats://" + addr,
		"LOGINAUDIT_NATS_NKEY=" + s.NATS.ready.Keys[string(user)],
		"LOGINAUDIT_NATS_INBOX_PREFIX=" + user.InboxPrefix(),
	}
}

// Loginaudit runs the operator's tool to its end: "migrate" as the owner of the
// schema, everything else as NATS's operator; straight, not through a proxy.
func (s *System) Loginaudit(args ...string) testsystem.Result {
	s.tb.Helper()
	cmd := testsystem.Command(s.tb, "loginaudit", args...)
	switch args[0] {
	case "migrate":
		cmd.Env = append(cmd.Env, s.clickHouseEnv(s.ClickHouse.Addr(), engine.RoleOwner)...)
	case "streams":
		cmd.Env = append(cmd.Env, s.natsEnv(s.NATS.Addr(), engine.UserOperator)...)
	default: // the commands that may also find a serve by its directory
		cmd.Args = append(cmd.Args, "--nats", "nats://"+s.NATS.Addr(), "--data-dir", s.tb.TempDir(),
			"--nkey", s.NATS.ready.Keys[string(engine.UserOperator)], "--inbox-prefix", engine.UserOperator.InboxPrefix())
	}
	return testsystem.Run(s.tb, cmd)
}

// MustLoginaudit is Loginaudit, and fails the test where that fails.
func (s *System) MustLoginaudit(args ...string) testsystem.Result {
	s.tb.Helper()
	r := s.Loginaudit(args...)
	if r.Status != 0 {
		s.tb.Fatalf("loginaudit %v: %+v", args, r)
	}
	return r
}

// EnsureStreams makes the streams and the consumer as Options say, with further
// flags of "loginaudit streams". The window in which the stream spares repeats is
// as short as can be, so that repeats are in the stream.
func (s *System) EnsureStreams(flags ...string) {
	s.tb.Helper()
	args := append([]string{"streams", "--stream-ack-wait", s.options.AckWait.String(), "--stream-duplicate-window=100ms"}, s.options.StreamFlags...)
	s.MustLoginaudit(append(args, flags...)...)
}

// Until waits until holds returns nil, and fails the test when
// testsystem.Patience ends.
func (s *System) Until(what string, holds func() error) {
	s.tb.Helper()
	testsystem.Until(s.tb, what, holds)
}

// AtLeast is nil where got, if it could be asked for, is at least want.
func AtLeast[N int | uint64 | float64](got N, want N) error {
	if got < want {
		return fmt.Errorf("it is %v, want at least %v", got, want)
	}
	return nil
}

// Exactly is nil where got is want.
func Exactly[N int | uint64 | float64](got N, want N) error {
	if got != want {
		return fmt.Errorf("it is %v, want %v", got, want)
	}
	return nil
}

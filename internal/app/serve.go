package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// server is one run of serve.
type server struct {
	*process
	settings ServeSettings
	token    access.AdminToken

	nats       *engine.NATS
	clickhouse *engine.ClickHouse
	addresses  Addresses
	// The listeners of admin and NATS, as they are bound.
	boundAdmin, boundNATS net.Addr
}

// RunServe runs the whole system on the data directory until ctx ends. It tells
// people on out where the page is and how to sign in.
//
// Nothing that happens to ClickHouse ends it: the engine is started again, the
// worker repeats its insert, and /readyz tells.
func RunServe(ctx context.Context, s ServeSettings, shown map[string]any, out io.Writer) (err error) {
	lock, err := lockDataDir(s.DataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	// What an earlier run that was killed left there is not true any more.
	if err := removeAddresses(s.DataDir); err != nil {
		return err
	}
	p, err := newProcess(ctx, "serve", s.ProcessSettings, shown)
	if err != nil {
		return err
	}
	sv := &server{process: p, settings: s}
	return p.until(ctx, func(ctx context.Context) error { return sv.start(ctx, out) })
}

// start starts the parts in the order in which events flow.
func (sv *server) start(ctx context.Context, out io.Writer) error {
	admin, err := sv.serveAdmin(ctx, sv.settings.AdminSettings)
	if err != nil {
		return err
	}
	sv.addresses.Admin, sv.boundAdmin = dialable(admin), admin
	sv.token, err = access.OpenAdminToken(filepath.Join(sv.settings.DataDir, tokenFile))
	if err != nil {
		return fmt.Errorf("open admin token: %w", err)
	}
	if err := sv.measure(engine.DiskMetrics(sv.settings.DataDir)); err != nil {
		return err
	}
	if err := sv.startNATS(ctx); err != nil {
		return err
	}
	if err := sv.startClickHouse(ctx); err != nil {
		return err
	}
	if err := sv.startIngest(ctx); err != nil {
		return err
	}
	page, err := sv.startQuery(ctx)
	if err != nil {
		return err
	}
	sv.addresses.HTTP, sv.addresses.HTTPTLS = page.addr, page.tls
	if err := sv.addresses.write(sv.settings.DataDir); err != nil {
		return err
	}
	// The first to go: nobody is sent to what is stopping.
	sv.life.OnStop("addresses", func(context.Context) error { return removeAddresses(sv.settings.DataDir) })
	sv.welcome(out, page)
	return nil
}

// startNATS starts the embedded NATS server and makes the streams.
func (sv *server) startNATS(ctx context.Context) error {
	config, err := ops.LoadTLS(sv.settings.NATS.TLSCert, sv.settings.NATS.TLSKey)
	if err != nil {
		return err
	}
	sv.nats = engine.NewNATS(engine.NATSConfig{
		Dir:      filepath.Join(sv.settings.DataDir, "nats"),
		Addr:     sv.settings.NATS.Addr,
		MaxStore: int64(sv.settings.NATS.MaxStore),
		Seeds:    map[engine.NATSUser]string{engine.UserPublisher: filepath.Join(sv.settings.DataDir, publisherFile)},
		TLS:      config,
		Log:      sv.log.With(zap.String("component", "nats")),
	})
	if err := sv.nats.Start(ctx); err != nil {
		return portHint(err, "nats-addr")
	}
	sv.life.OnStop("nats server", sv.nats.Close)
	if err := sv.measure(append(sv.nats.Metrics(), ops.CertificateExpiry("nats", config))...); err != nil {
		return err
	}
	sv.health.Add("nats", func(context.Context) error { return sv.nats.Healthy() })
	addr, err := net.ResolveTCPAddr("tcp", sv.nats.Addr())
	if err != nil {
		return fmt.Errorf("read address of nats: %w", err)
	}
	sv.boundNATS = addr
	sv.addresses.NATS, sv.addresses.NATSTLS = dialable(addr), config != nil
	return sv.makeStreams(ctx)
}

// makeStreams makes the streams and the consumer, or changes them to what the
// settings say.
func (sv *server) makeStreams(ctx context.Context) error {
	return sv.asOperator(func(nc *nats.Conn) error {
		return sv.ensureStreams(ctx, nc, sv.settings.StreamSettings, sv.settings.BatchSettings)
	})
}

// asOperator lends a connection of the operator, who alone may change streams.
func (sv *server) asOperator(do func(*nats.Conn) error) error {
	nc, err := sv.connect(engine.UserOperator)
	if err != nil {
		return err
	}
	defer nc.Close()
	return do(nc)
}

// connect connects to the embedded server, inside of this process, as one of
// its users.
func (sv *server) connect(user engine.NATSUser) (*nats.Conn, error) {
	config, err := insideTLS(sv.settings.NATS)
	if err != nil {
		return nil, err
	}
	return natsClient{
		url:   sv.addresses.NATSURL(),
		name:  "loginaudit " + string(user),
		nkey:  sv.nats.SeedFile(user),
		inbox: user.InboxPrefix(),
		tls:   config,
		wait:  true,
		log:   sv.log,
	}.connect()
}

// startClickHouse starts the embedded engine, which may die and come back, and
// brings the schema up to date.
func (sv *server) startClickHouse(ctx context.Context) error {
	sv.clickhouse = engine.NewClickHouse(engine.ClickHouseConfig{
		Dir:         filepath.Join(sv.settings.DataDir, "clickhouse"),
		Addr:        sv.settings.Engine.Addr,
		Library:     sv.settings.Engine.Library,
		Databases:   []string{database},
		MemoryLimit: int64(sv.settings.Engine.Memory),
		Log:         sv.log.With(zap.String("component", "clickhouse")),
	})
	if err := sv.measure(sv.clickhouse.Metrics()...); err != nil {
		return err
	}
	if err := sv.clickhouse.Start(ctx); err != nil {
		return libraryHint(portHint(err, "engine-addr"), sv.settings.Engine.Library)
	}
	sv.life.OnStop("clickhouse server", sv.clickhouse.Close)
	sv.health.Add("clickhouse engine", func(context.Context) error { return sv.clickhouse.Healthy() })
	sv.addresses.ClickHouse = sv.clickhouse.Addr()
	applied, err := store.Migrate(ctx, sv.as(engine.RoleOwner))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, m := range applied {
		sv.log.Info("migrated", zap.Int64("version", m.Version), zap.String("name", m.Name), zap.Duration("elapsed", m.Took))
	}
	return sv.restoreSchema(ctx)
}

// restoreSchema makes again what somebody has dropped: no worker runs yet. Where it
// cannot, the worker will hold back and tell, but publishers are served.
func (sv *server) restoreSchema(ctx context.Context) error {
	err := store.Restore(ctx, sv.as(engine.RoleOwner), store.RestoreConfig{Tell: func(step string, took time.Duration) {
		sv.log.Warn("restored the schema", zap.String("step", step), zap.Duration("elapsed", took))
	}})
	if errors.Is(err, store.ErrNotRestorable) {
		sv.log.Error("cannot restore the schema", zap.Error(err))
		return nil
	}
	return err
}

// as is the store's configuration for one of the engine's users.
func (sv *server) as(role engine.Role) store.Config {
	user, password := sv.clickhouse.Credentials(role)
	return store.Config{
		Addr: sv.clickhouse.Addr(), Database: database, Username: user, Password: password,
		SessionLimit: sv.settings.SessionLimit,
		WatermarkAge: watermarkAge,
	}
}

func (sv *server) startIngest(ctx context.Context) error {
	db, err := sv.openStore(ctx, "clickhouse writer", sv.as(engine.RoleWriter))
	if err != nil {
		return err
	}
	nc, err := sv.connect(engine.UserIngest)
	if err != nil {
		return err
	}
	sv.life.OnStop("nats connection", func(context.Context) error { nc.Close(); return nil })
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	return sv.ingest(ctx, js, db, sv.settings.BatchSettings, sv.opener(js, sv.makeStreams))
}

func (sv *server) startQuery(ctx context.Context) (*served, error) {
	db, err := sv.openStore(ctx, "clickhouse reader", sv.as(engine.RoleReader))
	if err != nil {
		return nil, err
	}
	return sv.query(ctx, db, sv.token, sv.settings.HTTP, sv.settings.AnswerSettings)
}

// portHint names the flag that chooses another address.
func portHint(err error, flag string) error {
	if errors.Is(err, engine.ErrPortTaken) {
		return fmt.Errorf("%w (choose another with --%s)", err, flag)
	}
	return err
}

// libraryHint tells how to get the engine's library where a file was named that
// is none; where none was named, the error itself tells.
func libraryHint(err error, named string) error {
	if named != "" && errors.Is(err, engine.ErrLibraryMissing) {
		return fmt.Errorf("%w (\"npm ci\" in the folder of loginaudit installs it where it is found without --engine-library)", err)
	}
	return err
}

// insideTLS is how this process itself trusts the NATS server beside it: by the
// certificate that it serves, whatever name is in it.
func insideTLS(s EmbeddedNATSSettings) (*tls.Config, error) {
	if s.TLSCert == "" {
		return nil, nil //nolint:nilnil // nil is the library's own word for plain TCP
	}
	pem, err := os.ReadFile(s.TLSCert)
	if err != nil {
		return nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	return trustExactly(pem)
}

// welcome tells people where everything is.
func (sv *server) welcome(out io.Writer, page *served) {
	dir, a := sv.settings.DataDir, sv.addresses
	link := a.HTTPURL() + "/sign-in?" + url.Values{"code": {page.auth.NewCode()}}.Encode()
	anonymous := "publishers on this machine need no key"
	if !sv.nats.Anonymous() {
		anonymous = "publishers log in with the key in " + filepath.Join(dir, publisherFile)
	}
	fmt.Fprintf(out, `
  loginaudit serves on this machine.

  page       %s
  sign in    %s
             (works once, for %d minutes; later with the token in %s)
  publish    %s - %s
  health     %s
  data       %s

  "make demo" in another terminal fills it with made-up log-ins. Ctrl-C stops it.

`, reachable(a.HTTPURL(), page.bound), link, int(access.CodeLifetime.Minutes()), filepath.Join(dir, tokenFile),
		reachable(a.NATSURL(), sv.boundNATS), anonymous, reachable("http://"+a.Admin+"/readyz", sv.boundAdmin), dir)
}

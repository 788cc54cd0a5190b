package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

const (
	// natsStartWait bounds the start, most of which is reading the streams back.
	natsStartWait = 5 * time.Minute
	// defaultMaxPayload is what NATS itself allows unless told otherwise.
	defaultMaxPayload = mebibyte
	// minMaxPayload holds the largest event (64 KiB) and its headers.
	minMaxPayload = 128 << 10
	// jetStreamMemory is for memory streams, of which loginaudit has none.
	jetStreamMemory = 64 * mebibyte
	// minMaxStore is the least room with which JetStream is of any use.
	minMaxStore = 16 * mebibyte
)

// NATSConfig says where and how the embedded NATS server runs.
type NATSConfig struct {
	// Dir is the directory that the server has for itself. It is made, with mode
	// 0700, when it is missing. The streams are in jetstream/LOGINAUDIT/streams.
	Dir string
	// Addr is the address, host:port, to listen on; port 0 takes a free one.
	// Empty: 127.0.0.1:0. On a loopback address a client without a key may publish
	// events; on any other it is refused.
	Addr string
	// MaxStore is the most that all streams together take of the disk, in bytes,
	// at least 16 MiB and at most what is free on it. 0: half of what is free,
	// counting what the streams take already as free.
	MaxStore int64
	// MaxPayload is the largest message, in bytes, headers included, from 128 KiB
	// to 8 MiB. 0: 1 MiB.
	MaxPayload int32
	// Seeds are the files, mode 0600, that hold the nkey seed of each user. A
	// file that is missing is made. A user that is not named has its file in
	// Dir, named after it with ".nk" at the end.
	Seeds map[NATSUser]string
	// TLS is for clients; nil: plain TCP.
	TLS *tls.Config
	// Log takes what the server warns of; nil: nothing is logged.
	Log *zap.Logger
}

// NATS is the embedded NATS server. Its methods may be called from several
// goroutines at once.
type NATS struct {
	cfg NATSConfig
	log *natsLog

	mu       sync.Mutex
	server   *natsserver.Server // nil while it does not run
	lock     *os.File
	addr     string
	loopback bool
	maxStore int64
}

// NewNATS returns a server that is not started; it touches nothing.
func NewNATS(cfg NATSConfig) *NATS {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.MaxPayload == 0 {
		cfg.MaxPayload = defaultMaxPayload
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	seeds := map[NATSUser]string{}
	for _, user := range NATSUsers() {
		seeds[user] = cfg.Seeds[user]
		if seeds[user] == "" {
			seeds[user] = filepath.Join(cfg.Dir, string(user)+".nk")
		}
	}
	cfg.Seeds = seeds
	return &NATS{cfg: cfg, log: newNATSLog(cfg.Log)}
}

// Start starts the server and returns when it accepts connections and JetStream
// has read its streams back, or with the reason why not: [ErrDirInUse],
// [ErrPortTaken], an error of the file system or of the server. It can be
// called again after Close.
func (n *NATS) Start(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.start(ctx); err != nil {
		return fmt.Errorf("start nats: %w", err)
	}
	return nil
}

func (n *NATS) start(ctx context.Context) (err error) {
	if n.server != nil {
		return errors.New("it runs already")
	}
	host, port, err := n.cfg.check(ctx)
	if err != nil {
		return err
	}
	if err := privateDir(n.cfg.Dir); err != nil {
		return err
	}
	if n.lock, err = lockDir(ctx, n.cfg.Dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = n.lock.Close() // this ends the lock; nothing was written through it since
		}
	}()
	if n.maxStore, err = storeLimit(n.cfg.Dir, n.cfg.MaxStore); err != nil {
		return err
	}
	keys, err := loadSeeds(n.cfg.Seeds)
	if err != nil {
		return err
	}
	n.loopback = host.IsLoopback()
	options, err := n.options(host, port, keys)
	if err != nil {
		return err
	}
	if err := portFree(ctx, options); err != nil {
		return err
	}
	return n.run(ctx, options)
}

// check returns the address to listen on.
func (cfg *NATSConfig) check(ctx context.Context) (net.IP, int, error) {
	if cfg.Dir == "" {
		return nil, 0, errors.New("data directory: not given")
	}
	if cfg.MaxPayload < minMaxPayload || cfg.MaxPayload > 8*mebibyte {
		return nil, 0, fmt.Errorf("largest message %d: from 128 KiB to 8 MiB", cfg.MaxPayload)
	}
	host, text, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return nil, 0, fmt.Errorf("address %q: want host:port: %w", cfg.Addr, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, 0, fmt.Errorf("address %q: the port is a number from 0 to 65535", cfg.Addr)
	}
	if host == "" {
		return net.IPv6unspecified, int(port), nil // every address, as in net.Listen
	}
	// Resolved once, so that what is checked is what is listened on.
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return nil, 0, fmt.Errorf("address %q: %w", cfg.Addr, err)
	}
	return ips[0], int(port), nil
}

// options lays what the server needs over the accounts and users.
func (n *NATS) options(host net.IP, port int, keys map[NATSUser]string) (*natsserver.Options, error) {
	anonymous := ""
	if n.loopback {
		var err error
		if anonymous, err = anonymousKey(); err != nil {
			return nil, err
		}
	}
	options := &natsserver.Options{}
	if err := options.ProcessConfigString(accountsConfig(keys, anonymous)); err != nil {
		return nil, fmt.Errorf("set up accounts: %w", err)
	}
	if port == 0 {
		port = natsserver.RANDOM_PORT
	}
	options.ServerName = "loginaudit"
	options.Host, options.Port = host.String(), port
	options.NoSigs = true
	options.NoAuthUser = anonymous
	options.MaxConn = maxConnections
	options.MaxPayload = n.cfg.MaxPayload
	options.StoreDir = n.cfg.Dir
	options.JetStreamMaxMemory, options.JetStreamMaxStore = jetStreamMemory, n.maxStore
	// An acknowledged message survives power loss, not only a crash.
	options.SyncAlways = true
	options.DisableJetStreamBanner = true
	options.JetStreamLimits = batchLimits()
	if n.cfg.TLS != nil {
		options.TLS, options.TLSConfig, options.TLSTimeout = true, n.cfg.TLS, 5
	}
	return options, nil
}

// portFree finds out early, with a clear error, that the port is taken.
func portFree(ctx context.Context, options *natsserver.Options) error {
	if options.Port == natsserver.RANDOM_PORT {
		return nil
	}
	listener, err := listen(ctx, net.JoinHostPort(options.Host, strconv.Itoa(options.Port)))
	if err != nil {
		return err
	}
	return listener.Close()
}

// run starts the server and waits until it is ready, or has given up.
func (n *NATS) run(ctx context.Context, options *natsserver.Options) error {
	ctx, cancel := context.WithTimeout(ctx, natsStartWait)
	defer cancel()
	server, err := natsserver.NewServer(options)
	if err != nil {
		return err
	}
	n.log.forget()
	server.SetLoggerV2(n.log, false, false, false)
	started := make(chan struct{})
	go func() {
		defer close(started)
		server.Start()
	}()
	for !server.ReadyForConnections(100 * time.Millisecond) {
		err := n.log.fatalError()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			server.Shutdown()
			server.WaitForShutdown()
			<-started
			return fmt.Errorf("%w (data directory %s)", err, n.cfg.Dir)
		}
	}
	<-started
	n.server, n.addr = server, server.Addr().String()
	return nil
}

// Addr returns the address, host:port, that the server listens on; empty before
// Start.
func (n *NATS) Addr() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addr
}

// URL returns the address for clients: nats://host:port, with TLS
// tls://host:port; empty before Start.
func (n *NATS) URL() string {
	addr := n.Addr()
	switch {
	case addr == "":
		return ""
	case n.cfg.TLS != nil:
		return "tls://" + addr
	default:
		return "nats://" + addr
	}
}

// Anonymous tells whether clients without a key are let in, with the
// publisher's rights. Known after Start.
func (n *NATS) Anonymous() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.loopback
}

// MaxStore returns, in bytes, the most that all streams together may take.
// Known after Start.
func (n *NATS) MaxStore() int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.maxStore
}

// SeedFile returns the file with the nkey seed of a user.
func (n *NATS) SeedFile(user NATSUser) string { return n.cfg.Seeds[user] }

// Healthy returns nil while the server runs with JetStream and its streams can be
// written, else why not.
func (n *NATS) Healthy() error {
	n.mu.Lock()
	server := n.server
	n.mu.Unlock()
	switch {
	case server == nil || !server.Running():
		return errors.New("the NATS server does not run")
	case !server.JetStreamEnabled():
		return errors.New("JetStream has stopped: see the log for the reason")
	}
	// After a write that failed, because the disk was full, a stream takes nothing
	// until the server is started again. Publishers only see that no answer comes.
	if health := server.Healthz(nil); health.Error != "" {
		return fmt.Errorf("%s (free the disk if it is full, then start this again)", health.Error) //nolint:err113 // the server's own words
	}
	return nil
}

// Close stops the server and waits until everything is on disk, or until ctx
// ends. Closing twice does nothing.
func (n *NATS) Close(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server == nil {
		return nil
	}
	server, lock := n.server, n.lock
	n.server = nil
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		server.Shutdown()
		server.WaitForShutdown()
		_ = lock.Close() // only now may another process use the directory
	}()
	select {
	case <-stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop nats: %w", ctx.Err())
	}
}

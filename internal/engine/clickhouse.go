package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"
)

// startWait bounds the time that the engine may take until it answers. Loading
// the library from a cold, slow disk takes most of it.
const startWait = 90 * time.Second

// ErrClosed means that the engine was used after Close or before Start.
var ErrClosed = errors.New("the engine does not run")

// ErrPortTaken means that another process listens on the wanted address.
var ErrPortTaken = errors.New("address is in use")

// ClickHouseConfig says where and how the embedded ClickHouse runs.
type ClickHouseConfig struct {
	// Dir is the directory that the engine has for itself. It is made, with
	// mode 0700, when it is missing.
	Dir string
	// Addr is the loopback address, host:port, to listen on. Port 0 takes a free
	// one, and keeps it over restarts of the child. Empty: 127.0.0.1:0.
	Addr string
	// Library is the path of libchdb.so; empty: see [FindLibrary].
	Library string
	// Databases are the databases that are made and that the three users may
	// use, a letter first, then letters, digits and underscores. Empty:
	// loginaudit.
	Databases []string
	// MemoryLimit is the most memory, in bytes, that the engine takes, at least
	// 384 MiB. 0: half of the machine's or control group's memory, but at least
	// 512 MiB and at most 8 GiB.
	MemoryLimit int64
	// Command starts the child: a program and its first arguments, to which the
	// child's own are added. Empty: this executable with [ChildCommand].
	Command []string
	// Log takes what happens to the child; nil: nothing is logged.
	Log *zap.Logger
}

// ClickHouse is the embedded ClickHouse server. Its methods may be called from
// several goroutines at once.
type ClickHouse struct {
	cfg       ClickHouseConfig
	log       *zap.Logger
	layout    layout
	lock      *os.File
	passwords map[Role]string
	door      *door

	stop    context.CancelFunc // ends the supervision
	stopped chan struct{}      // closed when the supervision has ended

	deaths atomic.Uint64 // children that ended unasked

	mu      sync.Mutex
	process *os.Process // the child's process, running or starting or just ended
	child   *child      // the child that answers; nil while there is none
	admin   driver.Conn // the owner's connection to that child
	failure error       // why there is no child
}

// NewClickHouse returns an engine that is not started; it touches nothing.
func NewClickHouse(cfg ClickHouseConfig) *ClickHouse {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if len(cfg.Databases) == 0 {
		cfg.Databases = []string{"loginaudit"}
	}
	if cfg.MemoryLimit == 0 {
		cfg.MemoryLimit = defaultMemoryLimit()
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	return &ClickHouse{cfg: cfg, log: cfg.Log, failure: ErrClosed}
}

// Start starts the engine and returns when it answers queries and its databases
// exist, or with the reason why not: [ErrPlatform], [ErrLibraryMissing],
// [ErrDirInUse], [ErrPortTaken], an error of the file system, or one that ends
// with the last lines of the engine's own log. It is called once.
func (c *ClickHouse) Start(ctx context.Context) error {
	if err := c.start(ctx); err != nil {
		return fmt.Errorf("start clickhouse: %w", err)
	}
	return nil
}

func (c *ClickHouse) start(ctx context.Context) (err error) {
	if c.stopped != nil {
		return errors.New("it was started before")
	}
	if err := c.cfg.check(); err != nil {
		return err
	}
	if c.cfg.Library, err = FindLibrary(c.cfg.Library); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			c.release()
		}
	}()
	if err := c.prepareDir(ctx); err != nil {
		return err
	}
	listener, err := listen(ctx, c.cfg.Addr)
	if err != nil {
		return err
	}
	c.door = newDoor(listener, c)
	if err := c.launch(ctx); err != nil {
		return err
	}
	if err := c.createDatabases(ctx); err != nil {
		return errors.Join(err, c.endChild())
	}
	supervised, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop, c.stopped = stop, make(chan struct{})
	c.door.open()
	go c.supervise(supervised)
	return nil
}

var databaseName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

func (cfg *ClickHouseConfig) check() error {
	if cfg.Dir == "" {
		return errors.New("data directory: not given")
	}
	if err := checkLoopback(cfg.Addr); err != nil {
		return err
	}
	if cfg.MemoryLimit < minMemoryLimit {
		return fmt.Errorf("memory limit %d: at least %d bytes (384 MiB) are needed", cfg.MemoryLimit, minMemoryLimit)
	}
	for _, name := range cfg.Databases {
		if !databaseName.MatchString(name) {
			return fmt.Errorf("database name %q: a letter, then at most 62 letters, digits and underscores", name)
		}
		switch strings.ToLower(name) {
		case "default", "system", "information_schema":
			return fmt.Errorf("database name %q: it is one of the server's own", name)
		}
	}
	return nil
}

// checkLoopback refuses an address that others than this machine could reach.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("address %q: want host:port: %w", addr, err)
	}
	if !isLoopback(host) {
		return fmt.Errorf("address %q: the embedded engine listens on loopback only (127.0.0.1 or ::1)", addr)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// prepareDir makes the directory, takes its lock and reads the passwords.
func (c *ClickHouse) prepareDir(ctx context.Context) error {
	dir, err := filepath.Abs(c.cfg.Dir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	c.layout = layout{filepath.Join(dir, "server")}
	for _, path := range []string{dir, c.layout.root, c.layout.data(), c.layout.tmp(), c.layout.files(), c.layout.logDir()} {
		if err := privateDir(path); err != nil {
			return err
		}
	}
	if c.lock, err = lockDir(ctx, dir); err != nil {
		return err
	}
	c.passwords, err = loadPasswords(dir)
	return err
}

// privateDir makes a directory that only its owner enters and checks that this
// process can write into it.
func privateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a directory needs its x bit
		return fmt.Errorf("make data directory private: %w", err)
	}
	probe, err := os.CreateTemp(path, ".writable.*")
	if err != nil {
		return fmt.Errorf("data directory %s is not writable: %w", path, err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

func (c *ClickHouse) createDatabases(ctx context.Context) error {
	conn, err := c.adminConn()
	if err != nil {
		return err
	}
	for _, name := range c.cfg.Databases {
		if err := conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+name); err != nil {
			return fmt.Errorf("create database %s: %w", name, err)
		}
	}
	return nil
}

// release gives back what Start took, after a failure or at the end.
func (c *ClickHouse) release() {
	if c.door != nil {
		c.door.close()
	}
	if c.lock != nil {
		_ = c.lock.Close() // this ends the lock; nothing was written through it since
	}
}

// Addr returns the address, host:port, for clients. It is empty before Start.
func (c *ClickHouse) Addr() string {
	if c.door == nil {
		return ""
	}
	return c.door.addr()
}

// Credentials returns name and password of a role. The password is empty before
// Start and for a role that does not exist.
func (c *ClickHouse) Credentials(role Role) (user, password string) {
	return string(role), c.passwords[role]
}

// Healthy returns nil while the engine answers, else why it does not.
func (c *ClickHouse) Healthy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// PID returns the process number of the child, 0 while there is none.
func (c *ClickHouse) PID() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.child == nil {
		return 0
	}
	return c.child.cmd.Process.Pid
}

// Kill ends the child's process at once, as kill -9 does; it is started again.
// It is for tests of what survives that.
func (c *ClickHouse) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return ErrClosed
	}
	return c.process.Kill()
}

// Close stops the engine in order and waits until it has ended: no new
// connections, then the end of the child. When ctx ends first, the child is
// killed, and Close still waits for its end. Closing twice does nothing.
func (c *ClickHouse) Close(ctx context.Context) error {
	if c.stopped == nil {
		return nil
	}
	c.door.close()
	c.stop()
	select {
	case <-c.stopped:
		c.release()
		return nil
	case <-ctx.Done():
	}
	_ = c.Kill() // it has ended by itself in this moment, or ends now
	<-c.stopped
	c.release()
	return fmt.Errorf("stop clickhouse in order: %w", ctx.Err())
}

// Package testserver gives tests real servers: one embedded ClickHouse for each
// test process, with a fresh database for each test, and a fresh embedded NATS
// server for each test. It is imported by tests only.
//
// A test package that uses ClickHouse has
//
//	func TestMain(m *testing.M) { testserver.Main(m) }
//
// because the engine's child process is the test binary itself.
package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/engine"
)

const (
	// databases is how many tests may have a database at once.
	databases = 100
	// memoryLimit is what the shared engine may take.
	memoryLimit = 3 << 30
	// stopWait bounds how long a server may take to stop.
	stopWait = 30 * time.Second
)

// Credentials sign a user in.
type Credentials struct{ User, Password string }

// Database is a fresh, empty database on the engine of this test process.
type Database struct {
	// Addr is the host:port of the native protocol.
	Addr string
	// Database is the name of a database that no other test uses meanwhile.
	Database string
	// Owner, Writer and Reader are the users of package engine.
	Owner, Writer, Reader Credentials
}

// Options returns what clickhouse.Open takes to sign in as the given user of
// the database.
func (d Database) Options(as Credentials) *clickhouse.Options {
	return &clickhouse.Options{
		Addr:        []string{d.Addr},
		Auth:        clickhouse.Auth{Database: d.Database, Username: as.User, Password: as.Password},
		DialTimeout: 10 * time.Second,
	}
}

// shared is the engine of this test process.
var shared = &sharedEngine{} //nolint:gochecknoglobals // one engine for each process is the point

type sharedEngine struct {
	mu     sync.Mutex
	main   bool // Main runs: this binary can be the engine's child
	engine *engine.ClickHouse
	owner  driver.Conn
	dir    string
	err    error // why it did not start; it is not tried again
	free   []string
}

// Main runs the tests of a package and then stops what they shared; it does not
// return. It is called by TestMain, and is also the engine's child process.
func Main(m *testing.M) {
	engine.MaybeRunChild()
	shared.mu.Lock()
	shared.main = true
	shared.mu.Unlock()
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "testserver:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// ClickHouse returns a fresh database for the test, which is dropped when
// the test ends. The first call starts the engine; a test fails when that
// fails.
func ClickHouse(tb testing.TB) Database {
	tb.Helper()
	name, err := shared.take(tb.Context())
	if err != nil {
		tb.Fatalf("testserver: %v", err)
	}
	tb.Cleanup(func() {
		if err := shared.give(name); err != nil {
			tb.Errorf("testserver: %v", err)
		}
	})
	return Database{
		Addr: shared.engine.Addr(), Database: name,
		Owner: shared.as(engine.RoleOwner), Writer: shared.as(engine.RoleWriter), Reader: shared.as(engine.RoleReader),
	}
}

func (s *sharedEngine) as(role engine.Role) Credentials {
	user, password := s.engine.Credentials(role)
	return Credentials{user, password}
}

// take starts the engine if need be and makes a database.
func (s *sharedEngine) take(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.main {
		return "", errors.New("call testserver.Main in TestMain of this package")
	}
	if s.engine == nil && s.err == nil {
		s.err = s.start(ctx)
	}
	if s.err != nil {
		return "", s.err
	}
	if len(s.free) == 0 {
		return "", fmt.Errorf("more than %d tests have a database at once", databases)
	}
	name := s.free[0]
	s.free = s.free[1:]
	if err := s.owner.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+name); err != nil {
		return "", fmt.Errorf("create database: %w", err)
	}
	return name, nil
}

// give drops a database and frees its name.
func (s *sharedEngine) give(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stopWait)
	defer cancel()
	if err := s.owner.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" SYNC"); err != nil {
		return fmt.Errorf("drop database: %w", err)
	}
	s.free = append(s.free, name)
	return nil
}

func (s *sharedEngine) start(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "loginaudit-test-*")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	s.dir = dir
	names := make([]string, databases)
	for i := range names {
		names[i] = fmt.Sprintf("t%03d", i)
	}
	server := engine.NewClickHouse(engine.ClickHouseConfig{
		Dir: filepath.Join(dir, "clickhouse"), Databases: names, MemoryLimit: memoryLimit,
	})
	if err := server.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	s.engine, s.free = server, names
	user, password := server.Credentials(engine.RoleOwner)
	s.owner, err = clickhouse.Open(&clickhouse.Options{
		Addr: []string{server.Addr()}, Auth: clickhouse.Auth{Username: user, Password: password},
	})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// stop ends the engine and removes its directory.
func (s *sharedEngine) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.owner != nil {
		errs = append(errs, s.owner.Close())
	}
	if s.engine != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopWait)
		defer cancel()
		errs = append(errs, s.engine.Close(ctx))
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

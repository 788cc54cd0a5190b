package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
)

// The names by which this binary is called as another process.
const (
	natsProgram       = "bench-nats"
	ingestProgram     = "bench-ingest"
	loginauditProgram = "bench-loginaudit"
)

// database is the engine's own default.
const database = "loginaudit"

// bench is the machine under measurement: NATS and ClickHouse run, and the
// stream is filled once.
type bench struct {
	options    options
	nats       *process
	natsURL    string
	natsDir    string
	clickhouse *engine.ClickHouse
	results    []result
}

// process is a child of ours.
type process struct{ cmd *exec.Cmd }

// runNATS is the NATS process: it says where it is and runs until it is told to
// stop.
func runNATS(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := engine.NewNATS(engine.NATSConfig{Dir: args[0]})
	if err := server.Start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(server.URL())
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := server.Close(closing); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// start starts this binary under another name. What it writes to standard output
// is read from the reader.
func start(ctx context.Context, name string, env []string, args ...string) (*process, io.Reader, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), exe, args...)
	cmd.Args[0] = name
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return &process{cmd: cmd}, out, nil
}

// stop ends the process in order.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

func newBench(ctx context.Context, o options) (*bench, error) {
	b := &bench{options: o, natsDir: filepath.Join(o.dir, "nats")}
	p, out, err := start(ctx, natsProgram, nil, b.natsDir)
	if err != nil {
		return nil, err
	}
	b.nats = p
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	b.natsURL = strings.TrimSpace(line)
	b.clickhouse = engine.NewClickHouse(engine.ClickHouseConfig{Dir: filepath.Join(o.dir, "clickhouse")})
	if err := b.clickhouse.Start(ctx); err != nil {
		return nil, errors.Join(err, b.nats.stop())
	}
	return b, nil
}

func (b *bench) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(b.clickhouse.Close(ctx), b.nats.stop())
}

// connect connects to NATS as one of its users.
func (b *bench) connect(user engine.NATSUser) (*nats.Conn, jetstream.JetStream, error) {
	option, err := nats.NkeyOptionFromSeed(filepath.Join(b.natsDir, string(user)+".nk"))
	if err != nil {
		return nil, nil, err
	}
	nc, err := nats.Connect(b.natsURL, option, nats.CustomInboxPrefix(user.InboxPrefix()))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	return nc, js, err
}

func (b *bench) config(role engine.Role) store.Config {
	user, password := b.clickhouse.Credentials(role)
	return store.Config{Addr: b.clickhouse.Addr(), Database: database, Username: user, Password: password}
}

// open gives the store as one of its roles.
func (b *bench) open(ctx context.Context, role engine.Role) (*store.DB, error) {
	return store.Open(ctx, b.config(role))
}

// emptyTables makes the schema anew, without a row.
func (b *bench) emptyTables(ctx context.Context) error {
	conn, err := b.sql(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + database + " SYNC", "CREATE DATABASE " + database} {
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	_, err = store.Migrate(ctx, b.config(engine.RoleOwner))
	return err
}

// worker is the real worker as a process of its own.
type worker struct {
	*process
	admin string
}

// startWorker starts the worker with the least rights, and further flags.
func (b *bench) startWorker(ctx context.Context, flags ...string) (*worker, error) {
	user, password := b.clickhouse.Credentials(engine.RoleWriter)
	env := []string{
		"LOGINAUDIT_CLICKHOUSE_ADDR=" + b.clickhouse.Addr(), "LOGINAUDIT_CLICKHOUSE_USERNAME=" + user, "LOGINAUDIT_CLICKHOUSE_PASSWORD=" + password,
		"LOGINAUDIT_NATS_URL=" + b.natsURL, "LOGINAUDIT_NATS_NKEY=" + filepath.Join(b.natsDir, string(engine.UserIngest)+".nk"),
		"LOGINAUDIT_NATS_INBOX_PREFIX=" + engine.UserIngest.InboxPrefix(),
		"LOGINAUDIT_STREAM_ENSURE=false", "LOGINAUDIT_LOG_LEVEL=error",
	}
	admin, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	p, out, err := start(ctx, ingestProgram, env, append(flags, "--admin-addr", admin)...)
	if err != nil {
		return nil, err
	}
	go io.Copy(io.Discard, out) //nolint:errcheck // it ends with the process
	w := &worker{process: p, admin: admin}
	if err := w.alive(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the worker: %w", err), w.stop())
	}
	return w, nil
}

// startEmpty makes stream and tables empty and starts a worker on them. Its
// connection sees the tables.
func (b *bench) startEmpty(ctx context.Context) (driver.Conn, *worker, error) {
	if err := b.rewindEmpty(ctx); err != nil {
		return nil, nil, err
	}
	conn, err := b.sql(ctx)
	if err != nil {
		return nil, nil, err
	}
	w, err := b.startWorker(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return conn, w, nil
}

// waitFor polls a condition until it holds.
func waitFor(ctx context.Context, every time.Duration, holds func() (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		ok, err := holds()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

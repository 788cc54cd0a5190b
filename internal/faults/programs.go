package faults

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// serverMemory is the memory limit of the embedded ClickHouse in these tests.
const serverMemory = 1 << 30

// closeWait bounds the ordered stop of a server.
const closeWait = 30 * time.Second

// ready is the line that a server's program writes once it serves.
type ready struct {
	Addr string `json:"addr"`
	// Keys are the passwords of ClickHouse's users, or the files with the seeds
	// of NATS's.
	Keys map[string]string `json:"keys"`
}

// engineServer is one of the embedded servers.
type engineServer interface {
	Start(ctx context.Context) error
	Addr() string
	Close(ctx context.Context) error
}

// natsProgram is the program "nats": the embedded NATS server until it is told
// to stop.
func natsProgram(args []string) int {
	flags := flag.NewFlagSet("nats", flag.ContinueOnError)
	dir, addr := flags.String("dir", "", "its directory"), flags.String("addr", "", "HOST:PORT")
	maxStore := flags.Int64("max-store", 0, "most bytes of all streams")
	if flags.Parse(args) != nil {
		return 2
	}
	server := engine.NewNATS(engine.NATSConfig{Dir: *dir, Addr: *addr, MaxStore: *maxStore, Log: programLog()})
	return serve(server, func() map[string]string {
		keys := map[string]string{}
		for _, user := range engine.NATSUsers() {
			keys[string(user)] = server.SeedFile(user)
		}
		return keys
	})
}

// clickHouseProgram is the program "clickhouse": the embedded ClickHouse and its
// child until it is told to stop.
func clickHouseProgram(args []string) int {
	flags := flag.NewFlagSet("clickhouse", flag.ContinueOnError)
	dir, addr := flags.String("dir", "", "its directory"), flags.String("addr", "", "HOST:PORT")
	memory := flags.Int64("memory", serverMemory, "its memory limit in bytes")
	if flags.Parse(args) != nil {
		return 2
	}
	server := engine.NewClickHouse(engine.ClickHouseConfig{Dir: *dir, Addr: *addr, MemoryLimit: *memory, Log: programLog()})
	return serve(server, func() map[string]string {
		keys := map[string]string{}
		for _, role := range []engine.Role{engine.RoleOwner, engine.RoleWriter, engine.RoleReader} {
			_, keys[string(role)] = server.Credentials(role)
		}
		return keys
	})
}

func programLog() *zap.Logger {
	config := zap.NewProductionConfig()
	config.Sampling = nil
	log, err := config.Build(zap.WithCaller(false))
	if err != nil {
		return zap.NewNop() // the configuration is a constant: it does not happen
	}
	return log
}

// serve starts a server, tells where it is, and stops it in order on SIGTERM.
func serve(server engineServer, keys func() map[string]string) int {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	if err := server.Start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready{server.Addr(), keys()}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	<-ctx.Done()
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer done()
	if err := server.Close(closing); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

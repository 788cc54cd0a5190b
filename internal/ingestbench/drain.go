package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// drainPoll is how often the rows are counted: seldom, because it costs ClickHouse
// something too.
const drainPoll = 200 * time.Millisecond

// drain measures the worker on a stream that is full: from its start until the
// last event can be queried.
func drain(ctx context.Context, b *bench) error {
	if err := b.rewind(ctx); err != nil {
		return err
	}
	conn, err := b.sql(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	before, began := b.usage(nil), time.Now()
	w, err := b.startWorker(ctx)
	if err != nil {
		return err
	}
	profiled := make(chan error, 1)
	go func() { profiled <- b.profileWorker(ctx, w) }()
	err = waitFor(ctx, drainPoll, func() (bool, error) {
		var n uint64
		err := conn.QueryRow(ctx, "SELECT count() FROM "+database+".events").Scan(&n)
		return n >= uint64(b.options.events), err
	})
	took := time.Since(began)
	used := b.usage(w).since(before)
	memory := peakMemory(w.cmd.Process.Pid)
	if perr := <-profiled; err == nil {
		err = perr
	}
	allocated, aerr := w.allocated(ctx)
	b.add("drain", b.options.events, took, fmt.Sprintf("worker's peak memory %d MB, %.0f B and %.2f allocations/event; %s", memory,
		allocated.bytes/float64(b.options.events), allocated.objects/float64(b.options.events), used.perEvent(b.options.events)))
	return errors.Join(err, aerr, w.stop())
}

// sql is a connection of the owner, for what only a measurement asks.
func (b *bench) sql(context.Context) (driver.Conn, error) {
	user, password := b.clickhouse.Credentials(engine.RoleOwner)
	return clickhouse.Open(&clickhouse.Options{
		Addr: []string{b.clickhouse.Addr()},
		Auth: clickhouse.Auth{Database: "system", Username: user, Password: password},
	})
}

// named is a parameter of a statement.
func named(name, value string) driver.NamedValue { return clickhouse.Named(name, value) }

// profileWorker keeps ten seconds of the worker's CPU profile, and its heap,
// where a folder for them was named.
func (b *bench) profileWorker(ctx context.Context, w *worker) error {
	if b.options.profile == "" {
		return nil
	}
	var err error
	for name, path := range map[string]string{"cpu.pprof": "/debug/pprof/profile?seconds=10", "allocs.pprof": "/debug/pprof/allocs"} {
		if err != nil {
			break
		}
		var text []byte
		if text, err = w.get(ctx, path); err == nil {
			err = os.WriteFile(filepath.Join(b.options.profile, name), text, 0o600)
		}
	}
	return err
}

// startsWithin is how long a worker may take until it answers.
const startsWithin = 30 * time.Second

// alive waits until the worker answers.
func (w *worker) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startsWithin)
	defer cancel()
	return waitFor(ctx, 50*time.Millisecond, func() (bool, error) {
		_, err := w.get(ctx, "/livez")
		return err == nil, nil
	})
}

func (w *worker) get(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// freePort finds a port that is free now.
func freePort(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// allocation is what a process has allocated since its start.
type allocation struct{ bytes, objects float64 }

func (w *worker) allocated(ctx context.Context) (allocation, error) {
	text, err := w.get(ctx, "/metrics")
	if err != nil {
		return allocation{}, err
	}
	bytes, ok := metric(text, "go_memstats_alloc_bytes_total")
	objects, ok2 := metric(text, "go_memstats_mallocs_total")
	if !ok || !ok2 {
		return allocation{}, errors.New("the worker does not tell its allocations")
	}
	return allocation{bytes, objects}, nil
}

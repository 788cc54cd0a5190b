package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
)

// importing measures "loginaudit import" of a file of history, with the worker
// beside it: until the command ends, and until the last event can be queried.
func importing(ctx context.Context, b *bench) error {
	n := min(b.options.events, 500_000)
	file := filepath.Join(b.options.dir, "history.ndjson")
	if err := writeHistory(file, n); err != nil {
		return err
	}
	conn, w, err := b.startEmpty(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	before, began := b.usage(w), time.Now()
	p, out, err := start(ctx, loginauditProgram, nil, "import", "--nats", b.natsURL,
		"--nkey", filepath.Join(b.natsDir, string(engine.UserPublisher)+".nk"), file)
	if err != nil {
		return errors.Join(err, w.stop())
	}
	counts, err := bufio.NewReader(out).ReadString('\n')
	if err := errors.Join(err, p.cmd.Wait()); err != nil {
		return errors.Join(fmt.Errorf("import said %q: %w", counts, err), w.stop())
	}
	published := time.Since(began)
	b.add("import, confirmed", n, published, "")
	err = waitFor(ctx, drainPoll, func() (bool, error) {
		var stored uint64
		err := conn.QueryRow(ctx, "SELECT count() FROM "+database+".events").Scan(&stored)
		return stored >= uint64(n), err
	})
	b.add("import, queryable", n, time.Since(began), b.usage(w).since(before).perEvent(n))
	return errors.Join(err, w.stop(), os.Remove(file))
}

func writeHistory(name string, n int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	events, err := history()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	for e := range take(events, n) {
		body, err := event.Encode(e)
		if err != nil {
			return errors.Join(err, f.Close())
		}
		if _, err := w.Write(append(body, '\n')); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

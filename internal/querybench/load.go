package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
)

// database is the engine's own default.
const database = "loginaudit"

// settleWithin is how long the end of the merges is waited for at most.
const (
	settleWithin = 30 * time.Minute
	settlePoll   = 500 * time.Millisecond
)

// loadedDir is the data folder of serve as it was loaded; nothing ever runs on
// it again, each measurement takes a copy.
func (b *bench) loadedDir() string { return filepath.Join(b.options.dir, "loaded") }

// ensureLoaded fills the folder unless an earlier run has left it there.
func (b *bench) ensureLoaded(ctx context.Context) error {
	hash, err := schemaHash()
	if err != nil {
		return err
	}
	wanted := manifest{Events: b.options.events, Seed: b.options.seed, Loader: loaderVersion, Schema: hash}
	there, err := readManifest(b.options.dir)
	if err != nil {
		return err
	}
	if there.sameAs(wanted) {
		b.loaded, b.set = there, newSet(there.Events, there.Seed, there.Until)
		b.tell("found %d events, loaded in %s", there.Rows, there.Took.Round(time.Second))
		return nil
	}
	if err := b.clear(there); err != nil {
		return err
	}
	wanted.Until = b.options.until
	if wanted.Until.IsZero() {
		wanted.Until = time.Now().UTC().Truncate(time.Minute)
	}
	b.set = newSet(wanted.Events, wanted.Seed, wanted.Until)
	if err := b.load(ctx, &wanted); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	b.loaded = wanted
	return wanted.write(b.options.dir)
}

// clear removes what another set has left, and nothing that is not ours.
func (b *bench) clear(there manifest) error {
	if _, err := os.Stat(b.loadedDir()); err == nil && there.Rows == 0 {
		// A load that was broken off: only ours has this name inside.
		if _, err := os.Stat(filepath.Join(b.loadedDir(), "clickhouse")); err != nil {
			return fmt.Errorf("%s is no folder of a benchmark: name another with -dir", b.loadedDir())
		}
	}
	err := errors.Join(os.RemoveAll(b.loadedDir()), os.RemoveAll(b.runDir()))
	if err == nil {
		err = os.Remove(filepath.Join(b.options.dir, manifestName))
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// load fills the tables through the views, and waits for merges.
func (b *bench) load(ctx context.Context, m *manifest) (err error) {
	if err := os.MkdirAll(b.loadedDir(), 0o700); err != nil {
		return err
	}
	server := engine.NewClickHouse(engine.ClickHouseConfig{Dir: filepath.Join(b.loadedDir(), "clickhouse")})
	if err := server.Start(ctx); err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, server.Close(closing))
	}()
	user, password := server.Credentials(engine.RoleOwner)
	if _, err := store.Migrate(ctx, store.Config{Addr: server.Addr(), Database: database, Username: user, Password: password}); err != nil {
		return err
	}
	conn, err := dial(server.Addr(), user, password)
	if err != nil {
		return err
	}
	defer conn.Close()
	began := time.Now()
	if err := b.fill(ctx, conn); err != nil {
		return err
	}
	m.Took = time.Since(began)
	if err := conn.QueryRow(ctx, "SELECT count() FROM "+database+".events").Scan(&m.Rows); err != nil {
		return err
	}
	b.tell("loaded %d events in %s, %.0f a second", m.Rows, m.Took.Round(time.Second), float64(m.Rows)/m.Took.Seconds())
	began = time.Now()
	err = settle(ctx, conn, b.waits.quiet)
	m.Settled = time.Since(began)
	b.tell("no merge for %s after %s more", b.waits.quiet, m.Settled.Round(time.Second))
	if err != nil {
		return err
	}
	began = time.Now()
	err = age(ctx, conn, b.set.until)
	b.tell("what is over is merged, after %s more", time.Since(began).Round(time.Second))
	return err
}

// columns are the columns that events stores, with what goes into them.
func columns(ctx context.Context, conn driver.Conn) (all []definition, err error) {
	rows, err := conn.Query(ctx, `SELECT name FROM system.columns WHERE database = {database:String} AND table = 'events'
		AND default_kind NOT IN ('ALIAS', 'MATERIALIZED') ORDER BY position`, clickhouse.Named("database", database))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		// A default is no value: the moment of the insert is three years too late.
		i := slices.IndexFunc(values(), func(d definition) bool { return d.name == name })
		if i < 0 {
			return nil, fmt.Errorf("the loader knows no value for the column %s of events: add it to values()", name)
		}
		all = append(all, values()[i])
	}
	return all, rows.Err()
}

// fill inserts the set, block by block in the order of time, two at a time.
func (b *bench) fill(ctx context.Context, conn driver.Conn) error {
	stored, err := columns(ctx, conn)
	if err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_threads": 1, "max_insert_threads": 1,
		"min_insert_block_size_rows": blockEvents, "min_insert_block_size_bytes": 0,
		"max_insert_block_size": blockEvents,
	}))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	began := time.Now()
	for block := range b.set.blocks() {
		group.Go(func() error {
			if err := conn.Exec(ctx, b.set.insert(block, stored)); err != nil {
				return fmt.Errorf("block %d: %w", block, err)
			}
			b.progress("block %d of %d after %s", block+1, b.set.blocks(), time.Since(began).Round(time.Second))
			return nil
		})
	}
	return group.Wait()
}

// settle waits until background merges have nothing left that they want to do now.
func settle(ctx context.Context, conn driver.Conn, quiet time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	quietSince := time.Now()
	return waitFor(ctx, settlePoll, func() (bool, error) {
		var n uint64
		err := conn.QueryRow(ctx, "SELECT count() FROM system.merges WHERE database = {database:String}", clickhouse.Named("database", database)).Scan(&n)
		if n > 0 {
			quietSince = time.Now()
		}
		return time.Since(quietSince) >= quiet, err
	})
}

// dial connects as one of the engine's users; what takes long may take hours.
func dial(addr, user, password string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr: []string{addr}, Auth: clickhouse.Auth{Database: database, Username: user, Password: password}, ReadTimeout: 2 * time.Hour,
	})
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

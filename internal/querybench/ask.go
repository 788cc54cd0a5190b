package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// The events that are drawn to ask about: as many as a question is asked, within
// bounds.
const leastSamples, mostSamples = 10, 200

// ask asks all questions while events arrive.
func (b *bench) ask(ctx context.Context, r *report) (err error) {
	a := newAsker(b.set, b.server, b.options.seed)
	if err := a.sampleEvents(ctx, min(max(b.options.n, leastSamples), mostSamples)); err != nil {
		return err
	}
	stop, err := b.keepComing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, q := range questions() {
		if !b.options.chosen.MatchString(q.name) {
			continue
		}
		b.progress("%s", q.name)
		r.Results = append(r.Results, b.measure(ctx, a, q))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for format := range strings.SplitSeq(b.options.exports, ",") {
		if name := "export " + format; format != "" && b.options.chosen.MatchString(name) {
			b.progress("%s", name)
			r.Exports = append(r.Exports, b.export(ctx, a, format))
		}
	}
	b.progress("")
	if err := b.costs(ctx, r.Results); err != nil {
		return err
	}
	return b.howFar(ctx, r)
}

// keepComing starts the process that publishes, and waits until its events have
// been arriving for a while. It gives the function that ends it.
func (b *bench) keepComing(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return nil }
	if b.options.rate > 0 {
		p, err := start(ctx, filepath.Join(b.options.dir, "live.log"), liveProgram, b.server.app.NATSURL(),
			strconv.Itoa(b.loaded.Events), strconv.FormatUint(b.loaded.Seed, 10), strconv.Itoa(b.options.rate))
		if err != nil {
			return nil, err
		}
		stop = func() error {
			if err := p.stop(); err != nil {
				return fmt.Errorf("publish events (see %s): %w", filepath.Join(b.options.dir, "live.log"), err)
			}
			return nil
		}
	}
	if err := pause(ctx, b.waits.arrive); err != nil {
		return nil, errors.Join(err, stop())
	}
	before := cpuTime(b.server.cmd.Process.Pid)
	if err := pause(ctx, b.waits.idle); err != nil {
		return nil, errors.Join(err, stop())
	}
	b.idle = float64(cpuTime(b.server.cmd.Process.Pid)-before) / float64(max(b.waits.idle, 1))
	return stop, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// howFar tells how much arrived, and whether all of it could be queried.
func (b *bench) howFar(ctx context.Context, r *report) error {
	var now uint64
	err := b.server.owner.QueryRow(ctx, "SELECT count() FROM "+database+".events WHERE ingested_at > fromUnixTimestamp64Micro({until:Int64})",
		clickhouse.Named("until", b.loaded.Until.Add(time.Second).UnixMicro())).Scan(&now)
	if err != nil {
		return fmt.Errorf("count events: %w", err)
	}
	r.Ingested = now
	if b.options.rate == 0 {
		return nil
	}
	var lag int64
	err = b.server.owner.QueryRow(ctx, "SELECT dateDiff('millisecond', max(received_at), now64(6)) FROM "+database+".events").Scan(&lag)
	if err != nil {
		return fmt.Errorf("read the latest event: %w", err)
	}
	r.Lag = time.Duration(lag) * time.Millisecond
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/publish"
)

const (
	// probeAccount is the account of the events whose way is timed: ordinary
	// events among the others, one every probeEvery.
	probeAccount = "probe"
	probeEvery   = 20 * time.Millisecond
	// pollEvery is how often it is asked whether another batch was stored; only
	// then ClickHouse is asked which of them can be queried. Asked every time, the
	// questions were a third of ClickHouse's work.
	pollEvery = 25 * time.Millisecond
	// liveLinger is how long the publisher waits for a batch to fill.
	liveLinger = 20 * time.Millisecond
)

// live measures publishers, worker and engines together at a fixed rate: how
// long it takes from the call that publishes an event until every table that
// answers about it has it.
func live(ctx context.Context, b *bench) error {
	for _, rate := range []int{20_000, 2_000} {
		if err := b.liveAt(ctx, rate); err != nil {
			return err
		}
	}
	return nil
}

// probes are the timed events.
type probes struct {
	mu      sync.Mutex
	waiting map[string]time.Time
	took    []time.Duration
}

func (b *bench) liveAt(ctx context.Context, rate int) error {
	conn, w, err := b.startEmpty(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	p := &probes{waiting: make(map[string]time.Time)}
	seconds := time.Duration(b.options.seconds) * time.Second
	before := b.usage(w)
	watching, stop := context.WithCancel(ctx)
	group, healthy := errgroup.WithContext(ctx)
	group.Go(func() error { return p.watch(watching, w, conn) })
	sent, err := b.publishAt(ctx, rate, seconds, p)
	used := b.usage(w).since(before)
	if err == nil {
		err = waitFor(healthy, pollEvery, func() (bool, error) { return p.left() == 0, nil })
	}
	stop()
	if err := errors.Join(err, group.Wait(), w.stop()); err != nil {
		return err
	}
	b.add(fmt.Sprintf("live %d/s", rate), sent, seconds, p.distribution()+"; "+used.perEvent(sent))
	return nil
}

// publishAt publishes at the rate, with the probes in between.
func (b *bench) publishAt(ctx context.Context, rate int, seconds time.Duration, p *probes) (int, error) {
	nc, _, err := b.connect(engine.UserPublisher)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	publisher, err := publish.New(nc, publish.Options{Linger: liveLinger})
	if err != nil {
		return 0, err
	}
	g, err := emit.New(company)
	if err != nil {
		return 0, err
	}
	n := rate * int(seconds/time.Second)
	var failed error
	err = emit.Send(ctx, publisher, p.among(take(g.Live(time.Now), n)), float64(rate), func(r publish.Result) {
		if r.Err != nil {
			failed = r.Err
		}
	})
	return n, errors.Join(err, failed)
}

// among puts a probe in the place of an event every probeEvery.
func (p *probes) among(events iter.Seq[event.Event]) iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		var last time.Time
		n := 0
		for e := range events {
			if now := time.Now(); now.Sub(last) >= probeEvery {
				last = now
				e = p.probe(now, n)
				n++
			}
			if !yield(e) {
				return
			}
		}
	}
}

func (p *probes) probe(now time.Time, n int) event.Event {
	id := fmt.Sprintf("probe-%08d", n)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[id] = now
	return event.Event{
		ID: id, Account: probeAccount, Username: "probe", SessionID: id, OccurredAt: now.UTC().Truncate(time.Microsecond),
		Entry: 1, Status: 1,
	}
}

// watch notes when probes can be queried, until ctx ends.
func (p *probes) watch(ctx context.Context, w *worker, conn driver.Conn) error {
	seen := 0.0
	err := waitFor(ctx, pollEvery, func() (bool, error) {
		stored, err := w.stored(ctx)
		if err != nil || stored == seen {
			return false, err
		}
		seen = stored
		return false, p.look(ctx, conn)
	})
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil // it was to go on until ctx ended
}

// stored is how many batches the worker has stored.
func (w *worker) stored(ctx context.Context) (float64, error) {
	text, err := w.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	n, _ := metric(text, `loginaudit_ingest_batch_stage_seconds_count{stage="insert"}`)
	return n, nil
}

// The questions cost ClickHouse something too, so only one table is asked until
// it has a probe; then all are asked for that probe.
const (
	inOne = `SELECT id_text FROM loginaudit.events_by_user
		WHERE account = 'probe' AND username = 'probe' AND id_text >= {from:String}`
	inAll = inOne + `
		AND bitShiftRight(sipHash64(id_text), 16) IN (SELECT id_head FROM loginaudit.event_ids WHERE account = 'probe')
		AND bitShiftRight(sipHash64(session_id), 24) IN (SELECT session_hash FROM loginaudit.attempts WHERE account = 'probe' AND username = 'probe')
		AND id_text IN (SELECT id_text FROM loginaudit.events WHERE account = 'probe' AND id_text >= {from:String})`
)

func (p *probes) look(ctx context.Context, conn driver.Conn) error {
	first := p.first()
	if first == "" {
		return nil
	}
	if some, err := ids(ctx, conn, inOne, first); err != nil || len(p.waitingOf(some)) == 0 {
		return err
	}
	there, err := ids(ctx, conn, inAll, first)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, id := range p.waitingOf(there) {
		p.arrived(id, now)
	}
	return nil
}

func ids(ctx context.Context, conn driver.Conn, question, from string) ([]string, error) {
	rows, err := conn.Query(ctx, question, named("from", from))
	if err != nil {
		return nil, err
	}
	var all []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		all = append(all, id)
	}
	return all, errors.Join(rows.Err(), rows.Close())
}

// waitingOf are those of the ids that are waited for.
func (p *probes) waitingOf(all []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(all), func(id string) bool { return p.waiting[id].IsZero() })
}

func (p *probes) arrived(id string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = append(p.took, now.Sub(p.waiting[id]))
	delete(p.waiting, id)
}

// first is the smallest id that waits.
func (p *probes) first() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := ""
	for id := range p.waiting {
		if first == "" || id < first {
			first = id
		}
	}
	return first
}

func (p *probes) left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}

func (p *probes) distribution() string {
	slices.Sort(p.took)
	at := func(share float64) time.Duration {
		return p.took[min(int(share*float64(len(p.took))), len(p.took)-1)].Round(time.Millisecond)
	}
	return fmt.Sprintf("publish to queryable: p50 %s, p90 %s, p99 %s, max %s of %d events", at(.5), at(.9), at(.99), at(1), len(p.took))
}

package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// The pace of looking at the schema, the bound of one look, and after which time
// every worker has seen a change: the first two together.
const (
	schemaLookEvery   = 5 * time.Second
	schemaLookTimeout = 5 * time.Second
	schemaSettles     = schemaLookEvery + schemaLookTimeout
)

// schemaWatch looks from time to time whether the tables and views are what the
// migrations make, and holds inserts back while they are not. A view that is
// dropped makes no insert fail: its projection would silently stay behind.
type schemaWatch struct {
	check       func(context.Context) error
	log         *zap.Logger
	differences prometheus.Gauge

	found atomic.Pointer[error]     // the last difference that was found; nil for none
	finds atomic.Uint64             // how many looks found one
	clean atomic.Pointer[time.Time] // when the last look began that found none
	mu    sync.Mutex                // one look at a time
}

// watchSchema looks once, as soon as ClickHouse answers, and then from time to
// time until the turn to stop comes. What differs is no reason to end: the worker
// waits for whoever mends it, not ready.
func (p *process) watchSchema(ctx context.Context, db *store.DB) (*schemaWatch, error) {
	w := &schemaWatch{
		check: db.CheckTables,
		log:   p.log.With(zap.String("component", "schema")),
		differences: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "loginaudit_ingest_schema_differences",
			Help: "Tables and views that are missing or not what the migrations make; above 0 nothing is inserted.",
		}),
	}
	if err := p.measure(w.differences); err != nil {
		return nil, err
	}
	err := p.retry(ctx, "schema", func(ctx context.Context) (again bool, err error) {
		if err := w.look(ctx); w.holds() == nil {
			return !errors.Is(err, store.ErrHidden) && store.Classify(err) != store.Stop, err
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	p.health.Add("schema", func(context.Context) error { return w.holds() })
	p.life.Go("schema watch", w.run)
	return w, nil
}

func (w *schemaWatch) run(ctx context.Context) error {
	ticker := time.NewTicker(schemaLookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			_ = w.look(ctx) // it is told, or ClickHouse does not answer, which others tell
		}
	}
}

// look looks once. An error that is no difference changes nothing of what was
// found.
func (w *schemaWatch) look(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, schemaLookTimeout)
	defer cancel()
	began, before := time.Now(), w.holds()
	err := w.check(ctx)
	var differ *store.DifferenceError
	switch {
	case errors.As(err, &differ):
		w.found.Store(&err)
		w.finds.Add(1) // after found: who reads the new number is held back
		w.differences.Set(float64(len(differ.Differences)))
		if before == nil || before.Error() != err.Error() {
			w.log.Error("the schema is not what the migrations make: nothing is inserted until it is", zap.Error(err))
		}
	case err == nil:
		w.clean.Store(&began)
		w.found.Store(nil)
		w.differences.Set(0)
		if before != nil {
			w.log.Info("the schema is whole again")
		}
	}
	return err
}

// holds is why nothing may be inserted now; nil when it may.
func (w *schemaWatch) holds() error {
	if found := w.found.Load(); found != nil {
		return *found
	}
	return nil
}

// seen has the schema looked at where nobody could for so long that migrate takes
// it that every worker has. It is asked before each insert, so the first look that
// works lets inserts go on; a ClickHouse that is merely slow answers within the
// bound of a look. Its error has the class of a set-up that is wrong, or passes.
func (w *schemaWatch) seen(ctx context.Context) error {
	if clean := w.clean.Load(); w.holds() == nil && clean != nil && time.Since(*clean) <= schemaSettles {
		return nil
	}
	err := w.look(ctx)
	switch {
	case err == nil || w.holds() != nil:
		return w.holds() // what was found stands
	case store.Classify(err) == store.Stop:
		return fmt.Errorf("look at the schema: %w", err)
	}
	return fmt.Errorf("look at the schema: %v", err) //nolint:errorlint // no row is at fault, whatever the class of the look's error
}

// errFoundMeanwhile is the error of an insert during which a difference was found
// and mended again.
var errFoundMeanwhile = errors.New("the schema was not what the migrations make while rows were inserted: they are inserted again")

// guard is the sink that takes nothing while the schema is not whole.
func (w *schemaWatch) guard(s ingest.Sink) ingest.Sink { return guardedSink{s, w} }

type guardedSink struct {
	ingest.Sink
	schema *schemaWatch
}

// Insert writes rows durably, into all projections. Where a table or view is
// missing, its error is one that passes: whoever makes it again has the worker go
// on.
func (g guardedSink) Insert(ctx context.Context, b ingest.Block, from, to int, begin ingest.Begin) error {
	if err := g.schema.seen(ctx); err != nil {
		return err
	}
	finds := g.schema.finds.Load() // before holds: a find after this is in one of them
	if err := g.schema.holds(); err != nil {
		return err
	}
	err := g.Sink.Insert(ctx, b, from, to, begin)
	if store.Classify(err) == store.Stop {
		// ClickHouse misses something first. Its own words tell more.
		_ = g.schema.look(ctx)
		if found := g.schema.holds(); found != nil {
			return fmt.Errorf("%w (%v)", found, err) //nolint:errorlint // its class is that of the first
		}
	}
	if err != nil {
		return err
	}
	// What was found meanwhile may have been so when the rows came, also where it
	// has been mended since.
	if err := g.schema.holds(); err != nil {
		return err
	}
	if g.schema.finds.Load() != finds {
		return errFoundMeanwhile
	}
	return nil
}

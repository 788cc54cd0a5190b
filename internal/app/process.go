package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// retryEvery is how often a server that does not answer yet is tried again.
const retryEvery = time.Second

// process is what every long-running command has.
type process struct {
	log      *zap.Logger
	level    zap.AtomicLevel
	registry *prometheus.Registry
	health   *ops.Health
	life     *ops.Lifecycle
	stop     time.Duration
	started  func() // opens the gate of /readyz
}

// newProcess logs the settings, which have their secrets hidden.
func newProcess(ctx context.Context, name string, s ProcessSettings, shown map[string]any) (*process, error) {
	log, level, err := ops.NewLogger(s.Log, os.Stderr)
	if err != nil {
		return nil, &ops.UsageError{Err: err}
	}
	v := Version()
	log.Info("starting", zap.String("component", name), zap.String("version", v.Version), zap.String("commit", v.Commit),
		zap.Any("settings", shown))
	p := &process{
		log: log, level: level, registry: ops.NewRegistry(), health: &ops.Health{},
		life: ops.NewLifecycle(ctx, log), stop: s.StopTimeout,
	}
	p.started = p.health.AddGate("start", "still starting")
	return p, p.measure(ops.Build(name, v.Version, v.Commit))
}

// measure adds metrics to those of the process.
func (p *process) measure(metrics ...prometheus.Collector) error {
	for _, m := range metrics {
		if err := p.registry.Register(m); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// until runs start, waits for the end of ctx or the failure of a part, and stops
// what was started, whatever happened.
func (p *process) until(ctx context.Context, start func(context.Context) error) error {
	defer func() { _ = p.log.Sync() }() // a terminal cannot be synced
	err := start(ctx)
	if err == nil {
		p.started()
		p.log.Info("serving")
		err = p.life.Wait(ctx)
	} else if ctx.Err() != nil {
		err = nil // told to stop while starting
	}
	if err != nil {
		p.log.Error("stopping", zap.Error(err))
	} else {
		p.log.Info("stopping")
	}
	return errors.Join(err, p.life.Stop(p.stop))
}

// serve answers on l until the turn to stop comes.
func (p *process) serve(name string, l net.Listener, h http.Handler, config *tls.Config) {
	server := ops.Server{Listener: l, Handler: h, TLS: config, Grace: p.stop / 3, Log: p.log.With(zap.String("component", name))}
	p.life.Go(name, server.Serve)
}

// serveAdmin comes first, so that it tells how the start goes, and ends last.
func (p *process) serveAdmin(ctx context.Context, s AdminSettings) (net.Addr, error) {
	l, err := ops.Listen(ctx, "admin.addr", s.Admin.Addr)
	if err != nil {
		return nil, err
	}
	p.log.Info("listening", zap.String("admin", l.Addr().String()))
	p.serve("admin", l, ops.Admin(p.health, p.registry, p.level), nil)
	return l.Addr(), nil
}

// openStore waits until ClickHouse answers, and refuses another schema.
func (p *process) openStore(ctx context.Context, name string, config store.Config) (*store.DB, error) {
	var db *store.DB
	var opened atomic.Pointer[store.DB]
	p.health.Add(name, func(ctx context.Context) error {
		db := opened.Load()
		if db == nil {
			return errors.New("does not answer yet")
		}
		if err := db.Ping(ctx); err != nil {
			return err
		}
		return db.CheckSchema(ctx) // somebody may have migrated it meanwhile
	})
	err := p.retry(ctx, name, func(ctx context.Context) (again bool, err error) {
		db, err = store.Open(ctx, config)
		return store.Classify(err) != store.Stop, err
	})
	if err != nil {
		return nil, err
	}
	opened.Store(db)
	p.life.OnStop(name, func(context.Context) error { return db.Close() })
	err = p.retry(ctx, name, func(ctx context.Context) (again bool, err error) {
		err = db.CheckSchema(ctx)
		return !errors.Is(err, store.ErrSchema) && store.Classify(err) != store.Stop, err
	})
	if errors.Is(err, store.ErrSchema) {
		return nil, fmt.Errorf("%w; run \"loginaudit migrate\" of the same version as this program (%s) first", err, Version().Version)
	}
	return db, err
}

// retry tries until it works, or trying again is of no use, or ctx ends.
func (p *process) retry(ctx context.Context, what string, try func(context.Context) (again bool, err error)) error {
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	for n := 1; ; n++ {
		again, err := try(ctx)
		if err == nil || !again {
			return err
		}
		p.log.Warn("not available yet", zap.String("component", what), zap.Int("try", n), zap.Error(err))
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-ticker.C:
		}
	}
}

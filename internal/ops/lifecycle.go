package ops

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Lifecycle starts the parts of a process in order and stops them in the
// reverse order under one bound: what came last depends on what came first.
// Use it from one goroutine.
type Lifecycle struct {
	log    *zap.Logger
	base   context.Context // outlives the signal: parts end in their turn
	stops  []namedStop
	failed chan error
	once   sync.Once
	err    error
}

type namedStop struct {
	name string
	stop func(context.Context) error
}

// NewLifecycle gives the parts the values of ctx, but not its end.
func NewLifecycle(ctx context.Context, log *zap.Logger) *Lifecycle {
	return &Lifecycle{log: log, base: context.WithoutCancel(ctx), failed: make(chan error, 1)}
}

// OnStop has stop called when its turn comes. Its ctx ends at the bound.
func (l *Lifecycle) OnStop(name string, stop func(ctx context.Context) error) {
	l.stops = append(l.stops, namedStop{name, stop})
}

// Go runs a part until its turn to stop comes: then the part's ctx ends, and
// the next part is stopped when run has returned. A part that returns before
// that ends Wait.
func (l *Lifecycle) Go(name string, run func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(l.base)
	ended := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended by itself")
			}
			select {
			case l.failed <- fmt.Errorf("%s: %w", name, err):
			default: // the first failure is the one to tell
			}
			err = nil
		}
		ended <- err
	}()
	l.OnStop(name, func(bound context.Context) error {
		cancel()
		select {
		case err := <-ended:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-bound.Done():
			return errors.New("did not stop in time")
		}
	})
}

// Wait blocks until ctx ends, which is no error, or a part fails.
func (l *Lifecycle) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-l.failed:
		return err
	}
}

// Stop stops every part, the last started first, whatever fails on the way.
// All of it together takes at most bound. Only its first call does anything.
func (l *Lifecycle) Stop(bound time.Duration) error {
	l.once.Do(func() {
		ctx, cancel := context.WithTimeout(l.base, bound)
		defer cancel()
		var errs []error
		for i := len(l.stops) - 1; i >= 0; i-- {
			s, began := l.stops[i], time.Now()
			if err := s.stop(ctx); err != nil {
				l.log.Error("part did not stop well", zap.String("component", s.name), zap.Error(err))
				errs = append(errs, fmt.Errorf("stop %s: %w", s.name, err))
				continue
			}
			l.log.Info("stopped", zap.String("component", s.name), zap.Duration("elapsed", time.Since(began)))
		}
		l.err = errors.Join(errs...)
	})
	return l.err
}

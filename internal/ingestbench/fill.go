package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/publish"
)

// The companies of the traffic, as "loginaudit emit" makes it: a year of it
// holds more than enough events.
var company = emit.Options{Accounts: 20, Users: 50_000, Seed: 1} //nolint:gochecknoglobals // a constant that Go has no word for

// history is a year's traffic until yesterday, oldest first.
func history() (iter.Seq[event.Event], error) {
	g, err := emit.New(company)
	if err != nil {
		return nil, err
	}
	today := time.Now().UTC().Truncate(24 * time.Hour)
	return g.Generate(today.AddDate(-1, 0, 0), today), nil
}

// take gives the first n.
func take[T any](all iter.Seq[T], n int) iter.Seq[T] {
	return func(yield func(T) bool) {
		left := n
		for v := range all {
			if left == 0 || !yield(v) {
				return
			}
			left--
		}
	}
}

// fill makes the stream hold the events to drain, and nothing more.
func (b *bench) fill(ctx context.Context, js jetstream.JetStream) error {
	if err := stream.Ensure(ctx, js, stream.DefaultSettings()); err != nil {
		return err
	}
	s, err := js.Stream(ctx, stream.Events)
	if err != nil {
		return err
	}
	if s.CachedInfo().State.Msgs == uint64(b.options.events) {
		return nil // an earlier run has filled it
	}
	if err := js.DeleteStream(ctx, stream.Events); err != nil {
		return err
	}
	if err := stream.Ensure(ctx, js, stream.DefaultSettings()); err != nil {
		return err
	}
	nc, _, err := b.connect(engine.UserPublisher)
	if err != nil {
		return err
	}
	defer nc.Close()
	p, err := publish.New(nc, publish.Options{})
	if err != nil {
		return err
	}
	events, err := history()
	if err != nil {
		return err
	}
	began, failed := time.Now(), error(nil)
	n := 0
	err = emit.Send(ctx, p, take(events, b.options.events), 0, func(r publish.Result) {
		if r.Err != nil {
			failed = r.Err
		}
		n++
	})
	if err == nil {
		err = failed
	}
	if err == nil && n != b.options.events {
		err = fmt.Errorf("%d events of %d", n, b.options.events)
	}
	fmt.Fprintf(os.Stderr, "filled the stream with %d events in %s\n", n, time.Since(began).Round(time.Second))
	return err
}

// rewindEmpty makes stream and tables empty.
func (b *bench) rewindEmpty(ctx context.Context) error {
	nc, js, err := b.connect(engine.UserOperator)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := js.DeleteStream(ctx, stream.Events); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if err := stream.Ensure(ctx, js, stream.DefaultSettings()); err != nil {
		return err
	}
	return b.emptyTables(ctx)
}

// rewind makes the consumer begin again, and the tables empty.
func (b *bench) rewind(ctx context.Context) error {
	nc, js, err := b.connect(engine.UserOperator)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := b.fill(ctx, js); err != nil {
		return err
	}
	if err := js.DeleteConsumer(ctx, stream.Events, stream.Consumer); err != nil {
		return err
	}
	if err := stream.Ensure(ctx, js, stream.DefaultSettings()); err != nil {
		return err
	}
	return b.emptyTables(ctx)
}

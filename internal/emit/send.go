package emit

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

// Send publishes events until they or ctx end, and waits until the stream has
// confirmed what was sent. rate is in events a second; 0 sends as fast as the
// stream confirms. report is told of every event, one call at a time. The end
// of ctx is no error.
func Send(ctx context.Context, p *publish.Publisher, events iter.Seq[event.Event], rate float64, report func(publish.Result)) error {
	// What is in hand when ctx ends is still confirmed; the publisher's own
	// bounds hold.
	bulk := p.Bulk(context.WithoutCancel(ctx), report)
	err := addAll(ctx, bulk, events, rate)
	if closed := bulk.Close(); closed != nil {
		return fmt.Errorf("publish events: %w", closed)
	}
	return err
}

func addAll(ctx context.Context, bulk *publish.Bulk, events iter.Seq[event.Event], rate float64) error {
	began, n := time.Now(), 0
	for e := range events {
		if ctx.Err() != nil || !pace(ctx, began, n, rate) {
			return nil
		}
		m, err := publish.NewMessage(e)
		if err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		if err := bulk.Add(m); err != nil {
			return fmt.Errorf("publish events: %w", err)
		}
		n++
	}
	return nil
}

// pace waits until event n is due; false when ctx ends first.
func pace(ctx context.Context, began time.Time, n int, rate float64) bool {
	if rate <= 0 {
		return true
	}
	wait := time.Until(began.Add(time.Duration(float64(n) / rate * float64(time.Second))))
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

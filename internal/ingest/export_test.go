package ingest

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Pass lets the loop believe that time has passed without a sign of life.
func (l *Loop) Pass(d time.Duration) {
	l.config.watch.quiet.Add(int64(d.Seconds()))
	l.config.watch.toldAgo.Add(int64(d.Seconds()))
}

// Certain is the moment up to which a server knows what the stream received.
var Certain = certain

// CheckSight tells what makes three answers worthless together.
func CheckSight(before, after *jetstream.StreamInfo, consumer *jetstream.ConsumerInfo) error {
	return (&sight{before: before, after: after, consumer: consumer}).check()
}

// Looker gives a look at a stream and its consumer, as it goes before each claim;
// anchor is the last message that the stream is known to have had.
func Looker(stream jetstream.Stream, consumer jetstream.Consumer) func(ctx context.Context, anchor Anchor) error {
	var e eyes
	return func(ctx context.Context, anchor Anchor) error {
		_, err := e.look(ctx, newSource(stream, consumer), anchor)
		return err
	}
}

package ingest

import (
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

package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/event"
)

// Sink is where the loop writes.
type Sink interface {
	// Insert stores events durably, all of them or (with an error) any part of
	// them. The same events may come again, in other batches and order. It must
	// not keep the slice.
	Insert(ctx context.Context, events []event.Stored) error
	// SetWatermark tells how far the stream is stored. Marks of several loops
	// may come in any order; each is true.
	SetWatermark(ctx context.Context, mark Watermark) error
}

// Watermark is a statement about one incarnation of a stream.
type Watermark struct {
	// Stream is the stream's name, StreamCreated its incarnation: one that was
	// deleted and created again counts its sequences from 1 again.
	Stream        string
	StreamCreated time.Time
	// Seq: every message up to this sequence is stored or parked.
	Seq uint64
	// Time: every message that the stream acknowledged to its publisher before
	// this moment, by the stream's clock, is stored or parked. Zero where it is
	// not known.
	Time time.Time
}

// Class says what an error of Sink.Insert asks for.
type Class int

const (
	// Unknown is retried like Retry, with a warning.
	Unknown Class = iota
	// Retry: the store is down, full or busy; again, for ever, with growing pauses.
	Retry
	// Split: a row is refused. The batch is halved to find it; it is parked alone.
	// If every row is refused, no row is at fault: the loop stops.
	Split
	// Stop: the set-up is wrong (schema, rights). Run returns the error; nothing
	// is acknowledged.
	Stop
)

// String names the class, for logs and metrics.
func (c Class) String() string {
	switch c {
	case Retry:
		return "retry"
	case Split:
		return "split"
	case Stop:
		return "stop"
	case Unknown:
	}
	return "unknown"
}

// Config is what a [Loop] needs. The first group is required.
type Config struct {
	// JetStream is the connection. The loop does not close it.
	JetStream jetstream.JetStream
	// Open gives the stream and the durable pull consumer. It is called at the
	// start and again when the consumer is gone; it may create it again. Where
	// its error wraps jetstream.ErrStreamNotFound or ErrConsumerNotFound, Run
	// returns it; any other is retried.
	Open func(context.Context) (jetstream.Stream, jetstream.Consumer, error)
	// Sink takes the events.
	Sink Sink
	// Park stores an invalid message with its reason and returns nil once that is
	// confirmed. It must not acknowledge the message, and may be called by
	// several goroutines.
	Park func(ctx context.Context, msg jetstream.Msg, reason error) error
	// Classify tells what an error of Sink.Insert asks for.
	Classify func(error) Class
	// Logger and Registerer take what the loop tells of itself.
	Logger     *zap.Logger
	Registerer prometheus.Registerer

	// MaxMessages and MaxBytes bound a batch, 1–100,000 messages and at least
	// 256 KiB. Defaults 20,000 and 8 MiB.
	MaxMessages int
	MaxBytes    int
	// MaxWait is how long a batch waits for more after its first message.
	// Default 250 ms.
	MaxWait time.Duration
	// InsertTimeout bounds one call of the Sink. Default 60 s.
	InsertTimeout time.Duration
	// StopTimeout bounds the finishing of the batch in hand after Run's context
	// has ended. Default 30 s.
	StopTimeout time.Duration
	// RetryPause is the first pause after an error; pauses double, with jitter,
	// up to RetryPauseMax. Defaults 200 ms and 30 s.
	RetryPause    time.Duration
	RetryPauseMax time.Duration
	// ParkAgainAfter is when a message that could not be parked is delivered
	// again. Default 5 s.
	ParkAgainAfter time.Duration
	// WatermarkEvery is how often the watermark is told while nothing happens;
	// it is told after every batch too. Default 1 s.
	WatermarkEvery time.Duration
}

func (c Config) withDefaults() Config {
	set(&c.MaxMessages, 20_000)
	set(&c.MaxBytes, 8<<20)
	set(&c.MaxWait, 250*time.Millisecond)
	set(&c.InsertTimeout, time.Minute)
	set(&c.StopTimeout, 30*time.Second)
	set(&c.RetryPause, 200*time.Millisecond)
	set(&c.RetryPauseMax, 30*time.Second)
	set(&c.ParkAgainAfter, 5*time.Second)
	set(&c.WatermarkEvery, time.Second)
	return c
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c Config) validate() error {
	switch {
	case c.JetStream == nil, c.Open == nil, c.Sink == nil, c.Park == nil, c.Classify == nil:
		return errors.New("required are JetStream, Open, Sink, Park and Classify")
	case c.Logger == nil, c.Registerer == nil:
		return errors.New("required are Logger and Registerer")
	case c.MaxMessages < 1 || c.MaxMessages > 100_000:
		return fmt.Errorf("setting MaxMessages is %d, it must be 1 to 100,000", c.MaxMessages)
	case c.MaxBytes < 256<<10:
		// The largest message must fit, or the stream would stand still.
		return fmt.Errorf("setting MaxBytes is %d, it must be at least %d", c.MaxBytes, 256<<10)
	}
	durations := []struct {
		name  string
		value time.Duration
	}{
		{"MaxWait", c.MaxWait},
		{"InsertTimeout", c.InsertTimeout},
		{"StopTimeout", c.StopTimeout},
		{"RetryPause", c.RetryPause},
		{"RetryPauseMax", c.RetryPauseMax},
		{"ParkAgainAfter", c.ParkAgainAfter},
		{"WatermarkEvery", c.WatermarkEvery},
	}
	for _, d := range durations {
		if d.value < time.Millisecond {
			return fmt.Errorf("setting %s is %s, it must be at least 1ms", d.name, d.value)
		}
	}
	return nil
}

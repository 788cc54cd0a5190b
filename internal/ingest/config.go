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
	// NewBlock makes an empty block. The loop makes Inserts+1 of them.
	NewBlock() Block
	// Insert stores the rows [from, to) of a block durably, all of them or (with
	// an error) any part of them. The same events may come again, in other blocks
	// and order. It may take several steps, one after the other, and asks begin for
	// the context of each.
	Insert(ctx context.Context, b Block, from, to int, begin Begin) error
}

// Begin begins a step of an insert: it gives the context that bounds this step,
// which ends with the given one too. The function releases it, at the step's end.
type Begin = func(context.Context) (context.Context, context.CancelFunc)

// Block collects the events of one insert in the form that the Sink takes. It is
// used by one goroutine at a time, again and again.
type Block interface {
	// Add copies an event: the block shares no memory with it.
	Add(e *event.Stored)
	// Raw is a copy of the body of the event that was added as the row'th, from 0.
	Raw(row int) []byte
	// Reset empties the block.
	Reset()
}

// Watermark is a statement about one history of a stream.
type Watermark struct {
	// Stream is the stream's name, StreamCreated its incarnation: one that was
	// deleted and created again counts its sequences from 1 again. Generation
	// counts the histories of all incarnations: one that is put back to an older
	// copy gives sequences to other messages too.
	Stream        string
	StreamCreated time.Time
	Generation    uint32
	// Seq: every message up to this sequence is stored or parked, or lost and told
	// as a [Gap].
	Seq uint64
	// Time: the same holds for every message that the stream acknowledged to its
	// publisher before this moment, by the stream's clock. Zero where it is not
	// known.
	Time time.Time
}

// Invalid is a message that breaks the contract, and the reason.
type Invalid struct {
	Msg    jetstream.Msg
	Reason error
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
	// TooLarge: the store cannot take so many rows at once, for want of memory or by
	// a limit. Half as many are tried, and so on down to fewestRows; then as Retry.
	TooLarge
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
	case TooLarge:
		return "too_large"
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
	// Park stores invalid messages with their reasons and gives one error for
	// each, nil once that is confirmed. It must not acknowledge them, and may be
	// called by several goroutines.
	Park func(ctx context.Context, all []Invalid) []error
	// Classify tells what an error of Sink.Insert asks for.
	Classify func(error) Class
	// Journal keeps what is told of completeness. Without one the watermark ends
	// with the loop.
	Journal Journal
	// Parked gives the state of the stream of parked messages, for reports; nil
	// for none.
	Parked func(context.Context) (ParkedState, error)
	// Logger and Registerer take what the loop tells of itself.
	Logger     *zap.Logger
	Registerer prometheus.Registerer

	// MaxMessages and MaxBytes bound a batch, 1–100,000 messages and at least
	// 256 KiB. Defaults 100,000 and 64 MiB.
	MaxMessages int
	MaxBytes    int
	// MaxWait is how long a batch waits for more after its first message, at
	// least: while all inserts are busy it goes on growing. Default 100 ms.
	MaxWait time.Duration
	// Inserts is how many batches are inserted at the same time, 1–8. One more is
	// being filled. Default 1.
	Inserts int
	// InsertTimeout bounds each step of a call of the Sink, and one call of Park.
	// Default 60 s.
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
	// it is told after every batch too, but no more than five times a second.
	// Default 1 s.
	WatermarkEvery time.Duration
	// StuckAfter is how long the loop may show no sign of life until it counts as
	// stuck. It must be above the longest step. Default twice InsertTimeout and
	// RetryPauseMax, and a minute.
	StuckAfter time.Duration

	watch *watch
}

func (c Config) withDefaults() Config {
	set(&c.MaxMessages, 100_000)
	set(&c.MaxBytes, 64<<20)
	set(&c.MaxWait, 100*time.Millisecond)
	set(&c.Inserts, 1)
	set(&c.InsertTimeout, time.Minute)
	set(&c.StopTimeout, 30*time.Second)
	set(&c.RetryPause, 200*time.Millisecond)
	set(&c.RetryPauseMax, 30*time.Second)
	set(&c.ParkAgainAfter, 5*time.Second)
	set(&c.WatermarkEvery, time.Second)
	set(&c.StuckAfter, 2*(c.InsertTimeout+c.RetryPauseMax)+time.Minute)
	if c.Journal == nil {
		c.Journal = &memoryJournal{}
	}
	c.watch = &watch{}
	if c.Open != nil && c.Park != nil { // else it is refused
		c.watch.surround(&c)
	}
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
	case c.Inserts < 1 || c.Inserts > 8:
		return fmt.Errorf("setting Inserts is %d, it must be 1 to 8", c.Inserts)
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
		{"StuckAfter", c.StuckAfter},
	}
	for _, d := range durations {
		if d.value < time.Millisecond {
			return fmt.Errorf("setting %s is %s, it must be at least 1ms", d.name, d.value)
		}
	}
	return nil
}

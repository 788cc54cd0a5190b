// Package publish sends log-in events from an auth service to loginaudit.
//
// A [Publisher] checks an event, encodes it, publishes it on NATS JetStream and
// waits for the acknowledgement. The promises:
//
//   - An event for which Publish returned nil is in the stream LOGIN_EVENTS.
//   - Publish returns within Options.Timeout or the context's deadline,
//     whichever is first, so that a log-in never waits long for its audit event.
//   - Every error is one of the kinds of this package ([ErrInvalid],
//     [ErrStreamFull] and so on), and [Error.Unknown] tells whether the event
//     may be in the stream all the same.
//   - Publishing an event again is always safe: the same content is one event,
//     however often it is published.
//
// Bulk (an import, a backfill) goes through [Publisher.PublishBatch] or
// [Publisher.Bulk], which use JetStream's atomic batches: a server that syncs
// every write takes them many times faster than single messages.
//
// An [Outbox] around a publisher keeps on disk what cannot be delivered now, and
// delivers it later.
//
// All of it is safe for concurrent use and needs no other permission than to
// publish on login.events.> and to receive on its own inbox. Without an
// outbox, publishing keeps no goroutine between calls, unless the connection
// hangs: then what it was handed lasts until the client library gives it up.
package publish

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
)

// Publisher publishes events over one NATS connection, which it does not own:
// the caller opens and closes it.
type Publisher struct {
	nc      *nats.Conn
	options Options
	// noBatches is set once the stream or the server told that it takes no
	// atomic batches; then bulk goes out as single messages.
	noBatches atomic.Bool
	// places bounds the requests that are inside the client library.
	places chan struct{}
}

// Receipt tells where the event is stored: in the stream, unless InOutbox.
type Receipt struct {
	// InOutbox tells that the event is not in the stream yet: it lies on this
	// machine's disk and will be delivered. StreamSeq is 0. Only [Outbox] gives it.
	InOutbox bool
	// StreamSeq is the event's sequence in the stream. Of a duplicate it is that
	// of the message which the stream has already; 0 where it is not told.
	StreamSeq uint64
	// Duplicate tells that the stream had this very content within its
	// duplicate window before this call sent it for the first time. It is
	// expected where the caller publishes an event again. Where the caller is
	// sure never to have published it, somebody else did: raise an alarm. (A
	// duplicate of this call's own earlier try is not told as one.)
	Duplicate bool
	// Tries is how often the message was sent.
	Tries int
}

// New prepares a publisher on an open connection. It sends nothing. Zero fields
// of options have their defaults, see [Options]. The error names the option
// that is wrong.
func New(nc *nats.Conn, options Options) (*Publisher, error) {
	if nc == nil {
		return nil, errors.New("create publisher: the connection is nil")
	}
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("create publisher: %w", err)
	}
	return &Publisher{nc: nc, options: options, places: make(chan struct{}, maxRequests)}, nil
}

// Publish checks and encodes an event, sends it and waits until the stream has
// it. Errors are of type [*Error].
func (p *Publisher) Publish(ctx context.Context, e event.Event) (Receipt, error) {
	m, err := NewMessage(e)
	if err != nil {
		return Receipt{}, err
	}
	return p.PublishMessage(ctx, m)
}

// PublishMessage sends an event that is encoded already and waits until the
// stream has it. Errors are of type [*Error].
func (p *Publisher) PublishMessage(ctx context.Context, m Message) (Receipt, error) {
	return p.publish(ctx, m, p.options.Timeout, false)
}

// publish sends one message until it is acknowledged, refused, or the time is
// over. unknown tells that an earlier try, whose answer never came, may have
// stored the message.
func (p *Publisher) publish(ctx context.Context, m Message, timeout time.Duration, unknown bool) (Receipt, error) {
	if err := m.check(); err != nil {
		return Receipt{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errOutOfTime)
	defer cancel()
	pause := backoff{base: p.options.RetryPause}
	var last *Error
	for try := 1; ; try++ {
		answer, err := p.once(ctx, m)
		if err == nil {
			// A duplicate of a try of ours whose answer got lost is our own.
			return Receipt{StreamSeq: answer.Sequence, Duplicate: answer.Duplicate && !unknown, Tries: try}, nil
		}
		unknown = unknown || err.Unknown
		if last != nil && (errors.Is(err.cause, errHangs) || errors.Is(err.cause, context.DeadlineExceeded)) {
			err = last // the time was over; the try before it tells more
		}
		last = err
		err.Unknown = unknown
		if !err.retry || !pause.wait(ctx) {
			return Receipt{}, err.orContext(ctx)
		}
	}
}

// once sends one message and waits for its acknowledgement, once.
func (p *Publisher) once(ctx context.Context, m Message) (answer, *Error) {
	a, err := p.request(ctx, p.newMsg(m))
	if err == nil && a.staged {
		err = &Error{Kind: ErrRefused, Unknown: true, cause: errNoAcknowledgement}
	}
	return a, err
}

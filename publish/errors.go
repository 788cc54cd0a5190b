package publish

import (
	"context"
	"errors"
	"fmt"
)

// The kinds of [Error]. Test with errors.Is.
var (
	// ErrInvalid: the event breaks a rule of the contract. errors.As to
	// [*event.Error] gives the field and the rule. Nothing was sent; sending it
	// again will not help.
	ErrInvalid = errors.New("the event is invalid")
	// ErrTooLarge: the message is larger than the contract, the stream or the
	// server allows. Sending it again will not help.
	ErrTooLarge = errors.New("the event is too large")
	// ErrDenied: the credentials do not allow to publish this subject, or to
	// receive the answer. Sending it again will not help.
	ErrDenied = errors.New("publishing is not permitted")
	// ErrStreamFull: the stream has reached its limit and refuses new events
	// rather than lose old ones. An operator must act.
	ErrStreamFull = errors.New("the stream is full")
	// ErrResources: the server or the account is out of storage, memory or
	// capacity. It may pass.
	ErrResources = errors.New("the server is out of resources")
	// ErrUnavailable: there is no connection, or no stream takes the subject. It
	// may pass.
	ErrUnavailable = errors.New("the stream is not available")
	// ErrTimeout: no answer came in time, from the stream or, with an outbox, from
	// its disk. The event may be stored all the same, see [Error.Unknown].
	ErrTimeout = errors.New("no acknowledgement came in time")
	// ErrCanceled: the caller's context was cancelled. The error wraps
	// [context.Canceled] too.
	ErrCanceled = errors.New("publishing was cancelled")
	// ErrOutboxFull: the event could not be delivered now, and the outbox holds as
	// much as it may. The error wraps the delivery's error too, if it was tried.
	ErrOutboxFull = errors.New("the outbox is full")
	// ErrOutboxDisk: the outbox could not be written. It may pass.
	ErrOutboxDisk = errors.New("the outbox cannot be written")
	// ErrOutboxClosed: the outbox takes no more events.
	ErrOutboxClosed = errors.New("the outbox is closed")
	// ErrRefused: the stream refuses the message for a reason that none of the
	// other kinds tells; the error's text does.
	ErrRefused = errors.New("the stream refused the event")
)

// ErrOutboxLocked is what [Publisher.OpenOutbox] gives while another process, or
// another Outbox of this one, has the directory.
var ErrOutboxLocked = errors.New("the outbox is in use by another publisher")

// Error is every error of this package's publishing. errors.Is finds its kind
// and its cause.
type Error struct {
	// Kind is one of the kinds above.
	Kind error
	// Code is the JetStream error code (err_code) that the server gave, or 0.
	Code int
	// Unknown tells that the message was sent at least once without an answer,
	// so that it may be in the stream, or may be in the outbox and be delivered
	// later. Publishing it again is safe.
	Unknown bool

	cause error
	retry bool
}

// Error tells the kind, the cause and the server's code. It holds no personal data.
func (e *Error) Error() string {
	text := "publish event: " + e.Kind.Error()
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	if e.Code != 0 {
		text += fmt.Sprintf(" (JetStream error %d)", e.Code)
	}
	return text
}

// Unwrap gives the kind and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// aboutMessage tells that the error says something about this one message, so
// that others may well be published.
func (e *Error) aboutMessage() bool {
	for _, kind := range []error{ErrInvalid, ErrTooLarge, ErrDenied, ErrRefused} {
		if errors.Is(e.Kind, kind) {
			return true
		}
	}
	return false
}

// orContext makes of e the caller's own doing when the caller's context ended.
// A bound of the publisher's options leaves the last answer as it was, which
// tells more than "time over".
func (e *Error) orContext(ctx context.Context) *Error {
	switch {
	case ctx.Err() == nil || errors.Is(context.Cause(ctx), errOutOfTime):
		return e
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{Kind: ErrCanceled, Unknown: e.Unknown, cause: context.Canceled}
	case e.retry && !errors.Is(e.Kind, ErrTimeout):
		return e
	}
	return &Error{Kind: ErrTimeout, Unknown: e.Unknown, cause: context.DeadlineExceeded}
}

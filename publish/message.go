package publish

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
)

// Headers that JetStream reads. See NATS ADR-4 (headers), ADR-50 (batches).
const (
	headerMsgID          = nats.MsgIdHdr
	headerExpectedStream = nats.ExpectedStreamHdr
	headerBatchID        = "Nats-Batch-Id"
	headerBatchSequence  = "Nats-Batch-Sequence"
	headerBatchCommit    = "Nats-Batch-Commit"
)

// Message is one event, ready to be sent. Make it with [NewMessage] or
// [ParseMessage]: the three fields belong together.
type Message struct {
	// Subject is login.events.<account>.<kind>, from the body's account and status.
	Subject string
	// Body is the JSON object, published byte for byte.
	Body []byte
	// Hash is the content hash, from which the message id is made. Any reader of
	// the event can compute it, but nobody can guess it without the content, so
	// nobody can suppress an event by publishing its id first.
	Hash event.Hash
	// Ref is the caller's own name for the message (a line number, say). It is
	// not sent; a [Result] gives it back.
	Ref uint64
}

// NewMessage checks and encodes an event. The error is an [*Error] of kind
// [ErrInvalid] that wraps the [*event.Error] with the field and the rule.
func NewMessage(e event.Event) (Message, error) {
	body, err := event.Encode(e)
	if err != nil {
		return Message{}, invalid(err)
	}
	return ParseMessage(body)
}

// ParseMessage checks an event that is JSON already and keeps its bytes: what is
// published is body, byte for byte. It keeps a reference to body. The error is
// an [*Error] of kind [ErrInvalid] that wraps the [*event.Error].
func ParseMessage(body []byte) (Message, error) {
	e, hash, err := event.Decode(body)
	if err != nil {
		return Message{}, invalid(err)
	}
	return Message{Subject: e.Subject(), Body: body, Hash: hash}, nil
}

func invalid(err error) *Error {
	return &Error{Kind: ErrInvalid, cause: err}
}

// check refuses a message that was not made by NewMessage or ParseMessage, or
// was changed since, as far as it can be seen at no cost.
func (m Message) check() error {
	switch {
	case m.Subject == "" || m.Hash == (event.Hash{}):
		return invalid(errors.New("the message has no subject or no hash: make it with NewMessage or ParseMessage"))
	case len(m.Body) > event.MaxBody:
		return &Error{Kind: ErrTooLarge, cause: fmt.Errorf("the body has %d bytes, allowed are %d", len(m.Body), event.MaxBody)}
	}
	return nil
}

// newMsg makes a fresh NATS message: the client library writes into it.
func (p *Publisher) newMsg(m Message) *nats.Msg {
	return &nats.Msg{
		Subject: m.Subject,
		Data:    m.Body,
		Header: nats.Header{
			headerMsgID:          []string{event.MessageID(m.Hash)},
			headerExpectedStream: []string{p.options.Stream},
		},
	}
}

package stream

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ParkedMessage is a message of LOGIN_PARKED: the original and why it is there.
type ParkedMessage struct {
	// Seq is its sequence in LOGIN_PARKED, by which an operator names it.
	Seq uint64
	// ParkedAt is when LOGIN_PARKED took it.
	ParkedAt time.Time
	// Reason is the code: one of [event.Reasons], or [ReasonOther], or one of ingest.
	Reason string
	// Field is the field of the contract that is meant, or "".
	Field string
	// Detail is the sentence that tells what is wrong.
	Detail string

	// Stream and StreamSeq tell where the original is.
	Stream    string
	StreamSeq uint64
	// ReceivedAt is when that stream took the original.
	ReceivedAt time.Time
	// Subject, Headers and Body are the original's, byte for byte.
	Subject string
	Headers nats.Header
	Body    []byte
}

// ParkedFilter narrows a list of parked messages. Zero fields do not narrow.
type ParkedFilter struct {
	// Account is the account token of the original's subject; "_" finds those
	// whose subject names none.
	Account string
	// Reason is a reason code.
	Reason string
	// FromSeq is the first sequence of LOGIN_PARKED to look at.
	FromSeq uint64
}

// ErrNotParked is what [Inbox.Get] gives where nothing has the sequence.
var ErrNotParked = errors.New("no parked message has this sequence")

// Inbox reads LOGIN_PARKED. It changes nothing.
type Inbox struct{ js jetstream.JetStream }

// NewInbox gives the reader of parked messages.
func NewInbox(js jetstream.JetStream) *Inbox { return &Inbox{js: js} }

// Get gives one parked message by its sequence in LOGIN_PARKED. The error wraps
// [ErrNotParked] where there is none.
func (i *Inbox) Get(ctx context.Context, seq uint64) (ParkedMessage, error) {
	s, err := i.js.Stream(ctx, Parked)
	if err != nil {
		return ParkedMessage{}, fmt.Errorf("open stream %s: %w", Parked, err)
	}
	raw, err := s.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return ParkedMessage{}, fmt.Errorf("get parked message %d: %w", seq, ErrNotParked)
	}
	if err != nil {
		return ParkedMessage{}, fmt.Errorf("get parked message %d: %w", seq, err)
	}
	return parseParked(raw), nil
}

// List gives the parked messages of the filter, oldest first, up to the one that
// is the last when List is called. It holds one message at a time. An error ends
// it. A message that was parked again after the duplicate window (a crash, then
// a long outage) is there twice, with the same StreamSeq.
func (i *Inbox) List(ctx context.Context, filter ParkedFilter) iter.Seq2[ParkedMessage, error] {
	return func(yield func(ParkedMessage, error) bool) {
		if err := i.list(ctx, filter, func(m ParkedMessage) bool { return yield(m, nil) }); err != nil {
			yield(ParkedMessage{}, fmt.Errorf("list parked messages: %w", err))
		}
	}
}

func (i *Inbox) list(ctx context.Context, filter ParkedFilter, yield func(ParkedMessage) bool) error {
	s, err := i.js.Stream(ctx, Parked)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Parked, err)
	}
	subject := parkedSubjects
	if filter.Account != "" {
		subject = parkedPrefix + filter.Account
	}
	last := s.CachedInfo().State.LastSeq
	for seq := max(filter.FromSeq, 1); seq <= last; seq++ {
		raw, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil // nothing at or after seq
		}
		if err != nil {
			return fmt.Errorf("get message from sequence %d: %w", seq, err)
		}
		if raw.Sequence > last {
			return nil
		}
		seq = raw.Sequence
		m := parseParked(raw)
		if (filter.Reason == "" || m.Reason == filter.Reason) && !yield(m) {
			return nil
		}
	}
	return nil
}

// parseParked never fails: what somebody else published on login.parked.> lacks
// our headers, and is shown as it is.
func parseParked(raw *jetstream.RawStreamMsg) ParkedMessage {
	h := raw.Header
	m := ParkedMessage{
		Seq: raw.Sequence, ParkedAt: raw.Time,
		Reason: h.Get(headerReason), Field: h.Get(headerField), Detail: h.Get(headerDetail),
		Stream: h.Get(headerStream), Subject: h.Get(headerSubject),
	}
	var errs [3]error
	m.Body, m.Headers, errs[0] = originalHeaders(h, raw.Data)
	m.StreamSeq, errs[1] = strconv.ParseUint(h.Get(headerSequence), 10, 64)
	m.ReceivedAt, errs[2] = time.Parse(time.RFC3339Nano, h.Get(headerReceived))
	if err := errors.Join(errs[:]...); err != nil {
		return ParkedMessage{
			Seq: raw.Sequence, ParkedAt: raw.Time,
			Reason: ReasonOther, Detail: "the message was not parked by loginaudit",
			Subject: raw.Subject, Headers: h, Body: raw.Data,
		}
	}
	return m
}

package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
)

// State tells what an operator has done with a parked message.
type State string

// The states. A message that was both discarded and replayed is replayed: that
// cannot be taken back. What was erased is no longer in LOGIN_PARKED.
const (
	// StateOpen: nothing has been done with it, or not to the end.
	StateOpen State = "open"
	// StateReplayed: it was published again.
	StateReplayed State = "replayed"
	// StateDiscarded: it is to stay as it is, and nobody need look at it again.
	StateDiscarded State = "discarded"
)

// States lists the states in a fixed order.
func States() []State { return []State{StateOpen, StateReplayed, StateDiscarded} }

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

	// State is what was done with it; SettledAt and SettledBy tell when and by
	// whom, unless it is open. [Inbox.Get] and [Inbox.List] fill them.
	State     State
	SettledAt time.Time
	SettledBy string
	// ReplayOf is the parked message of which the original is a replay, 0 for
	// none. It is told only where the notes bear it out.
	ReplayOf uint64

	// label is the reason in its subject, by which it is counted.
	label string
}

// Account is the account token of the original's subject, or "_" where the
// subject names none that the contract allows.
func (m *ParkedMessage) Account() string { return accountToken(m.Subject) }

// CheckNow tells which rule of the contract the message would break if it were
// published again now on its subject, or nil if none. What only the database
// refuses is not known here.
func (m *ParkedMessage) CheckNow(now time.Time) error { return check(m.Subject, m.Body, now) }

func check(subject string, body []byte, now time.Time) error {
	e, _, err := event.Decode(body)
	if err != nil {
		return err
	}
	if err := e.CheckSubject(subject); err != nil {
		return err
	}
	return e.CheckReceived(now)
}

// origin is the message of LOGIN_EVENTS that was parked. The time binds the
// sequence to an incarnation of the stream.
type origin struct {
	stream string
	seq    uint64
	at     int64 // Unix time in nanoseconds
}

func (m *ParkedMessage) origin() origin {
	if m.Stream == "" { // not parked by loginaudit: it is its own
		return origin{Parked, m.Seq, m.ParkedAt.UnixNano()}
	}
	return origin{m.Stream, m.StreamSeq, m.ReceivedAt.UnixNano()}
}

// ErrNotParked is what [Inbox.Get] gives where nothing has the sequence.
var ErrNotParked = errors.New("no parked message has this sequence")

// Inbox reads LOGIN_PARKED, and the notes of what was done with its messages. It
// changes nothing. It is safe for concurrent use.
type Inbox struct{ js jetstream.JetStream }

// NewInbox gives the reader of parked messages.
func NewInbox(js jetstream.JetStream) *Inbox { return &Inbox{js: js} }

// Get gives one parked message by its sequence in LOGIN_PARKED. The error wraps
// [ErrNotParked] where there is none.
func (i *Inbox) Get(ctx context.Context, seq uint64) (ParkedMessage, error) {
	m, err := i.get(ctx, seq)
	if err != nil {
		return m, err
	}
	notes, err := i.Notes(ctx, seq)
	if err != nil {
		return m, fmt.Errorf("get parked message %d: %w", seq, err)
	}
	index := newNotesIndex()
	for _, n := range notes {
		index.add(n)
	}
	if claimed, _ := replayClaim(m.Headers); claimed.seq > 0 {
		its, err := i.Notes(ctx, claimed.seq)
		if err != nil {
			return m, fmt.Errorf("get parked message %d: %w", seq, err)
		}
		for _, n := range its {
			index.add(n)
		}
	}
	index.tell(&m)
	return m, nil
}

// get is Get without what the notes tell.
func (i *Inbox) get(ctx context.Context, seq uint64) (ParkedMessage, error) {
	raw, err := one(ctx, i.js, Parked, seq)
	if errors.Is(err, errGone) {
		return ParkedMessage{}, fmt.Errorf("get parked message %d: %w", seq, ErrNotParked)
	}
	if err != nil {
		return ParkedMessage{}, fmt.Errorf("get parked message %d: %w", seq, err)
	}
	return parseParked(raw), nil
}

// parseParked never fails: what somebody else published on login.parked.> lacks
// our headers, and is shown as it is.
func parseParked(raw *jetstream.RawStreamMsg) ParkedMessage {
	h := raw.Header
	m := ParkedMessage{
		Seq: raw.Sequence, ParkedAt: raw.Time, State: StateOpen, label: labelOf(raw.Subject),
		Reason: h.Get(headerReason), Field: h.Get(headerField), Detail: h.Get(headerDetail),
		Stream: h.Get(headerStream), Subject: h.Get(headerSubject),
	}
	var errs [3]error
	m.Body, m.Headers, errs[0] = originalHeaders(h, raw.Data)
	m.StreamSeq, errs[1] = strconv.ParseUint(h.Get(headerSequence), 10, 64)
	m.ReceivedAt, errs[2] = time.Parse(time.RFC3339Nano, h.Get(headerReceived))
	if err := errors.Join(errs[:]...); err != nil {
		return ParkedMessage{
			Seq: raw.Sequence, ParkedAt: raw.Time, State: StateOpen, label: m.label,
			Reason: ReasonOther, Detail: "the message was not parked by loginaudit",
			Subject: raw.Subject, Headers: h, Body: raw.Data,
		}
	}
	return m
}

// label is a reason as a token of a subject, by which messages are counted: what
// is no code is [ReasonOther].
func label(reason string) string {
	if len(reason) > 0 && len(reason) <= maxLabel && strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
		return reason
	}
	return ReasonOther
}

// maxLabel is the longest reason code that is counted by its name.
const maxLabel = 40

// labelOf is the label in the subject of a parked message.
func labelOf(subject string) string { return label(strings.TrimPrefix(subject, parkedPrefix)) }

package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bounds of one answer of [scan]: what the client must hold at most, beside one
// message more.
const (
	scanMessages = 2000
	scanBytes    = 8 << 20
)

// scanWait bounds the wait for the next message of an answer.
const scanWait = 10 * time.Second

// The headers that the server adds to a message that it gives (ADR-31).
const (
	givenStream   = "Nats-Stream"
	givenSubject  = "Nats-Subject"
	givenSequence = "Nats-Sequence"
	givenTime     = "Nats-Time-Stamp"
	givenPending  = "Nats-Num-Pending"
	givenLast     = "Nats-Last-Sequence"
)

// directGet is the question of a direct get (ADR-31): Batch messages from Seq on.
// It changes nothing on the server, not even by a consumer, and needs no more
// rights than to read one message.
type directGet struct {
	Seq      uint64     `json:"seq,omitempty"`
	Since    *time.Time `json:"start_time,omitempty"` // instead of Seq
	NextFor  string     `json:"next_by_subj,omitempty"`
	Batch    int        `json:"batch,omitempty"`
	MaxBytes int        `json:"max_bytes,omitempty"`
}

func directSubject(js jetstream.JetStream, name string) string {
	options := js.Options()
	prefix := cmp.Or(options.APIPrefix, jetstream.DefaultAPIPrefix)
	if options.Domain != "" {
		prefix = "$JS." + options.Domain + ".API."
	}
	return strings.TrimSuffix(prefix, ".") + ".DIRECT.GET." + name
}

// scanRange is what of a stream is read: the sequences from From to To, both
// included, of the subjects that match Subject, a NATS pattern; "" is all. Where
// From is 0 and Since is not zero, it begins with what the stream took then.
type scanRange struct {
	From, To uint64
	Since    time.Time
	Subject  string
}

// scan gives the messages of the range in order, until yield is false. They are
// asked for by the thousand: one at a time takes a round trip each.
func scan(ctx context.Context, js jetstream.JetStream, name string, r scanRange, yield func(*jetstream.RawStreamMsg) bool) error {
	nc := js.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("listen for messages: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // a connection that is closed has none
	for next := max(r.From, 1); next <= r.To; {
		wanted := directGet{Seq: next, NextFor: r.Subject, Batch: scanMessages, MaxBytes: scanBytes}
		if r.From == 0 && next == 1 && !r.Since.IsZero() {
			wanted.Seq, wanted.Since = 0, &r.Since
		}
		question, err := json.Marshal(wanted)
		if err != nil {
			return fmt.Errorf("encode question: %w", err)
		}
		if err := nc.PublishRequest(directSubject(js, name), inbox, question); err != nil {
			return fmt.Errorf("ask for messages: %w", err)
		}
		last, err := answer(ctx, sub, func(m *jetstream.RawStreamMsg) bool { return m.Sequence <= r.To && yield(m) })
		switch {
		case err != nil:
			return unanswered(ctx, js, name, fmt.Errorf("read messages from sequence %d: %w", next, err))
		case last == 0:
			return nil
		}
		next = last + 1
	}
	return nil
}

// answer reads one answer to its end. It gives the last sequence, and 0 where
// there is nothing more or yield wants no more.
func answer(ctx context.Context, sub *nats.Subscription, yield func(*jetstream.RawStreamMsg) bool) (last uint64, err error) {
	for {
		msg, err := nextMsg(ctx, sub)
		if err != nil {
			return 0, err
		}
		if status, isStatus := statusOf(msg); isStatus {
			switch status {
			case "204": // the end of the answer
				return last, nil
			case "404": // nothing at or after the sequence
				return 0, nil
			case "503":
				return 0, nats.ErrNoResponders
			}
			return 0, fmt.Errorf("the server answers %s %s", status, msg.Header.Get("Description"))
		}
		m, err := given(msg)
		if err != nil {
			return 0, err
		}
		if !yield(m) {
			return 0, nil
		}
		last = m.Sequence
	}
}

func nextMsg(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// statusOf is the server's word where msg is one. A stored message may have a
// header Status of its own and no body; but it always has a sequence.
func statusOf(msg *nats.Msg) (status string, is bool) {
	if len(msg.Data) > 0 || len(msg.Header[givenSequence]) > 0 {
		return "", false
	}
	return msg.Header.Get("Status"), true
}

// given reads a message as the server gives it. The server writes its headers
// behind those of the message, so the last of a name is the server's.
func given(msg *nats.Msg) (*jetstream.RawStreamMsg, error) {
	own := func(name string) string {
		values := msg.Header[name]
		if len(values) == 0 {
			return ""
		}
		if msg.Header[name] = values[:len(values)-1]; len(values) == 1 {
			delete(msg.Header, name)
		}
		return values[len(values)-1]
	}
	var errs [2]error
	m := &jetstream.RawStreamMsg{Subject: own(givenSubject), Header: msg.Header, Data: msg.Data}
	m.Sequence, errs[0] = strconv.ParseUint(own(givenSequence), 10, 64)
	m.Time, errs[1] = time.Parse(time.RFC3339Nano, own(givenTime))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("read what the server says of a message: %w", err)
	}
	for _, name := range []string{givenStream, givenPending, givenLast} {
		own(name)
	}
	return m, nil
}

// errGone: the stream has no message of this sequence (any more).
var errGone = errors.New("the stream has no such message")

// one gives the message of a sequence, or errGone.
func one(ctx context.Context, js jetstream.JetStream, name string, seq uint64) (*jetstream.RawStreamMsg, error) {
	if seq == 0 {
		return nil, errGone
	}
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	question, err := json.Marshal(directGet{Seq: seq})
	if err != nil {
		return nil, fmt.Errorf("encode question: %w", err)
	}
	msg, err := js.Conn().RequestWithContext(ctx, directSubject(js, name), question)
	if err != nil {
		return nil, unanswered(ctx, js, name, fmt.Errorf("ask for message: %w", err))
	}
	if status, isStatus := statusOf(msg); isStatus {
		if status == "404" {
			return nil, errGone
		}
		return nil, fmt.Errorf("the server answers %s %s", status, msg.Header.Get("Description"))
	}
	return given(msg)
}

// unanswered tells why nobody answers a question about a stream: it is not
// there, or does not allow direct gets, which [Ensure] would have it do.
func unanswered(ctx context.Context, js jetstream.JetStream, name string, err error) error {
	if !errors.Is(err, nats.ErrNoResponders) {
		return err
	}
	if _, missing := js.Stream(ctx, name); missing != nil {
		return fmt.Errorf("open stream %s: %w", name, missing)
	}
	return fmt.Errorf("%w: stream %s does not allow direct gets (make it as \"loginaudit streams\" does)", err, name)
}

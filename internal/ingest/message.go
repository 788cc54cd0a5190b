package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// delivery is a message that the server delivered, and what its
// acknowledgement subject says (ADR-15).
type delivery struct {
	msg *nats.Msg
	// seq and consumerSeq are its sequences in the stream and of the delivery.
	seq, consumerSeq uint64
	// delivered is how many times it was delivered.
	delivered uint64
	// received is when the stream took it, by the server's clock.
	received time.Time
	pending  uint64
}

// The acknowledgements of ADR-13.
const (
	ack        = "+ACK"
	nak        = "-NAK"
	inProgress = "+WPI"
	term       = "+TERM"
)

var errReplyForm = errors.New("parse acknowledgement subject: not of JetStream's form")

// tokensOf splits an acknowledgement subject (ADR-15) without garbage:
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.….<pending>[.<random>]
//
// It gives the tokens from the stream on, and the domain.
func tokensOf(reply string) (tokens [7]string, domain string, err error) {
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	n := strings.Count(rest, ".") + 1
	if !ok || n < 7 || n == 8 {
		return tokens, "", errReplyForm
	}
	if n > 7 {
		domain, rest, _ = strings.Cut(rest, ".")
		_, rest, _ = strings.Cut(rest, ".")
		if domain == "_" {
			domain = ""
		}
	}
	for i := range tokens {
		tokens[i], rest, _ = strings.Cut(rest, ".")
	}
	return tokens, domain, nil
}

// newDelivery reads a message's acknowledgement subject.
func newDelivery(msg *nats.Msg) (delivery, error) {
	tokens, _, err := tokensOf(msg.Reply)
	if err != nil {
		return delivery{}, err
	}
	var n [5]uint64
	for i := range n {
		if n[i], err = strconv.ParseUint(tokens[2+i], 10, 63); err != nil {
			return delivery{}, fmt.Errorf("parse acknowledgement subject: %w", err)
		}
	}
	return delivery{
		msg: msg, delivered: n[0], seq: n[1], consumerSeq: n[2],
		received: time.Unix(0, int64(n[3])).UTC(), pending: n[4],
	}, nil
}

// message is a delivered message of the stream: a jetstream.Msg of our own,
// which parking needs.
//
// The client library's Fetch cannot be used: it takes a message without a body
// but with a header Status for a word of the server, and drops it. Any publisher
// can put such a message on the stream; it would end fetches, could not be
// parked, and would hold the acknowledgement floor down for ever.
type message struct {
	delivery
	nc     *nats.Conn
	source *source // where it is from
	// settled is set once the message needs no more InProgress.
	settled atomic.Bool
}

var _ jetstream.Msg = (*message)(nil)

// Metadata implements jetstream.Msg.
func (m *message) Metadata() (*jetstream.MsgMetadata, error) {
	tokens, domain, err := tokensOf(m.msg.Reply)
	if err != nil {
		return nil, err
	}
	return &jetstream.MsgMetadata{
		Stream: tokens[0], Consumer: tokens[1], Domain: domain,
		Sequence:     jetstream.SequencePair{Stream: m.seq, Consumer: m.consumerSeq},
		NumDelivered: m.delivered, NumPending: m.pending, Timestamp: m.received,
	}, nil
}

// Data implements jetstream.Msg.
func (m *message) Data() []byte { return m.msg.Data }

// Headers implements jetstream.Msg.
func (m *message) Headers() nats.Header { return m.msg.Header }

// Subject implements jetstream.Msg.
func (m *message) Subject() string { return m.msg.Subject }

// Reply implements jetstream.Msg.
func (m *message) Reply() string { return m.msg.Reply }

// settle sends a last word on the message.
func (m *message) settle(word string) error {
	m.settled.Store(true)
	return m.nc.Publish(m.msg.Reply, []byte(word))
}

// Ack implements jetstream.Msg.
func (m *message) Ack() error { return m.settle(ack) }

// DoubleAck implements jetstream.Msg.
func (m *message) DoubleAck(ctx context.Context) error {
	m.settled.Store(true)
	_, err := m.nc.RequestWithContext(ctx, m.msg.Reply, []byte(ack))
	return err
}

// Nak implements jetstream.Msg.
func (m *message) Nak() error { return m.settle(nak) }

// NakWithDelay implements jetstream.Msg.
func (m *message) NakWithDelay(delay time.Duration) error {
	return m.settle(fmt.Sprintf(`%s {"delay": %d}`, nak, delay.Nanoseconds()))
}

// InProgress implements jetstream.Msg.
func (m *message) InProgress() error {
	return m.nc.Publish(m.msg.Reply, []byte(inProgress))
}

// Term implements jetstream.Msg.
func (m *message) Term() error { return m.settle(term) }

// TermWithReason implements jetstream.Msg.
func (m *message) TermWithReason(reason string) error { return m.settle(term + " " + reason) }

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

// message is a delivered message of the stream: a jetstream.Msg of our own.
//
// The client library's Fetch cannot be used: it takes a message without a body
// but with a header Status for a word of the server, and drops it. Any publisher
// can put such a message on the stream; it would end fetches, could not be
// parked, and would hold the acknowledgement floor down for ever.
type message struct {
	nc   *nats.Conn
	msg  *nats.Msg
	meta jetstream.MsgMetadata
	// settled is set once the message needs no more InProgress.
	settled atomic.Bool
}

var _ jetstream.Msg = (*message)(nil)

// The acknowledgements of ADR-13.
const (
	ack        = "+ACK"
	nak        = "-NAK"
	inProgress = "+WPI"
	term       = "+TERM"
)

func newMessage(nc *nats.Conn, msg *nats.Msg) (*message, error) {
	meta, err := parseMetadata(msg.Reply)
	if err != nil {
		return nil, err
	}
	return &message{nc: nc, msg: msg, meta: meta}, nil
}

// parseMetadata reads an acknowledgement subject (ADR-15):
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.….<pending>[.<random>]
func parseMetadata(reply string) (jetstream.MsgMetadata, error) {
	tokens := strings.Split(reply, ".")
	if len(tokens) < 9 || len(tokens) == 10 || tokens[0] != "$JS" || tokens[1] != "ACK" {
		return jetstream.MsgMetadata{}, errors.New("parse acknowledgement subject: not of JetStream's form")
	}
	var meta jetstream.MsgMetadata
	tokens = tokens[2:]
	if len(tokens) > 7 {
		if tokens[0] != "_" {
			meta.Domain = tokens[0]
		}
		tokens = tokens[2:]
	}
	var n [5]uint64
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(tokens[2+i], 10, 63); err != nil {
			return jetstream.MsgMetadata{}, fmt.Errorf("parse acknowledgement subject: %w", err)
		}
	}
	meta.Stream, meta.Consumer = tokens[0], tokens[1]
	meta.NumDelivered = n[0]
	meta.Sequence = jetstream.SequencePair{Stream: n[1], Consumer: n[2]}
	meta.Timestamp = time.Unix(0, int64(n[3]))
	meta.NumPending = n[4]
	return meta, nil
}

// Metadata implements jetstream.Msg.
func (m *message) Metadata() (*jetstream.MsgMetadata, error) {
	meta := m.meta
	return &meta, nil
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

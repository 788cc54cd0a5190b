package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/publish"
)

// Key is the file with the seed of a user of NATS.
func (s *System) Key(user engine.NATSUser) string { return s.NATS.ready.Keys[string(user)] }

// Connect connects a client of the test's own to NATS as a user, past all
// proxies. The connection ends with the test.
func (s *System) Connect(user engine.NATSUser) *nats.Conn {
	s.tb.Helper()
	return s.connect(s.NATS.Addr(), user)
}

// NewLink is one more way to a server, for a client that is given several.
func (s *System) NewLink(to *Server) *Link {
	s.tb.Helper()
	return newLink(s.tb, s.proxies, to.Addr())
}

// SetFlags replaces the flags of the server's program from its next start on.
func (s *Server) SetFlags(flags ...string) { s.flags = flags }

// SendPlain publishes a message without a message id, so that the stream takes
// every repeat of it, and remembers it where it is confirmed. It may be called by
// any goroutine.
func (p *Publisher) SendPlain(m publish.Message) error {
	p.system.ledger.sending(m)
	seq, err := p.request(&nats.Msg{Subject: m.Subject, Data: m.Body})
	if err != nil {
		return fmt.Errorf("publish plain message: %w", err)
	}
	p.system.ledger.confirm(m, publish.Receipt{StreamSeq: seq})
	return nil
}

// request publishes as any client of NATS can, and gives the sequence.
func (p *Publisher) request(msg *nats.Msg) (seq uint64, err error) {
	answer, err := p.nc.RequestMsg(msg, 2*time.Second)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Seq   uint64          `json:"seq"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil || ack.Seq == 0 {
		return 0, fmt.Errorf("%s: %w", answer.Data, errors.Join(err, errNotConfirmed))
	}
	return ack.Seq, nil
}

// AddFlags adds flags from the next start on; of two the later one counts.
func (s *service) AddFlags(flags ...string) { s.flags = append(s.flags, flags...) }

// NewDisk puts a small file system of so many bytes on a directory, for a program
// of the test's own. It is gone with the test.
func NewDisk(tb testing.TB, dir string, size int64) *Disk {
	tb.Helper()
	return newDisk(tb, dir, size)
}

// readBatch is how many messages are asked for at once.
const readBatch = 500

// eachMessage reads LOGIN_EVENTS, oldest first, until each wants no more. The
// client library's readers cannot be used: they take a message without a body but
// with a header Status for a word of the server.
func (s *System) eachMessage(ctx context.Context, each func(*nats.Msg, *nats.MsgMetadata) (more bool)) error {
	consumer, err := s.operator.CreateConsumer(ctx, stream.Events, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	nc, arrived := s.operator.Conn(), make(chan *nats.Msg, readBatch+1)
	inbox := nc.NewInbox()
	sub, err := nc.ChanSubscribe(inbox, arrived)
	if err != nil {
		return err
	}
	next := jetstream.DefaultAPIPrefix + "CONSUMER.MSG.NEXT." + stream.Events + "." + consumer.CachedInfo().Name
	request := fmt.Appendf(nil, `{"batch":%d,"no_wait":true}`, readBatch)
	for more := true; more && err == nil; {
		if err = nc.PublishRequest(next, inbox, request); err == nil {
			more, err = readEach(ctx, inbox, arrived, each)
		}
	}
	return errors.Join(err, sub.Unsubscribe(), s.operator.DeleteConsumer(ctx, stream.Events, consumer.CachedInfo().Name))
}

// readEach reads the answer to one request.
func readEach(ctx context.Context, inbox string, arrived <-chan *nats.Msg, each func(*nats.Msg, *nats.MsgMetadata) bool) (more bool, err error) {
	for range readBatch {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case msg := <-arrived:
			if msg.Subject == inbox {
				return true, nil // the server's word: that was all for this request
			}
			meta, err := msg.Metadata()
			if err != nil || !each(msg, meta) {
				return false, err
			}
		}
	}
	return true, nil
}

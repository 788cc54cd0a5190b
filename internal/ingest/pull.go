package ingest

import (
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

// puller fetches messages of one consumer by JetStream's pull requests (ADR-13).
type puller struct {
	nc      *nats.Conn
	subject string // of pull requests
	inbox   string // prefix of the requests' reply subjects
	sub     *nats.Subscription
	arrived chan *nats.Msg
	request int
}

var (
	// errGone: the consumer, or the stream, is not there.
	errGone = errors.New("the consumer is gone")
	// errNoAnswer: neither message nor status came, although the server was asked.
	errNoAnswer = errors.New("the server does not answer")
)

// answerGrace is how much later than a request's expiry the server may answer.
const answerGrace = time.Second

// newPuller subscribes to an inbox of its own. maxMessages is the most that one
// fetch will ask for.
func newPuller(js jetstream.JetStream, consumer jetstream.Consumer, maxMessages int) (*puller, error) {
	nc, info := js.Conn(), consumer.CachedInfo()
	p := &puller{
		nc:      nc,
		subject: apiPrefix(js.Options()) + "CONSUMER.MSG.NEXT." + info.Stream + "." + info.Name,
		inbox:   nc.NewInbox() + ".",
		// Room for a fetch and for what comes late of the one before.
		arrived: make(chan *nats.Msg, 2*maxMessages+16),
	}
	sub, err := nc.ChanSubscribe(p.inbox+"*", p.arrived)
	if err != nil {
		return nil, fmt.Errorf("subscribe to inbox: %w", err)
	}
	p.sub = sub
	return p, nil
}

// apiPrefix is where the API's subjects begin (ADR-19 for domains).
func apiPrefix(options jetstream.JetStreamOptions) string {
	switch {
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "."
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}

func (p *puller) close() { _ = p.sub.Unsubscribe() } // fails only where the connection is closed

// limits bound one pull request.
type limits struct {
	messages, bytes int
	wait            time.Duration
}

// fetch waits for messages until one of the limits is met. It gives what came
// even where it gives an error too. Late messages of an earlier request count:
// they are ours.
func (p *puller) fetch(l limits) ([]*message, error) {
	p.request++
	reply := p.inbox + strconv.Itoa(p.request)
	if err := p.ask(reply, l); err != nil {
		return nil, err
	}
	timer := time.NewTimer(l.wait + answerGrace)
	defer timer.Stop()
	var batch []*message
	size := 0
	for len(batch) < l.messages && size < l.bytes {
		select {
		case <-timer.C:
			if len(batch) == 0 {
				return nil, errNoAnswer
			}
			return batch, nil
		case msg := <-p.arrived:
			if strings.HasPrefix(msg.Subject, p.inbox) {
				if msg.Subject == reply && ends(msg) {
					return batch, statusError(msg)
				}
				continue
			}
			m, err := newMessage(p.nc, msg)
			if err != nil {
				return batch, err
			}
			batch = append(batch, m)
			size += msg.Size()
		}
	}
	return batch, nil
}

func (p *puller) ask(reply string, l limits) error {
	// While disconnected the client library would keep the requests and send all
	// of them at once later.
	if !p.nc.IsConnected() {
		if p.nc.IsClosed() {
			return nats.ErrConnectionClosed
		}
		return nats.ErrDisconnected
	}
	body, err := json.Marshal(struct {
		Batch    int   `json:"batch"`
		MaxBytes int   `json:"max_bytes"`
		Expires  int64 `json:"expires"`
	}{l.messages, l.bytes, l.wait.Nanoseconds()})
	if err != nil {
		return fmt.Errorf("encode pull request: %w", err)
	}
	if err := p.nc.PublishRequest(p.subject, reply, body); err != nil {
		return fmt.Errorf("send pull request: %w", err)
	}
	return nil
}

// ends tells a status that ends the request from a heartbeat.
func ends(msg *nats.Msg) bool { return msg.Header.Get("Status") != "100" }

// statusError tells what the end of a request means; nil is a usual end.
func statusError(msg *nats.Msg) error {
	status, text := msg.Header.Get("Status"), msg.Header.Get("Description")
	lower := strings.ToLower(text)
	switch {
	case status == "404", status == "408":
		return nil
	case status == "409" && (strings.Contains(lower, "maxbytes") || strings.Contains(lower, "batch completed")):
		return nil
	case status == "503", status == "409" && strings.Contains(lower, "consumer deleted"):
		return errGone
	}
	return fmt.Errorf("pull request ended: %s %s", status, text)
}

// fetchBatch gives the next batch: it waits for a first message for idle, and
// then until the batch is full or wait is over.
func (p *puller) fetchBatch(idle time.Duration, l limits) ([]*message, error) {
	batch, err := p.fetch(limits{messages: 1, bytes: l.bytes, wait: idle})
	if err != nil || len(batch) == 0 {
		return batch, err
	}
	size := 0
	for _, m := range batch {
		size += m.msg.Size()
	}
	l.messages -= len(batch)
	l.bytes -= size
	if l.messages < 1 || l.bytes < minPullBytes {
		return batch, nil
	}
	more, err := p.fetch(l)
	if err != nil && len(batch)+len(more) > 0 {
		// The next fetch will meet the error again, if it lasts.
		err = nil
	}
	return append(batch, more...), err
}

// minPullBytes is below what a single message may have.
const minPullBytes = 128 << 10

// permanent tells the errors that no repetition of a fetch can heal.
func permanent(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining)
}

// notFound tells that the stream or the consumer does not exist.
func notFound(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrConsumerDoesNotExist)
}

// pause waits, or reports false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

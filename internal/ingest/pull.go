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

// puller fetches messages of one consumer by JetStream's pull requests
// (ADR-13), one at a time.
type puller struct {
	nc      *nats.Conn
	subject string // of pull requests
	inbox   string // prefix of the requests' reply subjects
	sub     *nats.Subscription
	// arrived are messages, and words of the server on requests.
	arrived chan *nats.Msg

	request  int       // number of the last request
	reply    string    // where it is answered
	expected int       // messages that may still come for it; 0: it has ended
	deadline time.Time // when its end must have come
}

var (
	// errGone: the consumer, or the stream, is not there.
	errGone = errors.New("the consumer is gone")
	// errNoAnswer: neither message nor status came, although the server was asked.
	errNoAnswer = errors.New("the server does not answer")
)

// answerGrace is how much later than a request's expiry the server may answer.
const answerGrace = time.Second

// newPuller subscribes to an inbox of its own.
func newPuller(js jetstream.JetStream, consumer jetstream.Consumer) (*puller, error) {
	nc, info := js.Conn(), consumer.CachedInfo()
	p := &puller{
		nc:      nc,
		subject: apiPrefix(js.Options()) + "CONSUMER.MSG.NEXT." + info.Stream + "." + info.Name,
		inbox:   nc.NewInbox() + ".",
		// Room for a request and for what comes late of the one before.
		arrived: make(chan *nats.Msg, 2*mostAsked+16),
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

// mostAsked is the most messages of one request. It bounds what lies between the
// server and the batch; a new request costs one round trip.
const mostAsked = 10_000

// minPullBytes is below what a single message may have.
const minPullBytes = 128 << 10

// asked tells that a request has not ended.
func (p *puller) asked() bool { return p.expected > 0 }

// ask sends a request.
func (p *puller) ask(l limits) error {
	// While disconnected the client library would keep the requests and send all
	// of them at once later.
	if !p.nc.IsConnected() {
		if p.nc.IsClosed() {
			return nats.ErrConnectionClosed
		}
		return nats.ErrDisconnected
	}
	l.messages = min(l.messages, mostAsked)
	body, err := json.Marshal(struct {
		Batch    int   `json:"batch"`
		MaxBytes int   `json:"max_bytes"`
		Expires  int64 `json:"expires"`
	}{l.messages, l.bytes, l.wait.Nanoseconds()})
	if err != nil {
		return fmt.Errorf("encode pull request: %w", err)
	}
	p.request++
	p.reply = p.inbox + strconv.Itoa(p.request)
	if err := p.nc.PublishRequest(p.subject, p.reply, body); err != nil {
		return fmt.Errorf("send pull request: %w", err)
	}
	p.expected, p.deadline = l.messages, time.Now().Add(l.wait+answerGrace)
	return nil
}

// take reads what has arrived: a message, or (ok is false) a word of the server,
// which may be an error. Late messages of an earlier request count: they are
// ours.
func (p *puller) take(msg *nats.Msg) (d delivery, ok bool, err error) {
	if strings.HasPrefix(msg.Subject, p.inbox) {
		if msg.Subject == p.reply && ends(msg) {
			p.expected = 0
			return d, false, statusError(msg)
		}
		return d, false, nil
	}
	if p.expected > 0 {
		p.expected--
	}
	d, err = newDelivery(msg)
	return d, err == nil, err
}

// overdue gives errNoAnswer when the request must have ended, and ends it.
func (p *puller) overdue(now time.Time) error {
	if !p.asked() || now.Before(p.deadline) {
		return nil
	}
	p.expected = 0
	return errNoAnswer
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

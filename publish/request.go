package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// answer is JetStream's PubAck (ADR-1, ADR-50 for the batch).
type answer struct {
	Stream    string `json:"stream"`
	Sequence  uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Batch     string `json:"batch"`
	Count     int    `json:"count"`
	Error     *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`

	// staged is the empty answer: the message waits for the commit of its batch.
	staged bool
}

// maxRequests is how many requests may be inside the client library at the same
// time. A connection that hangs keeps each of them for up to its write timeout
// (nats.FlusherTimeout, a minute); this bounds how many can pile up.
const maxRequests = 4096

// request sends one message and waits for its answer, once, and never longer
// than ctx: the client library writes to the socket under a lock, so that a
// connection which hangs holds up whoever calls it, whatever their deadline.
func (p *Publisher) request(ctx context.Context, m *nats.Msg) (answer, *Error) {
	if err := ctx.Err(); err != nil {
		return answer{}, &Error{Kind: ErrTimeout, cause: err}
	}
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return answer{}, &Error{Kind: ErrTimeout, cause: errHangs}
	}
	type outcome struct {
		answer answer
		err    *Error
	}
	done := make(chan outcome, 1)
	var begun atomic.Bool // by the exchange, which then sends; or by its end here, which then does not
	ctx, cancel := context.WithTimeout(ctx, p.options.TryTimeout+tryGrace)
	defer cancel()
	go func() {
		defer func() { <-p.places }()
		a, err := p.exchange(ctx, m, &begun)
		done <- outcome{a, err}
	}()
	select {
	case o := <-done:
		return o.answer, o.err
	case <-ctx.Done():
		return answer{}, &Error{Kind: ErrTimeout, Unknown: !begun.CompareAndSwap(false, true), cause: errHangs, retry: true}
	}
}

// errHangs is the cause where the client library did not come back in time.
var errHangs = errors.New("the connection hangs")

// exchange does what request promises, but for hanging connections. It ends
// before ctx does, so that its reason is heard.
func (p *Publisher) exchange(ctx context.Context, m *nats.Msg, begun *atomic.Bool) (answer, *Error) {
	if err := p.connected(); err != nil {
		return answer{}, err
	}
	before := p.nc.LastError()
	if !begun.CompareAndSwap(false, true) {
		return answer{}, &Error{Kind: ErrTimeout, cause: errHangs}
	}
	end, _ := ctx.Deadline()
	left := time.Until(end)
	ctx, cancel := context.WithTimeout(ctx, min(p.options.TryTimeout, left-min(left/10, tryMargin)))
	defer cancel()
	reply, err := p.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return answer{}, p.requestError(m.Subject, err, before)
	}
	return p.parseAnswer(reply)
}

// The client library has tryGrace to come back when a try is over, after which
// its connection counts as hanging. Where ctx ends sooner, the try is shorter by
// tryMargin, or a tenth of it, so that the reason of a failure is still heard.
const (
	tryGrace  = time.Second
	tryMargin = 100 * time.Millisecond
)

// connected refuses to send while there is no connection: the client library
// would keep the message and send it at some later time, when the caller has
// long been told that it failed.
func (p *Publisher) connected() *Error {
	switch p.nc.Status() {
	case nats.CONNECTED:
		return nil
	case nats.CLOSED, nats.DRAINING_SUBS, nats.DRAINING_PUBS:
		return &Error{Kind: ErrUnavailable, cause: nats.ErrConnectionClosed}
	}
	return &Error{Kind: ErrUnavailable, cause: nats.ErrDisconnected, retry: true}
}

// requestError says what it means that no answer came.
func (p *Publisher) requestError(subject string, err, before error) *Error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return &Error{Kind: ErrUnavailable, retry: true, cause: errors.New("no stream takes the subject (no responders)")}
	case errors.Is(err, nats.ErrMaxPayload):
		return &Error{Kind: ErrTooLarge, cause: err}
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining):
		return &Error{Kind: ErrUnavailable, Unknown: true, cause: err}
	}
	if denied := p.denial(subject, before); denied != nil {
		return denied
	}
	return &Error{Kind: ErrTimeout, Unknown: true, retry: true}
}

// denial finds the server's permission violation behind a missing answer: of the
// subject, or of the inbox of the answers, and then the message may be stored. The server tells violations to the connection as a whole, so
// one of the subject counts only when it is newer than before. The inbox is
// subscribed once only, so its violation is old after the first time.
func (p *Publisher) denial(subject string, before error) *Error {
	last := p.nc.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) {
		return nil
	}
	inbox := p.nc.Opts.InboxPrefix
	if inbox == "" {
		inbox = "_INBOX"
	}
	switch text := last.Error(); {
	case strings.Contains(text, `Subscription to "`+inbox+"."):
		return &Error{Kind: ErrDenied, Unknown: true, cause: last}
	case strings.Contains(text, `Publish to "`+subject+`"`) && !errors.Is(before, last):
		return &Error{Kind: ErrDenied, cause: last}
	}
	return nil
}

var errNoAcknowledgement = errors.New("the answer is no acknowledgement of a stream")

// parseAnswer reads a PubAck. What is no PubAck of the wanted stream (somebody
// else answers on the subject) is not taken for an acknowledgement.
func (p *Publisher) parseAnswer(reply *nats.Msg) (answer, *Error) {
	if len(bytes.TrimSpace(reply.Data)) == 0 {
		return answer{staged: true}, nil
	}
	var a answer
	if err := json.Unmarshal(reply.Data, &a); err != nil {
		return answer{}, &Error{Kind: ErrRefused, Unknown: true, cause: errNoAcknowledgement}
	}
	if a.Error != nil {
		return answer{}, apiError(a.Error.ErrCode, a.Error.Description)
	}
	if a.Stream != p.options.Stream || (a.Sequence == 0 && !a.Duplicate) {
		return answer{}, &Error{Kind: ErrRefused, Unknown: true, cause: fmt.Errorf(
			"the answer comes from stream %q, wanted is %q", a.Stream, p.options.Stream)}
	}
	return a, nil
}

// JetStream error codes (nats-server, server/errors.json).
const (
	codeAccountResources   = 10002
	codeClusterUnavailable = 10008
	codeNotLeader          = 10009
	codeNoResources        = 10023
	codeNoMemory           = 10028
	codeNoJetStream        = 10039
	codeNoStorage          = 10047
	codeMessageTooLarge    = 10054
	codeJetStreamDisabled  = 10076
	codeStoreFailed        = 10077
	codeHeadersTooLarge    = 10097
	codeStreamOffline      = 10118
	codeTooManyRequests    = 10167
	codeBatchDisabled      = 10174
	codeBatchDuplicate     = 10201
	codeBatchesInFlight    = 10210
)

// apiError is the one table of what JetStream's refusals mean to a publisher.
func apiError(code int, description string) *Error {
	e := &Error{Kind: ErrRefused, Code: code, cause: errors.New(description)}
	switch code {
	case codeMessageTooLarge, codeHeadersTooLarge:
		e.Kind = ErrTooLarge
	case codeStoreFailed:
		e.Kind = storeFailure(description)
	case codeAccountResources, codeNoResources, codeNoMemory, codeNoStorage:
		e.Kind = ErrResources
	case codeTooManyRequests, codeBatchesInFlight:
		e.Kind, e.retry = ErrResources, true
	case codeClusterUnavailable, codeNotLeader, codeStreamOffline:
		e.Kind, e.retry = ErrUnavailable, true
	case codeNoJetStream, codeJetStreamDisabled:
		e.Kind = ErrUnavailable
	}
	return e
}

// storeFailure tells the reasons of error 10077 apart, which the server gives
// in words only: a limit of the stream, or a failing store.
func storeFailure(description string) error {
	switch {
	case strings.Contains(description, "maximum bytes exceeded"), strings.Contains(description, "maximum messages exceeded"):
		return ErrStreamFull
	case strings.Contains(description, "message to large"), strings.Contains(description, "message too large"):
		return ErrTooLarge
	}
	return ErrResources
}

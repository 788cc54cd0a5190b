package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
)

// Headers of a parked message. The original's headers keep their names behind
// headerOriginal, so that none of them (Nats-Msg-Id, Nats-Rollup, Status …) has
// an effect again, and none can pass for one of ours.
const (
	headerSubject    = "Loginaudit-Parked-Subject"
	headerStream     = "Loginaudit-Parked-Stream"
	headerSequence   = "Loginaudit-Parked-Sequence"
	headerReceived   = "Loginaudit-Parked-Received"
	headerReason     = "Loginaudit-Parked-Reason"
	headerField      = "Loginaudit-Parked-Field"
	headerDetail     = "Loginaudit-Parked-Detail"
	headerBodyLength = "Loginaudit-Parked-Body-Length"
	headerOriginal   = "Loginaudit-Header-"
)

// maxOriginalHeaders is the most bytes of original headers that are kept as
// headers, well below the server's 64 KiB for all headers of a message. More
// than that, or names that are no RFC 9110 tokens, go behind the body: a hostile
// publisher must not be able to make a message that cannot be parked.
const maxOriginalHeaders = 24 << 10

// maxDetail is the most bytes of the reason's sentence.
const maxDetail = 1 << 10

// ReasonOther is the reason of what is parked for another cause than an [event.Error].
const ReasonOther = "other"

// Parker parks messages of LOGIN_EVENTS. It is safe for concurrent use.
type Parker struct {
	js     jetstream.JetStream
	before parkedBefore
	// restsUntil is when LOGIN_PARKED, which gave no answer, is asked again.
	restsUntil atomic.Pointer[time.Time]
}

// NewParker prepares parking. It sends nothing.
func NewParker(js jetstream.JetStream) *Parker {
	return &Parker{js: js, before: parkedBefore{js: js, most: mostRemembered}}
}

// Park stores the message with the reason in LOGIN_PARKED and returns nil once
// the stream has it; where it does not answer, an error after at most 6 s. It does
// not acknowledge msg. Parking the same message again changes nothing, as long as
// LOGIN_PARKED holds it. The reason's code, field and sentence come from an
// [*event.Error], else the code is [ReasonOther].
func (p *Parker) Park(ctx context.Context, msg jetstream.Msg, reason error) error {
	return p.ParkAll(ctx, []Invalid{{msg, reason}})[0]
}

// store is Park for a message that LOGIN_PARKED does not hold, or knows by its id.
func (p *Parker) store(ctx context.Context, msg jetstream.Msg, reason error) error {
	out, err := newParking(msg, reason)
	if err != nil {
		return err
	}
	if err := p.publish(ctx, out.msg, out.id); err != nil {
		return fmt.Errorf("park message %d: %w", out.seq, err)
	}
	return nil
}

// parking is a message on its way into LOGIN_PARKED.
type parking struct {
	msg *nats.Msg
	id  string // the Nats-Msg-Id, by which repeats collapse
	seq uint64 // its place in LOGIN_EVENTS
	of  origin
}

func newParking(msg jetstream.Msg, reason error) (parking, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return parking{}, fmt.Errorf("park message: %w", err)
	}
	code, field, detail := explain(reason)
	// The reason alone is in the subject: so the server counts by it, and nobody
	// can make it keep many subjects.
	out := nats.NewMsg(parkedPrefix + label(code))
	out.Data = msg.Data()
	set := func(name, value string) { out.Header[name] = []string{value} }
	set(headerSubject, oneLine(msg.Subject()))
	set(headerStream, meta.Stream)
	set(headerSequence, strconv.FormatUint(meta.Sequence.Stream, 10))
	set(headerReceived, meta.Timestamp.UTC().Format(time.RFC3339Nano))
	set(headerReason, code)
	set(headerField, field)
	set(headerDetail, detail)
	addOriginalHeaders(out, msg.Headers())
	// The time binds the sequence to this incarnation of the stream: one that is
	// deleted and created again counts from 1 again.
	of := origin{meta.Stream, meta.Sequence.Stream, meta.Timestamp.UnixNano()}
	id := fmt.Sprintf("%s:%d:%d", of.stream, of.seq, of.at)
	return parking{msg: out, id: id, seq: of.seq, of: of}, nil
}

// Parking must not hold up valid events where LOGIN_PARKED gives no answer, as on a
// disk that is full.
const (
	// parkTry is how long one request may go without an answer, parkTries how often
	// it is sent.
	parkTry   = 3 * time.Second
	parkTries = 2
	// parkRest is for how long, after so much silence, nothing more is asked.
	parkRest = 5 * time.Second
)

// errSilent: no answer came, or nothing was asked because none just came. The
// message may be parked all the same.
var errSilent = errors.New("stream " + Parked + " does not answer")

// publish asks again where no answer comes: a request that was sent into a
// connection that broke is never answered, and what was stored all the same
// collapses by its id.
func (p *Parker) publish(ctx context.Context, out *nats.Msg, id string) error {
	if p.rests() {
		return errSilent
	}
	for range parkTries {
		try, cancel := context.WithTimeout(ctx, parkTry)
		_, err := p.js.PublishMsg(try, out, jetstream.WithMsgID(id), jetstream.WithExpectStream(Parked))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
	p.rest()
	return errSilent
}

// rest has nothing more asked for a while.
func (p *Parker) rest() {
	until := time.Now().Add(parkRest)
	p.restsUntil.Store(&until)
}

// rests tells that LOGIN_PARKED gave no answer a moment ago.
func (p *Parker) rests() bool {
	until := p.restsUntil.Load()
	return until != nil && time.Now().Before(*until)
}

// explain gives the reason's code, field and sentence, each fit for a header.
func explain(reason error) (code, field, detail string) {
	var e *event.Error
	switch {
	case errors.As(reason, &e):
		code, field, detail = string(e.Reason), e.Field, e.Error()
	case reason != nil:
		code, detail = ReasonOther, reason.Error()
	default:
		code = ReasonOther
	}
	detail = oneLine(detail)
	if len(detail) > maxDetail {
		detail = strings.ToValidUTF8(detail[:maxDetail], "") + "…"
	}
	return oneLine(code), oneLine(field), detail
}

// oneLine keeps a text from ending its header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return ' '
		}
		return r
	}, s)
}

// accountToken is the account's token of an event's subject where it is one
// that the contract allows, so that a parked message can be found by account.
func accountToken(subject string) string {
	tokens := strings.Split(strings.TrimPrefix(subject, event.SubjectPrefix), ".")
	if len(tokens) == 2 && len(tokens[0]) <= event.MaxAccount && accountPattern.MatchString(tokens[0]) {
		return tokens[0]
	}
	return "_"
}

var (
	accountPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	tokenPattern   = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

// addOriginalHeaders keeps the original's headers as headers, or behind the body.
func addOriginalHeaders(out *nats.Msg, original nats.Header) {
	size, plain := 0, true
	for name, values := range original {
		plain = plain && tokenPattern.MatchString(name)
		for _, v := range values {
			size += len(headerOriginal) + len(name) + len(v) + len(": \r\n")
			plain = plain && v == strings.TrimSpace(v)
		}
	}
	if plain && size <= maxOriginalHeaders {
		for name, values := range original {
			out.Header[headerOriginal+name] = values
		}
		return
	}
	out.Header[headerBodyLength] = []string{strconv.Itoa(len(out.Data))}
	body := bytes.NewBuffer(append(make([]byte, 0, len(out.Data)+size), out.Data...))
	for name, values := range original {
		for _, v := range values {
			fmt.Fprintf(body, "%s: %s\r\n", name, v)
		}
	}
	out.Data = body.Bytes()
}

// originalHeaders undoes addOriginalHeaders.
func originalHeaders(header nats.Header, data []byte) (body []byte, original nats.Header, err error) {
	original = nats.Header{}
	for name, values := range header {
		if plain, ok := strings.CutPrefix(name, headerOriginal); ok {
			original[plain] = values
		}
	}
	length := header.Get(headerBodyLength)
	if length == "" {
		return data, original, nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > len(data) {
		return nil, nil, fmt.Errorf("read header %s: %q is not a length of the body", headerBodyLength, length)
	}
	for line := range strings.SplitSeq(string(data[n:]), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			original[name] = append(original[name], value)
		}
	}
	return data[:n], original, nil
}

package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
)

// ReplayOptions say how parked messages are published again.
type ReplayOptions struct {
	// SubjectFromBody publishes on the subject that fits the body, instead of
	// the original's. The body must be an event.
	SubjectFromBody bool
	// Body, unless it is nil, takes the place of the original's: an operator has
	// corrected it. It must be an event that breaks no rule on its subject.
	Body []byte
	// DryRun tells what would be done, in order, and does nothing.
	DryRun bool
}

// Replay publishes each message again in LOGIN_EVENTS, byte for byte, and notes
// it, before and after. What still breaks a rule of the contract is parked again
// as a message of its own, which tells of which it is a replay.
//
// The headers are the original's, but for those that would do something: all
// that begin with Nats- (the client's orders to the stream), Status and
// Description (a server's word, to clients), those that begin with Loginaudit-,
// and those that are no RFC 9110 fields. Where they leave no room for what
// loginaudit adds, none is kept.
//
// An event is its content, so nothing comes of a message that is replayed twice.
// The parked message stays as it is.
func (o *Operator) Replay(ctx context.Context, selected []Selected, options ReplayOptions, told func(Outcome)) error {
	limit := actors
	if options.DryRun {
		limit = 1 // keeps the order
	}
	return each(ctx, selected, limit, func(ctx context.Context, s Selected) Outcome {
		return o.replay(ctx, s, options)
	}, told)
}

func (o *Operator) replay(ctx context.Context, s Selected, options ReplayOptions) Outcome {
	m, err := o.inbox.get(ctx, s.Seq)
	if err != nil {
		return failed(s, err)
	}
	outcome := Outcome{Selected: s}
	msg, err := o.prepare(&m, s, options)
	if err != nil {
		outcome.Err = err
		return outcome
	}
	outcome.Subject = msg.Subject
	outcome.Broken = check(msg.Subject, msg.Data, time.Now())
	if options.Body != nil && outcome.Broken != nil {
		outcome.Err = fmt.Errorf("the new body is refused: %w", outcome.Broken)
		return outcome
	}
	if options.DryRun {
		return outcome
	}
	n := noteOf(&m)
	n.Step = StepReplaying
	if msg.Subject != m.Subject {
		n.SentSubject = msg.Subject
	}
	if sum := sha256Hex(msg.Data); sum != n.SHA256 {
		n.SentSHA256, n.SentSize = sum, len(msg.Data)
	}
	if err := o.note(ctx, n, s); err != nil {
		return failed(s, err)
	}
	return o.send(ctx, msg, n, outcome)
}

// send publishes a message whose note is there, and notes the end.
func (o *Operator) send(ctx context.Context, msg *nats.Msg, n Note, outcome Outcome) Outcome {
	ack, err := o.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(Events))
	if err != nil {
		n.Step, n.Error = StepFailed, oneLine(err.Error())
		outcome.Err = fmt.Errorf("publish: %w", err)
		outcome.fatal = !isAPI(err, codeMessageTooLarge) && !errors.Is(err, nats.ErrMaxPayload)
		if noted := o.note(ctx, n, outcome.Selected); noted != nil {
			outcome.Err = errors.Join(outcome.Err, noted)
		}
		return outcome
	}
	outcome.EventSeq = ack.Sequence
	n.Step, n.EventSeq = StepReplayed, ack.Sequence
	if err := o.note(ctx, n, outcome.Selected); err != nil {
		outcome.Err = fmt.Errorf("it is published (sequence %d of %s), but that is not noted: %w", ack.Sequence, Events, err)
		outcome.fatal = true
	}
	return outcome
}

// codeMessageTooLarge: the message is larger than the stream takes.
const codeMessageTooLarge = 10054

// prepare makes the message to publish.
func (o *Operator) prepare(m *ParkedMessage, s Selected, options ReplayOptions) (*nats.Msg, error) {
	msg := nats.NewMsg(m.Subject)
	msg.Data = m.Body
	if options.Body != nil {
		msg.Data = options.Body
	}
	if options.SubjectFromBody {
		e, _, err := event.Decode(msg.Data)
		if err != nil {
			return nil, fmt.Errorf("no subject can be told from the body: %w", err)
		}
		msg.Subject = e.Subject()
	}
	if !strings.HasPrefix(msg.Subject, event.SubjectPrefix) || !isSubject(msg.Subject) {
		return nil, fmt.Errorf("%q is not a subject of events", msg.Subject)
	}
	// A repeat after a kill collapses; one that is meant to be another does not.
	// The original's own id would suppress the replay for as long as the stream
	// knows it.
	ours := nats.Header{
		headerReplay: {replayHeader(m, o.run)},
		jetstream.MsgIDHeader: {fmt.Sprintf("replay:%d:%d:%d:%s", m.Seq, m.ParkedAt.UnixNano(), s.replays,
			sha256Hex([]byte(msg.Subject+"\n"+string(msg.Data))))},
	}
	msg.Header = safeHeaders(m.Headers)
	for name, values := range ours {
		msg.Header[name] = values
	}
	if headersSize(msg.Header)+len(msg.Data) > event.MaxBody+headersAllowance-expectHeaders {
		msg.Header = ours
	}
	return msg, nil
}

// expectHeaders is room for what the client adds: the expected stream.
const expectHeaders = 64

// isSubject reports whether a message can be published on a subject.
func isSubject(subject string) bool {
	if strings.ContainsFunc(subject, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return false
	}
	for token := range strings.SplitSeq(subject, ".") {
		if token == "" || token == "*" || token == ">" {
			return false
		}
	}
	return true
}

// safeHeaders are the headers of an original that do nothing when it is
// published again.
func safeHeaders(original nats.Header) nats.Header {
	safe := nats.Header{}
	for name, values := range original {
		lower := strings.ToLower(name)
		if !tokenPattern.MatchString(name) || strings.HasPrefix(lower, "nats-") || strings.HasPrefix(lower, "loginaudit-") ||
			lower == "status" || lower == "description" {
			continue
		}
		for _, v := range values {
			if v == oneLine(v) {
				safe[name] = append(safe[name], v)
			}
		}
	}
	return safe
}

// headersSize is what headers take on the wire.
func headersSize(h nats.Header) int {
	size := len("NATS/1.0\r\n\r\n")
	for name, values := range h {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	return size
}

package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/event"
)

// ReasonRowRefused is the reason of a valid message whose row the store refuses
// while it takes the others.
const ReasonRowRefused event.Reason = "row_refused"

// refused is a message that must be parked, and why.
type refused struct {
	message *message
	reason  error
}

const (
	// parkers is how many calls of Config.Park are under way at the same time, and
	// parkTogether the most messages of one.
	parkers      = 2
	parkTogether = 1000
	// mostWaiting is how many messages wait to be parked. Parking goes on beside
	// the inserts, so that a flood of invalid messages costs the others little;
	// when it cannot follow, fetching waits for it.
	mostWaiting = 4000
)

// parkAll parks messages, as many at once as there are, until no more come.
func (l *Loop) parkAll(work context.Context) {
	for first := range l.invalid {
		l.park(work, l.withWaiting(first))
	}
}

// withWaiting gives a message and those that wait behind it. It never waits for
// more: another parker may take them first, and the next may be a long time off.
func (l *Loop) withWaiting(first refused) []refused {
	all := []refused{first}
	for len(all) < parkTogether {
		select {
		case next, ok := <-l.invalid:
			if !ok {
				return all
			}
			all = append(all, next)
		default:
			return all
		}
	}
	return all
}

// park parks messages and acknowledges those for which it is confirmed. The
// others are given back for a later time.
func (l *Loop) park(work context.Context, all []refused) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(work, l.config.InsertTimeout)
	defer cancel()
	asked := make([]Invalid, len(all))
	for i, r := range all {
		asked[i] = Invalid{r.message, r.reason}
	}
	told := make(tally)
	confirmed := l.config.Park(ctx, asked)
	src := l.source.Load()
	if lives, err := l.lives(work, src); err != nil || !lives {
		src = nil // nothing is acknowledged; it is delivered again, and parked once
	}
	for i, err := range confirmed {
		l.parked(all[i], err, src, told)
		l.inHand.drop(all[i].message)
	}
	told.log(l.log)
	l.metrics.batchStage(stagePark, time.Since(began))
	l.progressed()
}

// parked settles a message that was to be parked, where it is of the source that
// lives.
func (l *Loop) parked(r refused, err error, lives *source, told tally) {
	code := reasonLabel(r.reason)
	if err != nil {
		told.add(code, r.message.seq, err)
		l.metrics.parkFailures.Inc()
		_ = r.message.NakWithDelay(l.config.ParkAgainAfter) // else the server's AckWait does the same
		return
	}
	told.add(code, r.message.seq, nil)
	l.metrics.parked.WithLabelValues(code).Inc()
	l.metrics.events.WithLabelValues(resultParked).Inc()
	if r.message.source != lives {
		return // see Loop.lives
	}
	if err := r.message.Ack(); err != nil {
		l.metrics.ackFailures.Inc()
	}
}

// tally sums up what became of messages, so that a flood of them is no flood of
// lines.
type tally map[outcome]*summary

type outcome struct {
	reason string
	failed bool
}

type summary struct {
	messages int
	first    uint64 // the first message's sequence
	err      error  // its error
}

func (t tally) add(reason string, seq uint64, err error) {
	o := outcome{reason, err != nil}
	if t[o] == nil {
		t[o] = &summary{first: seq, err: err}
	}
	t[o].messages++
}

func (t tally) log(log *zap.Logger) {
	for o, s := range t {
		fields := []zap.Field{zap.String("reason", o.reason), zap.Int("messages", s.messages), zap.Uint64("stream_seq", s.first)}
		if o.failed {
			log.Error("cannot park message; it stays unacknowledged", append(fields, zap.Error(s.err))...)
			continue
		}
		log.Warn("message is parked", fields...)
	}
}

// parkRow has a message parked whose row the store refuses. Where it cannot be
// had, it stays unacknowledged and comes again.
func (l *Loop) parkRow(work context.Context, b *batch, row int, cause error) {
	m, err := l.again(work, b, row)
	if err != nil {
		l.metrics.parkFailures.Inc()
		l.log.Error("cannot read a message that is to be parked; it stays unacknowledged",
			zap.Uint64("stream_seq", b.seqs[row]), zap.Error(err))
		return
	}
	l.inHand.add(m)
	l.invalid <- refused{m, &event.Error{
		Reason: ReasonRowRefused,
		Detail: "is valid, but the store refuses its row: " + cause.Error(),
	}}
}

// again reads the message of a row from the stream again: a batch keeps the
// rows, not the messages. One that has expired meanwhile is made of its body,
// without the headers.
func (l *Loop) again(work context.Context, b *batch, row int) (*message, error) {
	ctx, cancel := context.WithTimeout(work, askTimeout)
	defer cancel()
	msg := &nats.Msg{Reply: strings.Clone(b.replies.at(row))}
	raw, err := l.source.Load().stream.GetMsg(ctx, b.seqs[row])
	switch {
	case err == nil:
		msg.Subject, msg.Header, msg.Data = raw.Subject, raw.Header, raw.Data
	case errors.Is(err, jetstream.ErrMsgNotFound):
		msg.Data = b.block.Raw(row)
		e, _, err := event.Decode(msg.Data)
		if err != nil {
			return nil, fmt.Errorf("read message from its row: %w", err)
		}
		msg.Subject = e.Subject()
	default:
		return nil, fmt.Errorf("read message: %w", err)
	}
	d, err := newDelivery(msg)
	if err != nil {
		return nil, err
	}
	return &message{delivery: d, nc: l.config.JetStream.Conn(), source: b.source}, nil
}

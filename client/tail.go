package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strconv"
	"time"
)

// TailItem is one thing that a tail tells: exactly one of Event, Watermark and Gap
// is set.
type TailItem struct {
	// Event is an event that matches, in the order of arrival.
	Event *Event
	// Watermark tells, every 15 seconds, up to where everything that matches has
	// been told.
	Watermark *Watermark
	// Gap is a part of the stream of which the tail tells nothing: the reader was
	// too slow, or away for too long.
	Gap *TailGap
	// Seq is the place in the stream from which a tail goes on behind this item:
	// [TailOptions.After] of a later one.
	Seq uint64
}

// TailGap is the sequences of the stream that a tail has skipped. Ask the list of
// events for what happened then.
type TailGap struct {
	FromSeq uint64 `json:"from_seq"`
	ToSeq   uint64 `json:"to_seq"`
	Detail  string `json:"detail"`
}

// TailOptions says where a tail begins. The zero value begins now.
type TailOptions struct {
	// After is the sequence of the stream behind which the tail begins: Seq of the
	// last item of an earlier tail with the same filter, or StreamSeq of an event or
	// of a watermark. nil: now.
	After *uint64
	// OnBreak, if not nil, is told why a connection broke and when the next is
	// tried. It must not block.
	OnBreak func(err error, pause time.Duration)
}

// Tail gives events as they arrive, without an end: until the context ends, or the
// server refuses the question for good. When the connection breaks, it goes on
// where it was, after growing pauses with jitter; no event is given twice. The
// order is that of arrival, while lists are in the order of time. The filter's
// Start, End and Order must be empty. The last error ends the iteration; that the
// context has ended is one.
func (c *Client) Tail(ctx context.Context, account string, f EventFilter, o TailOptions) iter.Seq2[TailItem, error] {
	return func(yield func(TailItem, error) bool) {
		t := &tail{client: c, options: o, yield: yield, question: aboutAccount("GET /stream", account, "stream").with(f.values())}
		t.question.accept = "text/event-stream"
		if o.After != nil {
			t.last, t.placed = *o.After, true
		}
		if err := t.run(ctx); err != nil {
			yield(TailItem{}, err)
		}
	}
}

// tail is one iteration.
type tail struct {
	client   *Client
	question question
	options  TailOptions
	yield    func(TailItem, error) bool

	last   uint64 // the sequence up to which everything was given
	placed bool   // last is known
	// behind is whether a connection has brought nothing yet from behind last.
	// Until then an event up to last was given before. Later on a smaller sequence
	// is that of a stream that was made anew.
	behind bool
	// answered is whether the server ever took the question: from then on a break
	// is waited out.
	answered bool
	failures int           // since something came
	retry    time.Duration // the server's own word for the least pause
	stopped  bool          // the caller wants no more
}

// run goes from connection to connection. nil: the caller stopped it.
func (t *tail) run(ctx context.Context) error {
	for {
		err := t.connection(ctx)
		if t.stopped {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("tail: %w", context.Cause(ctx))
		}
		t.failures++
		pause, ok := t.pause(err)
		if !ok {
			return fmt.Errorf("tail: %w", err)
		}
		if t.options.OnBreak != nil {
			t.options.OnBreak(err, pause)
		}
		if !wait(ctx, pause) {
			if ctx.Err() == nil { // it would end during the pause
				<-ctx.Done()
			}
			return fmt.Errorf("tail: %w", context.Cause(ctx))
		}
	}
}

// pause decides whether a break is waited out, and how long.
func (t *tail) pause(err error) (time.Duration, bool) {
	r := t.client.retry
	pause, ok := r.again(err, t.failures)
	if !t.answered { // the address or the question may be wrong
		return pause, ok && t.failures < r.Tries
	}
	problem := (*Problem)(nil)
	refused := errors.As(err, &problem) && problem.Type != "" && problem.Status < 500 && !IsUnavailable(problem)
	if refused || errors.Is(err, errBadMessage) || errors.Is(err, ErrTooLarge) {
		return 0, false
	}
	if pause = r.pause(t.failures); problem != nil {
		pause = max(pause, problem.RetryAfter)
	}
	if least := t.retry/2 + rand.N(t.retry/2+1); pause < least {
		pause = least
	}
	return min(pause, r.MaxPause), true
}

// connection gives what one connection brings, and why it ended.
func (t *tail) connection(ctx context.Context) error {
	q := t.question
	if t.placed {
		q.lastEventID = strconv.FormatUint(t.last, 10)
	}
	s, err := t.client.open(ctx, q)
	if err != nil {
		return err
	}
	defer s.close()
	t.answered, t.behind = true, t.placed
	messages := newMessages(s)
	for {
		m, err := messages.next()
		t.retry = messages.retry
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errTailEnded
			}
			return err
		}
		if err := t.take(m); err != nil || t.stopped {
			return err
		}
	}
}

// errTailEnded: servers end a tail when they stop.
var errTailEnded = errors.New("the server has ended the tail")

// errBadMessage: the same message would come again.
var errBadMessage = errors.New("the server sends what is no item of a tail")

// take gives the item of a message, if it is one.
func (t *tail) take(m message) error {
	item := TailItem{}
	var err error
	switch m.kind {
	case "event":
		item.Event = &Event{}
		err = json.Unmarshal(m.data, item.Event)
	case "watermark":
		item.Watermark = &Watermark{}
		err = json.Unmarshal(m.data, item.Watermark)
	case "gap":
		item.Gap = &TailGap{}
		err = json.Unmarshal(m.data, item.Gap)
	default:
		return nil // of a later version
	}
	if err != nil {
		return fmt.Errorf("read %s of the tail: %w: %w", m.kind, errBadMessage, err)
	}
	t.failures = 0
	if item.Event != nil && t.behind && item.Event.StreamSeq <= t.last {
		return nil
	}
	t.behind = false
	if seq, err := strconv.ParseUint(m.id, 10, 64); err == nil {
		t.last, t.placed = seq, true
	}
	item.Seq = t.last
	t.stopped = !t.yield(item, nil)
	return nil
}

package tail

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// reader is one who follows. Its fields but the first three belong to Hub.mu.
type reader struct {
	account string
	filter  query.EventFilter
	wake    chan struct{} // there is something in the buffer, or it is lost

	buffer []query.TailMessage
	// lost says that the reader is live no more: it has everything up to lostAt, in the
	// history of lostIn, once it has taken what is in its buffer.
	lost   bool
	lostAt uint64
	lostIn query.TailEdge
}

// Follow hands the events of an account on to deliver, with watermarks and gaps, until
// ctx ends, deliver fails, or the hub stops, which is no error. deliver may take its
// time; it must not keep the slice.
//
// An error that it returns before it has called deliver is query.ErrTailFull, or
// wraps query.ErrUnavailable.
func (h *Hub) Follow(ctx context.Context, account string, q query.TailQuestion, deliver func([]query.TailMessage) error) error {
	r := &reader{account: account, filter: q.Filter, wake: make(chan struct{}, 1)}
	if err := h.admit(); err != nil {
		return err
	}
	defer h.dismiss(r)
	f := &follower{hub: h, reader: r, deliver: deliver, beat: time.NewTicker(h.config.Heartbeat)}
	defer f.beat.Stop()
	err := f.begin(ctx, q.After)
	for err == nil {
		if err = f.catchUp(ctx); err != nil {
			break
		}
		if err = f.live(ctx); err == nil {
			err = f.again(ctx)
		}
	}
	if errors.Is(err, errStopped) && f.admitted {
		return nil
	}
	return err
}

// admit counts the reader, if there is room for it.
func (h *Hub) admit() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readers >= h.config.Readers {
		return query.ErrTailFull
	}
	h.readers++
	h.metrics.subscribers.Inc()
	return nil
}

// dismiss forgets the reader.
func (h *Hub) dismiss(r *reader) {
	h.leave(r)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers--
	h.metrics.subscribers.Dec()
}

// leave ends that the reader is live and empties its buffer.
func (h *Hub) leave(r *reader) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, r)
	h.remove(r)
	h.buffered -= len(r.buffer)
	r.buffer, r.lost = nil, false
}

// take empties the buffer of the reader.
func (h *Hub) take(r *reader) (messages []query.TailMessage, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	messages, lost = r.buffer, r.lost
	h.buffered -= len(messages)
	r.buffer = nil
	return messages, lost
}

// mark is the watermark for a reader that has everything up to at, whose buffer is
// empty; nil while it does not have everything up to a watermark.
func (h *Hub) mark(r *reader, at uint64) *query.Watermark {
	h.mu.Lock()
	defer h.mu.Unlock()
	mark := h.edge.Watermark
	if r.lost || len(r.buffer) > 0 || mark.StreamSeq < at || mark.StreamSeq > h.at {
		return nil
	}
	if mark.Time != nil { // it is as old as when it was asked for, and this much more
		mark.LagMS += time.Since(h.asked).Milliseconds()
	}
	return &mark
}

// join makes the reader live at the end of the next round.
func (h *Hub) join(ctx context.Context, r *reader) (joined, error) {
	h.leave(r)
	reply := make(chan joined, 1)
	h.mu.Lock()
	h.waiting[r] = request{reply: reply, round: h.rounds}
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
	select {
	case j := <-reply:
		return j, j.err
	case <-h.ending.Done():
		return joined{}, errStopped
	case <-ctx.Done():
		return joined{}, context.Cause(ctx)
	}
}

// follower is the part of a reader that belongs to its own goroutine.
type follower struct {
	hub     *Hub
	reader  *reader
	deliver func([]query.TailMessage) error
	beat    *time.Ticker
	// admitted: the reader has joined, and is not refused any more.
	admitted bool
	// reading: the reader has joined further on than it has read.
	reading bool

	at   uint64 // the reader has everything up to here
	from joined // where it has joined the live readers
}

// send hands messages on.
func (f *follower) send(messages ...query.TailMessage) error {
	if err := f.deliver(messages); err != nil {
		return fmt.Errorf("%w: %w", errDeliver, err)
	}
	for _, m := range messages {
		if m.Event != nil {
			f.hub.metrics.events.Inc()
		}
		if m != (query.TailMessage{}) {
			f.at = m.ID
		}
	}
	return nil
}

// sendMark sends the watermark, or only that the tail is still there; nothing to who
// is not let in yet.
func (f *follower) sendMark() error {
	if !f.admitted {
		return nil
	}
	if f.reading {
		return f.send(query.TailMessage{})
	}
	if mark := f.hub.mark(f.reader, f.at); mark != nil {
		return f.send(query.TailMessage{ID: mark.StreamSeq, Mark: mark})
	}
	return f.send(query.TailMessage{})
}

func (f *follower) sendGap(gap *query.TailGap) error {
	f.hub.metrics.gaps.Inc()
	return f.send(query.TailMessage{ID: gap.ToSeq, Gap: gap})
}

func tooFarBehind(at, to uint64) *query.TailGap {
	return &query.TailGap{
		FromSeq: at + 1, ToSeq: to,
		Detail: "the reader was too far behind; /events and /export have what was left out",
	}
}

func otherHistory(from, to uint64, why string) *query.TailGap {
	return &query.TailGap{FromSeq: from, ToSeq: to, Detail: why + "; /events and /export have what there is"}
}

// begin joins for the first time.
func (f *follower) begin(ctx context.Context, after *uint64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, beginTimeout+f.hub.config.Patience, errSilent)
	defer cancel()
	until := time.Now().Add(f.hub.config.Patience)
	for {
		j, err := f.hub.join(ctx, f.reader)
		if err != nil {
			return err
		}
		if after == nil || *after <= j.at || time.Now().After(until) {
			return f.beginAt(j, after)
		}
		f.hub.leave(f.reader)
		if err := f.pause(ctx, f.hub.config.Every); err != nil {
			return err
		}
	}
}

// beginAt goes on behind after, or where the reader has joined.
func (f *follower) beginAt(j joined, after *uint64) error {
	f.admitted, f.from, f.at = true, j, j.at
	switch {
	case after == nil || *after == j.at || j.at == 0:
		return f.sendMark()
	case *after < j.at:
		f.at, f.reading = *after, true
		return f.send(query.TailMessage{}) // before the store is read
	default:
		return f.sendGap(otherHistory(1, j.at,
			"Last-Event-ID is beyond the end of the stream, so it is of another one, or of this one before it was made anew"))
	}
}

// again joins after the reader was lost.
func (f *follower) again(ctx context.Context) error {
	lostIn := f.reader.lostIn // nobody else touches it now
	f.at, f.reading = f.reader.lostAt, true
	for {
		j, err := f.hub.join(ctx, f.reader)
		switch {
		case err == nil && sameHistory(lostIn, j.edge):
			f.from = j
			return nil
		case err == nil:
			f.from = j
			return f.newHistory(j)
		case errors.Is(err, errStopped) || ctx.Err() != nil:
			return err
		}
		if err := f.pause(ctx, retryPause); err != nil {
			return err
		}
	}
}

// newHistory goes on with the sequences of a stream that was made anew meanwhile. What
// the reader had not read of the former one it does not get.
func (f *follower) newHistory(j joined) error {
	at := f.at
	if j.formerAt > at {
		if err := f.sendGap(otherHistory(at+1, j.formerAt, "the stream was made anew, or put back to an older copy")); err != nil {
			return err
		}
	}
	f.at = 0
	return nil
}

// live hands on what comes, until the reader is lost.
func (f *follower) live(ctx context.Context) error {
	for {
		messages, lost := f.hub.take(f.reader)
		if len(messages) > 0 {
			if err := f.send(messages...); err != nil {
				return err
			}
		}
		var err error
		switch {
		case lost:
			return nil
		case len(messages) > 0:
			err = f.dueBeat(ctx)
		default:
			err = wait(ctx, f, f.reader.wake)
		}
		if err != nil {
			return err
		}
	}
}

// pause waits for d.
func (f *follower) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	return wait(ctx, f, timer.C)
}

// wait waits until something comes from ready, and says meanwhile that the tail is
// still there.
func wait[T any](ctx context.Context, f *follower, ready <-chan T) error {
	for {
		select {
		case <-ready:
			return nil
		case <-f.beat.C:
			if err := f.sendMark(); err != nil {
				return err
			}
		case <-f.hub.ending.Done():
			return errStopped
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// dueBeat does what is due, without waiting.
func (f *follower) dueBeat(ctx context.Context) error {
	select {
	case <-f.beat.C:
		return f.sendMark()
	case <-f.hub.ending.Done():
		return errStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
		return nil
	}
}

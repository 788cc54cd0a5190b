package publish

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Bulk sends a stream of messages of any length in batches, several at the same
// time, with bounded memory. Add and Close may be called from any goroutine.
type Bulk struct {
	p      *Publisher
	ctx    context.Context //nolint:containedctx // it bounds the life of the Bulk, like a request's
	report func(Result)
	slots  chan struct{} // one element per batch in flight
	flying sync.WaitGroup

	mu     sync.Mutex // guards what follows; held while Add waits for a slot
	batch  []Message
	size   int
	linger *time.Timer
	closed bool

	reporting sync.Mutex // one report at a time
	failMu    sync.Mutex
	failure   error
}

// ErrClosed is what [Bulk.Add] gives after Close.
var ErrClosed = errors.New("the bulk is closed")

// Bulk starts a bulk. It holds at most BatchesInFlight+1 batches. report is
// called once a message, one call at a time, in no certain order; it must not
// call the Bulk. ctx ends the whole. Close must be called.
func (p *Publisher) Bulk(ctx context.Context, report func(Result)) *Bulk {
	return &Bulk{p: p, ctx: ctx, report: report, slots: make(chan struct{}, p.options.BatchesInFlight)}
}

// Add takes a message. It waits while all batches are full, which is how the
// stream slows the caller down. An error says that the bulk has ended (no
// connection, stream full, cancelled; the same as Close gives) and that m was
// not taken: report will not be called for it.
func (b *Bulk) Add(m Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrClosed
	}
	if err := b.failed(); err != nil {
		return err
	}
	if len(b.batch) > 0 && b.size+len(m.Body) > b.p.options.BatchBytes {
		b.send()
	}
	b.batch = append(b.batch, m)
	b.size += len(m.Body)
	if len(b.batch) == b.p.options.BatchMessages {
		b.send()
	} else if len(b.batch) == 1 {
		b.linger = time.AfterFunc(b.p.options.Linger, b.flush)
	}
	return nil
}

// flush sends a batch that did not fill in time.
func (b *Bulk) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.send()
}

// Close sends what is left and waits for all answers. It gives the error that
// ended the bulk, or nil; refusals of single messages are told to report only.
func (b *Bulk) Close() error {
	b.mu.Lock()
	b.closed = true
	b.send()
	b.mu.Unlock()
	b.flying.Wait()
	return b.failed()
}

// send starts the sending of the batch in hand. b.mu is held, so that Add waits
// while every slot is taken; a batch in flight always ends, by its own timeout.
func (b *Bulk) send() {
	if b.linger != nil {
		b.linger.Stop()
	}
	if len(b.batch) == 0 {
		return
	}
	batch := b.batch
	b.batch, b.size = nil, 0
	b.slots <- struct{}{}
	b.flying.Go(func() {
		defer func() { <-b.slots }()
		b.fly(batch)
	})
}

// fly sends one batch, unless the bulk has ended, and reports its messages.
func (b *Bulk) fly(batch []Message) {
	var results []Result
	var e *Error
	if errors.As(b.failed(), &e) {
		results = allFailed(batch, &Error{Kind: e.Kind, Code: e.Code, cause: e.cause})
	} else {
		var stop *Error
		if results, stop = b.p.sendBatch(b.ctx, batch); stop != nil {
			b.fail(stop)
		}
	}
	b.reporting.Lock()
	defer b.reporting.Unlock()
	for _, r := range results {
		b.report(r)
	}
}

func (b *Bulk) fail(err error) {
	b.failMu.Lock()
	defer b.failMu.Unlock()
	if b.failure == nil {
		b.failure = err
	}
}

func (b *Bulk) failed() error {
	b.failMu.Lock()
	defer b.failMu.Unlock()
	return b.failure
}

package publish

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
)

// Result tells what became of one message of a batch.
type Result struct {
	// Ref is the message's.
	Ref uint64
	// Receipt is the acknowledgement where Err is nil. Its Duplicate is also
	// true for a repeat within the batch, which is not sent.
	Receipt Receipt
	// Err is nil, or of type [*Error].
	Err error
}

// PublishBatch checks, encodes and sends events and waits until the stream has
// them. It gives one result an event, in the same order. The error is nil when
// all of them are in the stream, else it is the first one's.
//
// An event that is refused for a reason of its own (invalid, too large, denied)
// does not keep the others from being published. A reason that holds for all
// (no connection, stream full, cancelled) ends the sending: the rest has that
// error too. The whole of the events is in memory; for a stream of unknown
// length use [Publisher.Bulk].
func (p *Publisher) PublishBatch(ctx context.Context, events []event.Event) ([]Result, error) {
	results := make([]Result, len(events))
	messages := make([]Message, 0, len(events))
	place := make([]int, 0, len(events))
	for i, e := range events {
		m, err := NewMessage(e)
		if err != nil {
			results[i].Err = err
			continue
		}
		messages = append(messages, m)
		place = append(place, i)
	}
	sent, _ := p.PublishMessages(ctx, messages)
	for i, r := range sent {
		results[place[i]] = r
	}
	return results, summary(results)
}

// PublishMessages is [Publisher.PublishBatch] for events that are encoded already.
func (p *Publisher) PublishMessages(ctx context.Context, messages []Message) ([]Result, error) {
	results := make([]Result, 0, len(messages))
	var stop *Error
	for len(messages) > 0 {
		n := p.batchLen(messages)
		batch := messages[:n]
		messages = messages[n:]
		if stop != nil {
			results = append(results, allFailed(batch, &Error{Kind: stop.Kind, Code: stop.Code, cause: stop.cause})...)
			continue
		}
		var sent []Result
		sent, stop = p.sendBatch(ctx, batch)
		results = append(results, sent...)
	}
	return results, summary(results)
}

// summary is the first error of results with how many share its fate.
func summary(results []Result) error {
	var first error
	failed := 0
	for _, r := range results {
		if r.Err != nil {
			failed++
			if first == nil {
				first = r.Err
			}
		}
	}
	if first == nil {
		return nil
	}
	return fmt.Errorf("publish batch: %d of %d events are not confirmed, the first: %w", failed, len(results), first)
}

func allFailed(batch []Message, err *Error) []Result {
	results := make([]Result, len(batch))
	for i, m := range batch {
		results[i] = Result{Ref: m.Ref, Err: err}
	}
	return results
}

// batchLen is how many of messages, at least one, make the next batch.
func (p *Publisher) batchLen(messages []Message) int {
	size := 0
	for n, m := range messages {
		size += len(m.Body)
		if n > 0 && (n == p.options.BatchMessages || size > p.options.BatchBytes) {
			return n
		}
	}
	return len(messages)
}

// sendBatch sends one batch. Its second value is set when the sending of
// others is of no use either.
func (p *Publisher) sendBatch(ctx context.Context, batch []Message) ([]Result, *Error) {
	results := make([]Result, len(batch))
	first := make(map[event.Hash]int, len(batch)) // content -> its first place
	unique := make([]Message, 0, len(batch))
	place := make([]int, 0, len(batch))
	for i, m := range batch {
		results[i].Ref = m.Ref
		if _, repeat := first[m.Hash]; repeat {
			continue
		}
		if err := m.check(); err != nil {
			results[i].Err = err
			continue
		}
		first[m.Hash] = i
		unique = append(unique, m)
		place = append(place, i)
	}
	for i, r := range p.sendUnique(ctx, unique) {
		results[place[i]] = r
	}
	var stop *Error
	for i, m := range batch {
		if at, ok := first[m.Hash]; ok && at != i {
			results[i] = results[at]
			results[i].Ref = m.Ref
			results[i].Receipt.Duplicate = results[i].Err == nil
		}
		if e, ok := results[i].Err.(*Error); ok && !e.aboutMessage() && stop == nil { //nolint:errorlint // set by this package, never wrapped
			stop = e
		}
	}
	return results, stop
}

// sendUnique sends messages without repeats: as one atomic batch where that
// serves, else, and where the batch as a whole is refused, one by one, so that
// each is told what became of it.
func (p *Publisher) sendUnique(ctx context.Context, batch []Message) []Result {
	ctx, cancel := context.WithTimeoutCause(ctx, p.options.BatchTimeout, errOutOfTime)
	defer cancel()
	unknown := false
	if len(batch) > 1 && !p.noBatches.Load() {
		results, err := p.sendAtomic(ctx, batch)
		if err == nil {
			return results
		}
		if !err.alone {
			return allFailed(batch, err.orContext(ctx))
		}
		unknown = err.Unknown
	}
	return p.sendWindow(ctx, batch, unknown)
}

// sendWindow sends messages one by one, Window of them at the same time.
func (p *Publisher) sendWindow(ctx context.Context, batch []Message, unknown bool) []Result {
	results := make([]Result, len(batch))
	var window errgroup.Group
	window.SetLimit(p.options.Window)
	for i, m := range batch {
		window.Go(func() error {
			receipt, err := p.publish(ctx, m, p.options.BatchTimeout, unknown)
			results[i] = Result{Ref: m.Ref, Receipt: receipt, Err: err}
			return nil
		})
	}
	_ = window.Wait() // every error is in results
	return results
}

// batchError is why an atomic batch did not pass.
type batchError struct {
	*Error
	// alone tells that the messages may pass one by one, or will tell which of
	// them is the reason.
	alone bool
}

// placeTries is how often a batch asks for one of the few places that the server
// has for open batches, before its messages go one by one: whoever holds all
// places must not keep others from publishing.
const placeTries = 3

// sendAtomic sends an atomic batch until it is acknowledged or refused, or the
// time is over. A batch is stored wholly or not at all.
func (p *Publisher) sendAtomic(ctx context.Context, batch []Message) ([]Result, *batchError) {
	pause := backoff{base: p.options.RetryPause}
	unknown := false
	for try := 1; ; try++ {
		last, err := p.tryAtomic(ctx, batch)
		if err == nil {
			results := make([]Result, len(batch))
			for i, m := range batch {
				seq := last - uint64(len(batch)-1-i)
				results[i] = Result{Ref: m.Ref, Receipt: Receipt{StreamSeq: seq, Tries: try}}
			}
			return results, nil
		}
		unknown = unknown || err.Unknown
		err.Unknown = unknown
		err.alone = err.alone || err.Code == codeBatchesInFlight && try >= placeTries
		if err.alone || !err.retry || !pause.wait(ctx) {
			return nil, err
		}
	}
}

// tryAtomic sends a batch once, by ADR-50: the first message asks whether the
// stream takes batches, the last commits. It gives the sequence of the last.
func (p *Publisher) tryAtomic(ctx context.Context, batch []Message) (uint64, *batchError) {
	id := rand.Text()
	answer, err := p.request(ctx, p.batchMsg(batch, id, 0))
	switch {
	case err != nil && err.Code == codeBatchDisabled:
		p.noBatches.Store(true)
		return 0, &batchError{Error: err, alone: true}
	case err != nil:
		// Nothing is stored before the commit.
		err.Unknown = false
		return 0, &batchError{Error: err, alone: !err.retry}
	case !answer.staged:
		// A server before 2.12 knows no batches and has stored the message.
		p.noBatches.Store(true)
		return 0, &batchError{Error: &Error{Kind: ErrRefused, Unknown: true}, alone: true}
	}
	if err := p.sendBetween(ctx, batch, id); err != nil {
		err.Unknown = false // as above
		return 0, &batchError{Error: err, alone: !errors.Is(err.cause, errHangs)}
	}
	answer, err = p.request(ctx, p.batchMsg(batch, id, len(batch)-1))
	switch {
	case err != nil:
		// A refusal names no message; one by one each will tell its own.
		return 0, &batchError{Error: err, alone: !err.retry}
	case answer.staged || answer.Batch != id || answer.Count != len(batch):
		return 0, &batchError{Error: &Error{Kind: ErrRefused, Unknown: true, cause: errNoAcknowledgement}, alone: true}
	}
	return answer.Sequence, nil
}

// sendBetween sends what lies between the first and the last message of a batch,
// which nobody answers. Like request it never takes longer than ctx, whether or
// not the connection hangs.
func (p *Publisher) sendBetween(ctx context.Context, batch []Message, id string) *Error {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return &Error{Kind: ErrTimeout, cause: errHangs}
	}
	done := make(chan *Error, 1)
	go func() {
		defer func() { <-p.places }()
		done <- p.handOver(ctx, batch, id)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &Error{Kind: ErrTimeout, cause: errHangs}
	}
}

// handOver hands these messages to the client library, until ctx ends: then nobody
// commits the batch.
func (p *Publisher) handOver(ctx context.Context, batch []Message, id string) *Error {
	before := p.nc.LastError()
	for i := 1; i < len(batch)-1; i++ {
		if ctx.Err() != nil {
			return &Error{Kind: ErrTimeout, cause: errHangs}
		}
		if err := p.nc.PublishMsg(p.batchMsg(batch, id, i)); err != nil {
			return p.requestError(batch[i].Subject, err, before)
		}
	}
	return nil
}

// batchMsg is the NATS message of the batch's message i.
func (p *Publisher) batchMsg(batch []Message, id string, i int) *nats.Msg {
	m := p.newMsg(batch[i])
	m.Header[headerBatchID] = []string{id}
	m.Header[headerBatchSequence] = []string{strconv.Itoa(i + 1)}
	if i == len(batch)-1 {
		m.Header[headerBatchCommit] = []string{"1"}
	}
	return m
}

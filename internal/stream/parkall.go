package stream

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// Headers of JetStream's atomic batches (ADR-50). Package publish speaks the same
// protocol to LOGIN_EVENTS; it stands alone, because auth services build it.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

const (
	// parkMessages is the server's own limit of a batch.
	parkMessages = 1000
	// parkBytes bounds what the server must stage, and what is built here.
	parkBytes = 4 << 20
	// parkWindow is how many messages go at the same time where they go one by one.
	parkWindow = 16
	// batchAllowance is more than the headers that a batch adds to a message.
	batchAllowance = 512
)

// Invalid is a message of LOGIN_EVENTS to be parked, and why.
type Invalid struct {
	Msg jetstream.Msg
	// Reason is what [Parker.Park] takes.
	Reason error
}

// ParkAll is [Parker.Park] for many messages, at the cost of few: they are stored
// in atomic batches of up to 1,000 messages or about 4 MiB, in order, one batch
// after the other. It gives one error a message in the same order, nil once the
// stream has the message durably. A message of which the outcome is not known when
// ctx ends has an error, and may be stored all the same.
//
// One message never fails the others: where the server refuses a batch (it knows
// one of the messages already, the stream has no room for all of them or takes no
// batches, too many are open) or its outcome is not clear, the messages of that
// batch are parked one by one, a few at a time. What holds for all (ctx ended,
// no stream, no answer, connection closed) ends the parking, and all that are left have
// that error.
func (p *Parker) ParkAll(ctx context.Context, all []Invalid) []error {
	run := parkRun{parker: p, all: all, errs: make([]error, len(all))}
	ready, repeats := run.prepare()
	var batch []placed
	size := 0
	for _, one := range run.unknown(ctx, ready) {
		n := one.msg.Size() + batchAllowance
		if len(batch) == parkMessages || size+n > parkBytes {
			run.park(ctx, batch)
			batch, size = batch[:0], 0
		}
		batch, size = append(batch, one), size+n
	}
	run.park(ctx, batch)
	for i, at := range repeats {
		run.errs[i] = run.errs[at]
	}
	return run.errs
}

// placed is a message with its place among all of a call.
type placed struct {
	parking
	at int
}

// parkRun is one call of ParkAll.
type parkRun struct {
	parker *Parker
	all    []Invalid
	errs   []error
	// stop is an error that holds for all messages.
	stop atomic.Pointer[error]
}

// prepare makes what is to be sent. repeats are places in all and the first place of
// the same message.
func (r *parkRun) prepare() (ready []placed, repeats map[int]int) {
	repeats = map[int]int{}
	first := make(map[string]int, len(r.all)) // id -> its first place in all
	ready = make([]placed, 0, len(r.all))
	for i, invalid := range r.all {
		one, err := newParking(invalid.Msg, invalid.Reason)
		if err != nil {
			r.errs[i] = err
			continue
		}
		if at, repeat := first[one.id]; repeat {
			repeats[i] = at
			continue
		}
		first[one.id] = i
		ready = append(ready, placed{one, i})
	}
	return ready, repeats
}

// unknown leaves out what LOGIN_PARKED holds already, and that of which it cannot
// be told.
func (r *parkRun) unknown(ctx context.Context, ready []placed) []placed {
	if len(ready) == 0 {
		return nil
	}
	if r.parker.rests() {
		silent := errSilent
		r.stop.Store(&silent)
		return ready
	}
	found, err := r.parker.before.find(ctx, ready)
	if errors.Is(err, errSilent) {
		r.parker.rest()
	}
	kept := ready[:0]
	for i, one := range ready {
		switch found[i] {
		case parkedNever:
			kept = append(kept, one)
		case parkedPerhaps:
			r.errs[one.at] = fmt.Errorf("park message %d: %w", one.seq, err)
		case parkedAlready:
		}
	}
	return kept
}

// park parks a batch as one, else one by one.
func (r *parkRun) park(ctx context.Context, batch []placed) {
	if len(batch) > 1 && r.stop.Load() == nil && !r.parker.rests() && ctx.Err() == nil && r.parker.parkAtomic(ctx, batch) {
		return
	}
	var window errgroup.Group
	window.SetLimit(parkWindow)
	for _, one := range batch {
		window.Go(func() error {
			r.errs[one.at] = r.parkOne(ctx, one)
			return nil
		})
	}
	_ = window.Wait() // every error is in errs
}

func (r *parkRun) parkOne(ctx context.Context, one placed) error {
	if stop := r.stop.Load(); stop != nil {
		return fmt.Errorf("park message %d: %w", one.seq, *stop)
	}
	// Made anew: one.msg may have the headers of a batch.
	err := r.parker.store(ctx, r.all[one.at].Msg, r.all[one.at].Reason)
	for _, all := range []error{errSilent, jetstream.ErrNoStreamResponse, nats.ErrConnectionClosed, nats.ErrConnectionDraining} {
		if errors.Is(err, all) {
			r.stop.Store(&all)
		}
	}
	return err
}

// parkAtomic tells whether LOGIN_PARKED has stored the whole batch. Where it does
// not, nothing or all of it may be stored: why is for each message to be told. The
// first message asks whether the stream takes batches, the last commits; what is
// between has no answer of its own.
func (p *Parker) parkAtomic(ctx context.Context, batch []placed) bool {
	id := rand.Text()
	nc, last := p.js.Conn(), len(batch)-1
	for i, one := range batch {
		h := one.msg.Header
		h[jetstream.MsgIDHeader] = []string{one.id}
		h[jetstream.ExpectedStreamHeader] = []string{Parked}
		h[headerBatchID] = []string{id}
		h[headerBatchSequence] = []string{strconv.Itoa(i + 1)}
		if int64(one.msg.Size()) > nc.MaxPayload() {
			return false // before a batch is open
		}
	}
	batch[last].msg.Header[headerBatchCommit] = []string{"1"}
	if answer, err := ask(ctx, nc, batch[0].msg); err != nil || len(answer) > 0 {
		return false // refused, or stored by a server before 2.12, which knows no batches
	}
	for _, one := range batch[1:last] {
		if err := nc.PublishMsg(one.msg); err != nil {
			return false
		}
	}
	answer, err := ask(ctx, nc, batch[last].msg)
	return err == nil && committed(answer, id, len(batch))
}

// ask waits no longer than for a message that is parked alone.
func ask(ctx context.Context, nc *nats.Conn, msg *nats.Msg) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, parkTry)
	defer cancel()
	answer, err := nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return nil, fmt.Errorf("send message of batch: %w", err)
	}
	return answer.Data, nil
}

// committed tells whether the answer is LOGIN_PARKED's that it has stored all
// messages of the batch.
func committed(answer []byte, id string, count int) bool {
	var ack struct {
		Stream string          `json:"stream"`
		Batch  string          `json:"batch"`
		Count  int             `json:"count"`
		Error  json.RawMessage `json:"error"`
	}
	return json.Unmarshal(answer, &ack) == nil && ack.Error == nil &&
		ack.Stream == Parked && ack.Batch == id && ack.Count == count
}

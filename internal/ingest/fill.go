package ingest

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
)

// filler fetches messages of one source, decodes each at once, and fills
// batches with them. Only its own goroutine uses it.
type filler struct {
	loop     *Loop
	pull     *puller
	decoder  event.Decoder
	stored   event.Stored    // the event in hand; here, it costs no allocation
	replaced <-chan struct{} // it is closed when the source is to be opened again
	// batch is being filled; nil between two of them. due ends its wait for more,
	// over tells that it has ended.
	batch *batch
	due   *time.Timer
	over  bool
}

// run fills batches until ctx ends, or until there is an error. What has
// arrived by then is handed over, unless failed has ended too: then nobody
// takes it.
func (f *filler) run(ctx, failed context.Context) error {
	f.due = time.NewTimer(time.Hour)
	defer f.due.Stop()
	err := f.fetch(ctx, failed)
	if err == nil {
		err = f.drain(failed)
	}
	switch {
	case f.batch == nil:
	case f.batch.rows() > 0:
		if f.handOver(failed); f.batch != nil {
			f.loop.inHand.leave(f.batch)
		}
	default:
		f.loop.giveBack(f.batch)
		f.batch = nil
	}
	return err
}

// next takes an empty batch; it reports false when ctx ends first.
func (f *filler) next(ctx context.Context) bool {
	f.batch, f.over = f.loop.freeBatch(ctx), false
	return f.batch != nil
}

// fetch asks for messages and takes them until ctx ends.
func (f *filler) fetch(ctx, failed context.Context) error {
	watch := time.NewTicker(answerGrace / 2)
	defer watch.Stop()
	for ctx.Err() == nil {
		f.loop.config.watch.beat()
		if f.batch == nil && !f.next(ctx) {
			return nil
		}
		room := f.room()
		if room.messages < 1 || room.bytes < minPullBytes {
			f.handOver(failed)
			continue
		}
		if !f.pull.asked() {
			if err := f.pull.ask(room); err != nil {
				return err
			}
		}
		// Where the inserts are busy, the batch goes on growing: the busier the
		// store, the larger its blocks.
		var taker chan<- *batch
		if f.over && f.batch.rows() > 0 {
			taker = f.loop.full
		}
		select {
		case msg := <-f.pull.arrived:
			if err := f.take(failed, msg); err != nil {
				return err
			}
		case taker <- f.batch:
			f.batch = nil
		case <-f.due.C:
			f.over, f.batch.ready = true, time.Now()
		case now := <-watch.C:
			if err := f.pull.overdue(now); err != nil {
				return err
			}
		case <-f.replaced:
			return errGone
		case <-ctx.Done():
		case <-failed.Done():
			return nil
		}
	}
	return nil
}

// room is what the batch in hand still takes.
func (f *filler) room() limits {
	c := f.loop.config
	return limits{c.MaxMessages - f.batch.rows(), c.MaxBytes - f.batch.bytes, idleWait}
}

// drain takes what the last request brings: left behind, it would be delivered
// again only after the server's AckWait.
func (f *filler) drain(failed context.Context) error {
	for f.pull.asked() {
		if f.batch == nil && !f.next(failed) {
			return nil
		}
		wait := time.NewTimer(time.Until(f.pull.deadline))
		select {
		case msg := <-f.pull.arrived:
			wait.Stop()
			if err := f.take(failed, msg); err != nil {
				return err
			}
		case <-wait.C:
			return nil
		case <-failed.Done():
			wait.Stop()
			return nil
		}
	}
	return nil
}

// take takes one message into the batch, or has it parked.
func (f *filler) take(failed context.Context, msg *nats.Msg) error {
	d, ok, err := f.pull.take(msg)
	if err == nil {
		f.loop.fetching.ok()
	}
	if !ok {
		return err
	}
	if d.delivered > 1 || d.seq <= f.loop.config.watch.orphans.again.Load() {
		f.loop.metrics.redeliveries.Inc()
	}
	if reason := f.decode(&d); reason != nil {
		f.park(failed, refused{&message{delivery: d, nc: f.pull.nc, source: f.loop.source.Load()}, reason})
	} else {
		f.add(&d)
	}
	return nil
}

// add adds the event in hand to the batch.
func (f *filler) add(d *delivery) {
	if f.batch.rows() == 0 {
		f.due.Reset(f.loop.config.MaxWait)
	}
	f.batch.add(&f.stored, d)
}

// decode checks one message alone and puts it in hand.
func (f *filler) decode(d *delivery) error {
	e, hash, err := f.decoder.Decode(d.msg.Data)
	if err != nil {
		return err
	}
	if err := e.CheckSubject(d.msg.Subject); err != nil {
		return err
	}
	if err := e.CheckReceived(d.received); err != nil {
		return err
	}
	f.stored = event.Stored{Event: e, Hash: hash, Raw: d.msg.Data, ReceivedAt: d.received, StreamSeq: d.seq}
	return nil
}

// park has a message parked. Where parking cannot follow, the batch in hand
// does not wait for it.
func (f *filler) park(failed context.Context, r refused) {
	f.loop.inHand.add(r.message)
	for {
		var taker chan<- *batch
		if f.batch != nil && f.batch.rows() > 0 && len(f.loop.invalid) == cap(f.loop.invalid) {
			taker = f.loop.full
		}
		if taker != nil {
			f.batch.ready = time.Now()
		}
		select {
		case f.loop.invalid <- r:
			return
		case taker <- f.batch:
			f.next(failed)
		case <-failed.Done():
			return
		}
	}
}

// handOver gives the batch to the inserts.
func (f *filler) handOver(failed context.Context) {
	f.batch.ready = time.Now()
	select {
	case f.loop.full <- f.batch:
		f.batch = nil
	case <-failed.Done():
	}
}

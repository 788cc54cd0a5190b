package publish

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// Bounds of what is read and sent together.
const (
	windowMessages = 500
	windowBytes    = 1 << 20
)

// delivery is the one goroutine that sends what waits, in order.
type delivery struct {
	b      *Outbox
	cursor *cursor
	pause  backoff
	// probe tells that the last try failed: the next one sends one event only.
	probe bool

	window []record // read and neither delivered nor set aside
	sizes  []int    // of each of them on disk
	read   uint64   // the sequence up to which everything was read, or is lost

	buf []byte   // what is not parsed yet of
	seg *segment // this segment,
	at  int64    // from here
	end int64    // to here, if the file is as long as it should be,
	// and last is the sequence with which that ends.
	last uint64
}

func (d *delivery) run(ctx context.Context, alarms []error) {
	for _, alarm := range alarms {
		d.b.options.Alarm(alarm)
	}
	connected, stop := d.b.connections()
	defer stop()
	for ctx.Err() == nil {
		progress, err := d.step(ctx)
		if ctx.Err() != nil {
			break
		}
		switch {
		case err != nil:
			d.failed(err)
			connected = d.wait(ctx, connected)
		case progress:
			d.pause.next, d.probe = 0, false
		default:
			select {
			case <-d.b.wakeDelivery:
			case <-ctx.Done():
			}
		}
	}
	if err := d.cursor.close(); err != nil {
		d.b.options.Alarm(err)
	}
}

// failed notes why a delivery failed. What is no answer of the stream is a
// matter of this machine's disk, and somebody must look at it.
func (d *delivery) failed(err error) {
	d.probe = true
	d.b.mu.Lock()
	d.b.stats.LastError = err
	d.b.mu.Unlock()
	var e *Error
	if !errors.As(err, &e) {
		d.b.options.Alarm(err)
	}
}

// wait pauses after a failure, until the connection comes back at most.
func (d *delivery) wait(ctx context.Context, connected <-chan nats.Status) <-chan nats.Status {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	paused := make(chan struct{})
	go func() {
		defer close(paused)
		d.pause.wait(ctx)
	}()
	select {
	case <-paused:
	case _, open := <-connected:
		cancel()
		<-paused
		if !open { // the connection is closed for good
			connected = nil
		}
		d.pause.next = 0
	}
	return connected
}

// step sends the next events. It tells whether there were any.
func (d *delivery) step(ctx context.Context) (bool, error) {
	for len(d.window) == 0 {
		d.settle(0, 0)
		if more, err := d.fill(); !more {
			return false, err
		}
	}
	return true, d.send(ctx)
}

// send delivers the window, in order: as one atomic batch where that serves,
// else event by event. It goes on until something fails.
func (d *delivery) send(ctx context.Context) error {
	if d.probe {
		return d.sendOne(ctx)
	}
	p := d.b.p
	if len(d.window) > 1 && !p.noBatches.Load() {
		batch := make([]Message, len(d.window))
		for i, r := range d.window {
			batch[i] = r.msg
		}
		bound, cancel := context.WithTimeoutCause(ctx, p.options.BatchTimeout, errOutOfTime)
		_, err := p.sendAtomic(bound, batch)
		cancel()
		if err == nil {
			d.handled(len(d.window), 0)
			return nil
		}
		if !err.alone {
			return err.Error
		}
	}
	for len(d.window) > 0 {
		if err := d.sendOne(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sendOne delivers the first event of the window, or sets it aside when the
// stream refuses it for good.
func (d *delivery) sendOne(ctx context.Context) error {
	r := d.window[0]
	_, err := d.b.p.once(ctx, r.msg)
	switch {
	case err == nil:
		d.handled(1, 0)
		return nil
	case !err.aboutMessage():
		return err
	}
	if err := d.setAside(r, err); err != nil {
		return err
	}
	d.b.options.Alarm(&Refusal{Message: r.msg, StoredAt: r.stored, Err: err})
	d.handled(1, 1)
	return nil
}

// handled notes that the first n of the window are delivered, or refused.
func (d *delivery) handled(n, refused int) {
	bytes := int64(0)
	for _, size := range d.sizes[:n] {
		bytes += int64(size)
	}
	seq := d.window[n-1].seq
	d.window, d.sizes = d.window[n:], d.sizes[n:]
	b := d.b
	b.mu.Lock()
	b.delivered = seq
	b.stats.Delivered += uint64(n - refused)
	b.stats.Refused += uint64(refused)
	b.stats.LastError = nil
	if len(d.window) > 0 {
		b.oldest = d.window[0].stored
	}
	b.mu.Unlock()
	if err := d.cursor.write(seq); err != nil {
		b.options.Alarm(err)
	}
	d.settle(n, bytes)
}

// settle takes delivered events out of those that wait, and removes the files
// that nobody needs any more.
func (d *delivery) settle(records int, bytes int64) {
	b := d.b
	b.mu.Lock()
	if len(d.window) == 0 {
		b.delivered = max(b.delivered, d.read) // past what is lost
	}
	b.forget(records, bytes)
	n := 0
	for n < len(b.segments) && b.segments[n].sealed && b.segments[n].last <= b.delivered {
		n++
	}
	gone := b.segments[:n:n]
	b.segments = b.segments[n:]
	b.mu.Unlock()
	for _, s := range gone {
		if err := s.remove(); err != nil {
			b.options.Alarm(fmt.Errorf("remove segment: %w", err))
		}
	}
}

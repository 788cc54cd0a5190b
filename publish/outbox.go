package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
)

// OutboxOptions says where an [Outbox] lies and how much it may hold. The zero
// value of each field but Dir means its default.
type OutboxOptions struct {
	// Dir is the directory, of this outbox alone and on a local disk. It is
	// created with mode 0700; one that others may write to is refused.
	Dir string
	// MaxBytes is the most that waits for delivery, and, apart from it, the most
	// that the file of refused events takes. The disk needs room for both and a
	// few segments. At least 1 MiB; default 256 MiB, about half a million events.
	MaxBytes int64
	// MaxRecords is the most events that wait for delivery. Default 1,000,000.
	MaxRecords int
	// SegmentBytes is the size at which a new file is begun: a file is removed
	// when all of it is delivered, and read as a whole. Default 4 MiB, or a
	// quarter of MaxBytes if that is less.
	SegmentBytes int64
	// DirectTimeout bounds the try to publish directly, while nothing waits in
	// the outbox; after it the event goes into the outbox. At most half of the
	// time that is left to the caller. Default: a quarter of Options.Timeout.
	DirectTimeout time.Duration
	// RetryPause is the first pause after a failed delivery; pauses double up to
	// ten times as long, with jitter. Default 250 ms. A connection that comes
	// back ends the pause.
	RetryPause time.Duration
	// Alarm is told what somebody must look at: a [*Refusal], a [*Damage], or
	// another error of the disk. It is called one at a time, delivery waits for
	// it, and it must not close the outbox.
	Alarm func(error)
}

// Outbox publishes events like its [Publisher], and keeps on disk what cannot
// be delivered now. The promises:
//
//   - An event for which Publish returned a [Receipt] is in the stream, or, with
//     InOutbox, on disk: synced, and delivered later, also after kill -9.
//   - Order: an event is sent after every event that this outbox was told of in
//     a call that had returned before. While anything waits, what is new goes
//     behind it.
//   - Once: the message id and the content hash are those of the first try, so
//     that the stream drops a repeat within its duplicate window, and the
//     product collapses it ever after.
//   - Publish returns within the publisher's Timeout or the context's deadline,
//     whichever is first, also when the connection or the disk hangs.
//   - What can never be delivered does not hold up the rest: it is moved to
//     the file refused.ndjson, counted and told to Alarm.
//
// All its methods are safe for concurrent use. What is published through the
// Publisher itself passes by the outbox and may overtake it.
type Outbox struct {
	p       *Publisher
	options OutboxOptions
	create  func(path string) (segmentFile, error)

	wakeWriter   chan struct{}
	wakeDelivery chan struct{}
	cancel       context.CancelFunc
	done         chan struct{} // closed when nothing runs any more and the lock is free

	mu        sync.Mutex // never held while a disk or the network is waited for
	queue     []*entry   // not written yet
	segments  []*segment // in order; the writer appends to the last
	next      uint64     // the sequence of the next record
	delivered uint64     // up to here everything is delivered, refused or lost
	oldest    time.Time  // when the oldest that waits was stored
	stats     OutboxStats
	drained   chan struct{} // closed while nothing waits
	closed    bool
}

// OpenOutbox opens the outbox in a directory, or creates it, and begins to
// deliver what it holds. Close must be called. It needs no connection: with
// nats.RetryOnFailedConnect the service starts while NATS is down.
//
// The error is [ErrOutboxLocked] while another process has the directory. What
// is damaged on disk is told to Alarm and does not keep an outbox from opening.
// Outboxes need Unix file locks; elsewhere the error is [errors.ErrUnsupported].
func (p *Publisher) OpenOutbox(options OutboxOptions) (*Outbox, error) {
	return p.openOutbox(options, createSegment)
}

func (p *Publisher) openOutbox(options OutboxOptions, create func(string) (segmentFile, error)) (*Outbox, error) {
	options = options.withDefaults(p.options)
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	if err := privateDir(options.Dir); err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(options.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open outbox: %w", err)
	}
	if err := lockFile(lock); err != nil {
		return nil, fmt.Errorf("open outbox: %w", errors.Join(err, lock.Close()))
	}
	b := &Outbox{
		p: p, options: options, create: create,
		wakeWriter: make(chan struct{}, 1), wakeDelivery: make(chan struct{}, 1),
		done: make(chan struct{}), drained: make(chan struct{}),
	}
	if err := b.start(lock); err != nil {
		return nil, fmt.Errorf("open outbox: %w", errors.Join(err, lock.Close()))
	}
	return b, nil
}

// start reads what is there and starts the two goroutines.
func (b *Outbox) start(lock *os.File) error {
	c, delivered, damage := openCursor(filepath.Join(b.options.Dir, cursorName))
	if c == nil {
		return damage
	}
	found, err := recoverSegments(b.options.Dir, delivered)
	if err != nil {
		return errors.Join(err, c.f.Close())
	}
	b.segments, b.next, b.delivered = found.segments, found.last+1, delivered
	b.stats.Records, b.stats.Bytes, b.oldest = found.records, found.bytes, found.oldest
	if found.records == 0 {
		close(b.drained)
	}
	var alarms []error
	if damage != nil {
		alarms = append(alarms, damage)
	}
	for _, d := range found.damage {
		b.stats.Damaged += d.Records
		alarms = append(alarms, d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	w := &outboxWriter{b: b}
	d := &delivery{b: b, cursor: c, read: delivered, pause: backoff{base: b.options.RetryPause}, probe: true}
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	running.Go(func() { d.run(ctx, alarms) })
	go func() {
		defer close(b.done)
		running.Wait()
		_ = lock.Close() // its content is of no interest, and the lock ends with it
	}()
	return nil
}

// Publish checks and encodes an event and publishes it, or stores it in the
// outbox, as [Receipt.InOutbox] tells. Errors are of type [*Error].
//
// It goes into the outbox when there is no connection, no stream, no answer in
// time, no room in the stream, or when other events wait there already. What
// waiting does not mend is told at once and not stored: ErrInvalid,
// ErrTooLarge, ErrDenied, ErrRefused; so is ErrCanceled.
func (b *Outbox) Publish(ctx context.Context, e event.Event) (Receipt, error) {
	m, err := NewMessage(e)
	if err != nil {
		return Receipt{}, err
	}
	return b.PublishMessage(ctx, m)
}

// PublishMessage is [Outbox.Publish] for an event that is encoded already.
func (b *Outbox) PublishMessage(ctx context.Context, m Message) (Receipt, error) {
	if err := m.check(); err != nil {
		return Receipt{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.p.options.Timeout, errOutOfTime)
	defer cancel()
	waiting, closed := b.state()
	if closed {
		return Receipt{}, &Error{Kind: ErrOutboxClosed}
	}
	if waiting {
		return b.store(ctx, m, nil)
	}
	answer, err := b.direct(ctx, m)
	switch {
	case err == nil:
		return Receipt{StreamSeq: answer.Sequence, Duplicate: answer.Duplicate, Tries: 1}, nil
	case err.aboutMessage() || ctx.Err() != nil:
		return Receipt{}, err.orContext(ctx)
	}
	return b.store(ctx, m, err)
}

// state tells whether events wait, behind which a new one must go.
func (b *Outbox) state() (waiting, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats.Records > 0, b.closed
}

// direct tries once to publish, in a part of the time, so that the rest is left
// to the disk.
func (b *Outbox) direct(ctx context.Context, m Message) (answer, *Error) {
	end, _ := ctx.Deadline()
	ctx, cancel := context.WithTimeout(ctx, min(b.options.DirectTimeout, time.Until(end)/2))
	defer cancel()
	return b.p.once(ctx, m)
}

// Flush waits until nothing is left to deliver, or ctx ends.
func (b *Outbox) Flush(ctx context.Context) error {
	b.mu.Lock()
	drained := b.drained
	b.mu.Unlock()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flush outbox: %w", ctx.Err())
	}
}

// closeGrace bounds how long Close waits for the disk after ctx has ended.
const closeGrace = time.Second

// Close takes no more events, waits until all are delivered or ctx ends, and
// stops. The error tells how many events stay on disk; the next OpenOutbox
// delivers them. Close may be called again.
func (b *Outbox) Close(ctx context.Context) error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	err := b.Flush(ctx)
	b.cancel()
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-b.done:
	case <-grace.C:
		return fmt.Errorf("close outbox: %w: the disk or the connection hangs", ErrOutboxDisk)
	}
	if left := b.Stats().Records; left > 0 {
		return fmt.Errorf("close outbox: %d events stay on disk until the next start: %w", left, err)
	}
	return nil
}

// connections tells when the connection is there again.
func (b *Outbox) connections() (changes <-chan nats.Status, stop func()) {
	changed := b.p.nc.StatusChanged(nats.CONNECTED)
	return changed, func() { b.p.nc.RemoveStatusListener(changed) }
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

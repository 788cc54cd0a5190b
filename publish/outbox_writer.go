package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// entry is an event on its way to the disk.
type entry struct {
	data   []byte // the record, without sequence and checksum
	stored time.Time
	done   chan error // has room for the one outcome
}

// maxCommit is the most bytes that are written and synced together.
const maxCommit = 1 << 20

// store puts the message into the outbox and waits until it is synced. direct
// is why it could not be published directly, or nil where it was not tried.
func (b *Outbox) store(ctx context.Context, m Message, direct *Error) (Receipt, error) {
	fail := func(kind, cause error, unknown bool) error {
		if direct != nil {
			unknown = unknown || direct.Unknown
			cause = errors.Join(cause, direct)
		}
		return &Error{Kind: kind, Unknown: unknown, cause: cause}
	}
	if ctx.Err() != nil {
		err := &Error{Kind: ErrTimeout, Unknown: direct != nil && direct.Unknown, cause: ctx.Err()}
		return Receipt{}, err.orContext(ctx)
	}
	stored := time.Now()
	data, err := encodeRecord(m, stored)
	if err != nil {
		return Receipt{}, err
	}
	e := &entry{data: data, stored: stored, done: make(chan error, 1)}
	if kind := b.enqueue(e); kind != nil {
		return Receipt{}, fail(kind, nil, false)
	}
	wake(b.wakeWriter)
	select {
	case err = <-e.done:
	case <-ctx.Done():
		if b.withdraw(e) {
			err := &Error{Kind: ErrTimeout, Unknown: direct != nil && direct.Unknown, cause: errSlowDisk, retry: true}
			return Receipt{}, err.orContext(ctx)
		}
		err = errSlowDisk
		select {
		case err = <-e.done:
		default:
		}
	}
	switch {
	case errors.Is(err, errSlowDisk):
		err := &Error{Kind: ErrTimeout, Unknown: true, cause: errSlowDisk, retry: true}
		return Receipt{}, err.orContext(ctx)
	case err != nil:
		return Receipt{}, fail(ErrOutboxDisk, err, true)
	}
	tries := 0
	if direct != nil {
		tries = 1
	}
	return Receipt{InOutbox: true, Tries: tries}, nil
}

var errSlowDisk = errors.New("the outbox's disk did not answer in time")

// enqueue hands an entry to the writer; it gives the kind of error that keeps
// it from doing so.
func (b *Outbox) enqueue(e *entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return ErrOutboxClosed
	}
	if b.stats.Records >= b.options.MaxRecords || b.stats.Bytes+int64(len(e.data)) > b.options.MaxBytes {
		b.stats.Full++
		return ErrOutboxFull
	}
	if b.stats.Records == 0 {
		b.drained = make(chan struct{})
		b.oldest = e.stored
	}
	b.stats.Records++
	b.stats.Bytes += int64(len(e.data))
	b.queue = append(b.queue, e)
	return nil
}

// withdraw takes back an entry that the writer has not taken yet.
func (b *Outbox) withdraw(e *entry) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.queue, e)
	if i < 0 {
		return false
	}
	b.queue = slices.Delete(b.queue, i, i+1)
	b.forget(1, int64(len(e.data)))
	return true
}

// forget takes events out of those that wait. b.mu is held.
func (b *Outbox) forget(records int, bytes int64) {
	if records == 0 {
		return
	}
	b.stats.Records -= records
	b.stats.Bytes -= bytes
	if b.stats.Records == 0 {
		close(b.drained)
		wake(b.wakeWriter) // to remove the last file
	}
}

// outboxWriter is the one goroutine that appends. Whoever comes while it syncs
// shares its next sync.
type outboxWriter struct {
	b    *Outbox
	seg  *segment // where it appends, or nil
	file segmentFile
	// broken tells that an append failed: what lies behind seg.size must be cut
	// off before anything else is written.
	broken bool
}

func (w *outboxWriter) run(ctx context.Context) {
	for {
		for w.step() {
		}
		select {
		case <-w.b.wakeWriter:
		case <-ctx.Done():
			for w.step() {
			}
			if w.seg != nil {
				_ = w.file.Close() // everything that counts is synced
			}
			return
		}
	}
}

// step writes what is queued, up to maxCommit; without any, it removes the file
// of which everything is delivered. It tells whether there may be more to do.
func (w *outboxWriter) step() bool {
	batch, first := w.take()
	if len(batch) == 0 {
		w.retire()
		return false
	}
	err := w.commit(batch, first)
	w.settle(batch, err)
	return true
}

func (w *outboxWriter) take() ([]*entry, uint64) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	n, size := 0, 0
	for n < len(w.b.queue) && size < maxCommit {
		size += len(w.b.queue[n].data)
		n++
	}
	batch := slices.Clone(w.b.queue[:n])
	w.b.queue = slices.Delete(w.b.queue, 0, n)
	return batch, w.b.next
}

// commit appends a batch and syncs it.
func (w *outboxWriter) commit(batch []*entry, first uint64) error {
	if err := w.repair(); err != nil {
		return err
	}
	if w.seg != nil && w.seg.size >= w.b.options.SegmentBytes {
		w.finish()
	}
	if w.seg == nil {
		if err := w.begin(first); err != nil {
			return err
		}
	}
	var data []byte
	for i, e := range batch {
		seal(e.data, first+uint64(i))
		data = append(data, e.data...)
	}
	_, err := w.file.WriteAt(data, w.seg.size)
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		w.broken = true
		return errors.Join(fmt.Errorf("append to outbox: %w", err), w.repair())
	}
	return nil
}

// settle tells everybody how it went.
func (w *outboxWriter) settle(batch []*entry, err error) {
	b := w.b
	size := int64(0)
	for _, e := range batch {
		size += int64(len(e.data))
	}
	b.mu.Lock()
	if err != nil {
		b.stats.DiskErrors++
		b.forget(len(batch), size)
	} else {
		b.next += uint64(len(batch))
		w.seg.last = b.next - 1
		w.seg.size += size
		b.stats.Stored += uint64(len(batch))
	}
	b.mu.Unlock()
	for _, e := range batch {
		e.done <- err
	}
	wake(b.wakeDelivery)
}

// begin makes a new segment.
func (w *outboxWriter) begin(first uint64) error {
	path := segmentPath(w.b.options.Dir, first)
	file, err := w.b.create(path)
	if err != nil {
		return fmt.Errorf("create segment: %w", err)
	}
	w.file = file
	w.seg = &segment{path: path, first: first, last: first - 1, known: map[int64]bool{}}
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.b.segments = append(w.b.segments, w.seg)
	return nil
}

// finish seals the segment; delivery removes it in its time.
func (w *outboxWriter) finish() {
	_ = w.file.Close() // everything that counts is synced
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	w.seg.sealed = true
	w.seg, w.file = nil, nil
}

// repair cuts off what a failed append left, so that no file but the last can
// ever have a torn end. The file is not used again: after a failed sync nobody
// knows what of its end is on disk.
func (w *outboxWriter) repair() error {
	if !w.broken {
		return nil
	}
	if err := w.file.Truncate(w.seg.size); err != nil {
		return fmt.Errorf("cut off failed append: %w", err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("cut off failed append: %w", err)
	}
	w.broken = false
	if w.seg.size > 0 {
		w.finish()
		return nil
	}
	w.drop()
	return nil
}

// retire removes the segment when nothing waits, so that no event stays on this
// disk for longer than it must.
func (w *outboxWriter) retire() {
	w.b.mu.Lock()
	idle := len(w.b.queue) == 0 && w.b.stats.Records == 0
	damaged := w.seg != nil && w.seg.damaged
	w.b.mu.Unlock()
	if !idle || w.repair() != nil || w.seg == nil {
		return
	}
	if damaged {
		w.finish()
		wake(w.b.wakeDelivery) // to keep it under its other name
		return
	}
	w.drop()
}

// drop removes the segment that the writer appends to.
func (w *outboxWriter) drop() {
	_ = w.file.Close()
	w.b.mu.Lock()
	w.b.segments = slices.DeleteFunc(w.b.segments, func(s *segment) bool { return s == w.seg })
	w.b.mu.Unlock()
	_ = os.Remove(w.seg.path) // what stays is removed at the next start
	w.seg, w.file = nil, nil
}

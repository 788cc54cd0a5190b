package publish

import (
	"fmt"
	"time"
)

// OutboxStats tells how an [Outbox] is doing. Records, Bytes and Oldest are of
// the moment, and count what an earlier process left too; the others count since
// the outbox was opened.
type OutboxStats struct {
	// Records is how many events wait for delivery.
	Records int
	// Bytes is their size on disk.
	Bytes int64
	// Oldest is when the oldest of them was stored; the zero time if none waits.
	Oldest time.Time
	// Stored counts the events that went into the outbox.
	Stored uint64
	// Delivered counts those that the stream has taken.
	Delivered uint64
	// Refused counts those that were moved to the file refused.ndjson.
	Refused uint64
	// Damaged counts those that could not be read from the disk any more.
	Damaged uint64
	// Full counts the events that were turned away with ErrOutboxFull.
	Full uint64
	// DiskErrors counts the failures to write the outbox.
	DiskErrors uint64
	// LastError is why the last delivery failed; nil after a success.
	LastError error
}

// Stats tells the state of the outbox. It costs nothing and never waits.
func (b *Outbox) Stats() OutboxStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	if s.Records > 0 {
		s.Oldest = b.oldest
	}
	return s
}

// Refusal tells that an event from the outbox was refused for good and moved to
// the file refused.ndjson, one JSON object a line. The events of that file can
// be published again, with the member event of each line, when the reason is
// mended.
type Refusal struct {
	// Message is the event as it was to be published.
	Message Message
	// StoredAt is when it went into the outbox.
	StoredAt time.Time
	// Err is the reason, an [*Error].
	Err error
}

// Error tells the reason. It holds no personal data.
func (r *Refusal) Error() string {
	return fmt.Sprintf("deliver from outbox: an event was refused for good and set aside: %v", r.Err)
}

// Unwrap gives the reason to errors.Is and errors.As.
func (r *Refusal) Unwrap() error { return r.Err }

// Damage tells that a part of the outbox's files could not be read.
type Damage struct {
	// File is the file. It is kept under that name once the rest of it is delivered.
	File string
	// Offset and Bytes say which part.
	Offset, Bytes int64
	// Records is how many events are lost with it.
	Records uint64
	// Torn tells that the part was the end of the last file, and is cut off:
	// what an end in the middle of a write leaves. Unless the disk is at fault
	// it held nothing that anybody was told is stored. Records is 0.
	Torn bool
}

// Error tells the damage.
func (d *Damage) Error() string {
	if d.Torn {
		return fmt.Sprintf("read outbox: %s had a torn end of %d bytes at %d, which is cut off", d.File, d.Bytes, d.Offset)
	}
	return fmt.Sprintf("read outbox: %s is damaged, %d bytes at %d: %d events are lost", d.File, d.Bytes, d.Offset, d.Records)
}

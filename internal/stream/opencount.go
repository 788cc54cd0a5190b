package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// OpenCounts are the parked messages that nobody has dealt with.
type OpenCounts struct {
	// Total is all of them, ByReason those of each reason code that has any.
	// A message that was parked twice counts twice until it is dealt with.
	Total    uint64
	ByReason map[string]uint64
	// Parked is all messages of LOGIN_PARKED, Bytes what they take of the disk,
	// whatever was done with them.
	Parked, Bytes uint64
}

// OpenCounter counts the open messages of LOGIN_PARKED from the states of the
// two streams alone: no message is read, and as long as no operator does
// anything the server is asked two small questions each time. It needs the right
// to ask for the states of LOGIN_PARKED and LOGIN_PARKED_NOTES, and no other. It
// is safe for concurrent use.
type OpenCounter struct {
	js jetstream.JetStream

	mu            sync.Mutex // guards what follows, and lets one ask at a time
	parked, notes jetstream.Stream
	created       time.Time // of the notes that settled is made of
	last          uint64    // their last sequence
	settled       map[parkedKey]string
}

// NewOpenCounter prepares counting. It sends nothing.
func NewOpenCounter(js jetstream.JetStream) *OpenCounter { return &OpenCounter{js: js} }

// Count counts. The error wraps jetstream.ErrStreamNotFound where LOGIN_PARKED
// is missing; without LOGIN_PARKED_NOTES everything is open.
func (c *OpenCounter) Count(ctx context.Context) (OpenCounts, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counts, err := c.count(ctx)
	if err != nil {
		return OpenCounts{}, fmt.Errorf("count parked messages: %w", err)
	}
	return counts, nil
}

func (c *OpenCounter) count(ctx context.Context) (OpenCounts, error) {
	// The messages first: what is settled after that is not among them.
	info, err := stateOf(ctx, c.js, Parked, &c.parked, jetstream.WithSubjectFilter(parkedSubjects), jetstream.WithDeletedDetails(true))
	if err != nil {
		return OpenCounts{}, err
	}
	if err := c.refresh(ctx); err != nil {
		return OpenCounts{}, err
	}
	counts := OpenCounts{ByReason: map[string]uint64{}, Parked: info.State.Msgs, Bytes: info.State.Bytes}
	for subject, n := range info.State.Subjects {
		counts.ByReason[labelOf(subject)] += n
	}
	erased := map[uint64]bool{}
	for _, seq := range info.State.Deleted {
		erased[seq] = true
	}
	for key, label := range c.settled {
		// Those that retention took, those that are erased, and those of an
		// earlier stream are not among the messages.
		there := key.seq >= info.State.FirstSeq && key.seq <= info.State.LastSeq && !erased[key.seq] && key.at >= info.Created.UnixNano()
		if there && counts.ByReason[label] > 0 {
			counts.ByReason[label]--
		}
	}
	for reason, n := range counts.ByReason {
		counts.Total += n
		if n == 0 {
			delete(counts.ByReason, reason)
		}
	}
	return counts, nil
}

// refresh reads which messages are settled, if there are notes that it has not
// seen.
func (c *OpenCounter) refresh(ctx context.Context) error {
	info, err := stateOf(ctx, c.js, ParkedNotes, &c.notes)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		c.settled, c.created, c.last = nil, time.Time{}, 0
		return nil
	}
	if err != nil {
		return err
	}
	if c.created.Equal(info.Created) && c.last == info.State.LastSeq {
		return nil
	}
	settled := map[parkedKey]string{}
	for _, step := range []Step{StepReplayed, StepDiscarded} {
		of, err := stateOf(ctx, c.js, ParkedNotes, &c.notes, jetstream.WithSubjectFilter(notesPrefix+"*.*.*."+string(step)))
		if err != nil {
			return err
		}
		for subject := range of.State.Subjects {
			if n, ok := parseNoteSubject(subject); ok {
				settled[parkedKey{n.Parked, n.ParkedAt.UnixNano()}] = n.label
			}
		}
	}
	c.settled, c.created, c.last = settled, info.Created, info.State.LastSeq
	return nil
}

// stateOf asks for a stream's state. handle is nil before the first time.
func stateOf(ctx context.Context, js jetstream.JetStream, name string, handle *jetstream.Stream, options ...jetstream.StreamInfoOpt) (*jetstream.StreamInfo, error) {
	if *handle == nil {
		s, err := js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("open stream %s: %w", name, err)
		}
		*handle = s
	}
	info, err := (*handle).Info(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("ask for stream %s: %w", name, err)
	}
	return info, nil
}

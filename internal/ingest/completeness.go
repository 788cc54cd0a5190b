package ingest

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// completeness concludes from what was told and what is seen how far the stream
// is stored.
//
// The consumer's acknowledgement floor is the sequence up to which every message
// is acknowledged, by whichever worker, and a message is acknowledged only when
// it is stored or parked. But the floor also passes messages that the stream has
// lost; it is wherever an operator puts it; and it tells what the store once had,
// not what it has after it was put back to an older copy. So the floor is
// believed only as the continuation of what is known already:
//
//   - What the floor passes, and the stream has not, is a gap, and is named.
//   - The floor counts from a moment on at which it was not beyond what was told.
//     From then on it is followed: its consumer stays the same one, nothing goes
//     backwards, and no more is passed than was delivered.
//   - Where it is beyond (after a crash: what was acknowledged and not yet told),
//     another worker may vouch for it by telling as much. Else the consumer is set
//     back to what is known, and delivers the rest again, which changes no answer.
//
// It belongs to the watermark's goroutine.
type completeness struct {
	belief belief
	// shrunk is when the stream was first seen shorter than it had been.
	shrunk time.Time
	// lastGap is the last gap that was told, which may go on.
	lastGap Gap
	// confirm is how long a stream must be shorter than it was until that is
	// believed, patience how long other workers have to vouch for the floor.
	confirm, patience time.Duration
}

// belief is a consumer whose floor is followed.
type belief struct {
	generation uint32
	consumer   time.Time // when it was created; zero for no belief
	delivered  jetstream.SequenceInfo
	floor      uint64
	// needs is what must be known before the floor counts.
	needs uint64
	// known is what was known at the last sight. It never shrinks, unless the store
	// has lost what it had.
	known uint64
	// since is when the waiting for that began.
	since time.Time
}

// verdict is what follows from a sight.
type verdict struct {
	mark Watermark
	gaps []Gap
	// backTo is the sequence to which the consumer is to be set; 0: it stays.
	backTo uint64
}

// judge gives the best true watermark, the gaps below it, and whether the
// consumer must be set back. An error means that nothing can be said.
func (c *completeness) judge(k Known, s *sight, now time.Time) (verdict, error) {
	if err := s.check(); err != nil {
		return verdict{}, err
	}
	known, v, err := c.history(k, s, now)
	if err != nil {
		return verdict{}, err
	}
	switch {
	case c.proves(known.Seq, known.Generation, s, now):
		to := s.reaches()
		for _, g := range s.lost(known.Seq, to) {
			g.Stream, g.StreamCreated, g.Generation = known.Stream, known.StreamCreated, known.Generation
			v.gaps = append(v.gaps, c.extend(g))
		}
		v.mark = known
		v.mark.Seq = max(known.Seq, to)
		v.mark.Time = later(known.Time, timeAt(s, v.mark.Seq))
	default:
		v.mark = known
		if len(k.Others) == 0 || now.Sub(c.belief.since) >= c.patience {
			v.backTo = known.Seq + 1
		}
	}
	// Vacuously: before it was created the stream received nothing.
	v.mark.Time = later(v.mark.Time, known.StreamCreated)
	return v, nil
}

// history tells which generation the sight is of, and what is known of that.
func (c *completeness) history(k Known, s *sight, now time.Time) (Watermark, verdict, error) {
	known, v := k.Watermark, verdict{}
	fresh := Watermark{Stream: s.after.Config.Name, StreamCreated: s.created(), Generation: known.Generation + 1}
	tail := Gap{
		Stream: known.Stream, StreamCreated: known.StreamCreated, Generation: known.Generation,
		From: known.Seq + 1, Reason: GapReplaced,
	}
	switch {
	case !k.Found:
		return fresh, v, nil
	case !known.StreamCreated.Equal(s.created()):
		return fresh, verdict{gaps: []Gap{tail}}, nil
	case !s.anchorTime.IsZero() && !s.anchorTime.Equal(k.Anchor.Time):
		// Another message is where the anchor was.
	case s.last() < max(k.Anchor.Seq, known.Seq):
		if c.shrunk.IsZero() {
			c.shrunk = now
		}
		if now.Sub(c.shrunk) < c.confirm {
			return known, v, fmt.Errorf("the stream ends at %d and had %d before: waiting whether it has lost messages", s.last(), max(k.Anchor.Seq, known.Seq))
		}
	default:
		c.shrunk = time.Time{}
		return known, v, nil
	}
	c.shrunk = time.Time{}
	tail.Reason = GapRewound
	// What the older copy does not have any more was ingested before.
	fresh.Seq = min(known.Seq, s.beforeFirst())
	return fresh, verdict{gaps: []Gap{tail}}, nil
}

// proves tells whether the floor of the sight counts.
func (c *completeness) proves(known uint64, generation uint32, s *sight, now time.Time) bool {
	b := &c.belief
	if b.generation != generation || !b.consumer.Equal(s.consumer.Created) || !b.follows(s) || known < b.known {
		since := b.since
		if since.IsZero() {
			since = now
		}
		*b = belief{generation: generation, consumer: s.consumer.Created, needs: s.floor(), since: since}
	}
	b.delivered, b.floor, b.known = s.consumer.Delivered, s.floor(), known
	if known < b.needs {
		return false
	}
	b.since = time.Time{}
	return true
}

// follows tells whether nobody has moved the consumer since the last sight. Every
// message that it has passed and that the stream still has must have been
// delivered, which it counts; setting it to another place leaves deliveries out,
// or begins the count anew.
func (b *belief) follows(s *sight) bool {
	delivered := s.consumer.Delivered
	if s.floor() < b.floor || delivered.Consumer < b.delivered.Consumer || delivered.Stream < b.delivered.Stream {
		return false
	}
	passed := delivered.Stream - b.delivered.Stream - s.lostWithin(b.delivered.Stream, delivered.Stream)
	return passed <= delivered.Consumer-b.delivered.Consumer
}

// setBack tells that the consumer was set back, and how it is now.
func (c *completeness) setBack(info *jetstream.ConsumerInfo, generation uint32, now time.Time) {
	c.belief = belief{
		generation: generation, consumer: info.Created, delivered: info.Delivered, floor: info.AckFloor.Stream,
		needs: info.AckFloor.Stream, since: now,
	}
}

// told tells that a watermark was told: from now on it is known.
func (c *completeness) told(mark Watermark) {
	if b := &c.belief; b.generation == mark.Generation {
		b.known = max(b.known, mark.Seq)
	}
}

// extend makes a gap that goes on where the last one ended one with it.
func (c *completeness) extend(g Gap) Gap {
	last := c.lastGap
	if last.Reason == g.Reason && last.Generation == g.Generation && last.StreamCreated.Equal(g.StreamCreated) && last.To+1 == g.From {
		g.From, g.Messages = last.From, last.Messages+g.Messages
	}
	c.lastGap = g
	return g
}

// timeAt is the moment up to which everything that the stream received has a
// sequence no greater than seq; zero where it is not known.
func timeAt(s *sight, seq uint64) time.Time {
	if seq >= s.last() {
		if at, ok := certain(s.before); ok {
			return at
		}
		return s.after.State.LastTime
	}
	if seq == s.floor() {
		return s.floorTime
	}
	return time.Time{}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// sight is one look at the stream and its consumer. The order of its questions
// is what makes conclusions from it safe:
//
//  1. before: whatever the stream has acknowledged to publishers by then has a
//     sequence no greater than the last one of after.
//  2. the consumer, whose floor is about the incarnation that both answers name.
//  3. after: a message that the stream lost, so that the consumer's floor could
//     pass it, is missing here.
type sight struct {
	before, after *jetstream.StreamInfo
	consumer      *jetstream.ConsumerInfo
	// deleted are the sequences between the first and the last of after that have
	// no message, in order.
	deleted []uint64
	// floorTime is the time of the message at the floor, anchorTime that of the one
	// at the known anchor; zero where it is not there or was not asked for.
	floorTime, anchorTime time.Time
}

func (s *sight) created() time.Time { return s.after.Created.UTC().Truncate(time.Microsecond) }
func (s *sight) floor() uint64      { return s.consumer.AckFloor.Stream }
func (s *sight) last() uint64       { return s.after.State.LastSeq }

// beforeFirst is the sequence up to which the stream has nothing any more.
func (s *sight) beforeFirst() uint64 {
	state := s.after.State
	if state.Msgs == 0 {
		return state.LastSeq
	}
	return max(state.FirstSeq, 1) - 1
}

// reaches is the sequence up to which every message that the stream still has is
// acknowledged.
func (s *sight) reaches() uint64 {
	to := max(s.floor(), s.beforeFirst())
	for _, seq := range within(s.deleted, to, s.last()) {
		if seq != to+1 {
			break
		}
		to = seq
	}
	return to
}

// errChanged: the stream was deleted and created again between two questions.
var errChanged = errors.New("the stream changed meanwhile")

// check finds what makes the sight worthless.
func (s *sight) check() error {
	if !s.before.Created.Equal(s.after.Created) || s.consumer.Created.Before(s.before.Created) {
		return errChanged
	}
	if s.floor() > s.last() {
		return fmt.Errorf("the consumer is at %d, ahead of the stream's last sequence %d: the stream lost messages", s.floor(), s.last())
	}
	c := s.consumer.Config
	for _, setting := range []struct {
		name  string
		right bool
	}{
		{"ack policy explicit", c.AckPolicy == jetstream.AckExplicitPolicy},
		{"deliver policy all", c.DeliverPolicy == jetstream.DeliverAllPolicy},
		{"no filter", c.FilterSubject == "" && len(c.FilterSubjects) == 0},
		{"no limit of deliveries", c.MaxDeliver <= 0},
	} {
		if !setting.right {
			return fmt.Errorf("consumer %s must have %s, or it passes messages that nobody has stored: remove it, and it is made again as it must be", s.consumer.Name, setting.name)
		}
	}
	return nil
}

// eyes look at the stream, and remember what need not be asked again. They
// belong to the watermark's goroutine.
type eyes struct {
	deleted []uint64
	// of is what deleted was read from.
	of struct {
		created     time.Time
		first, last uint64
		missing     uint64
	}
}

// look asks all that there is to know. anchor is the last message that the stream
// is known to have had.
func (e *eyes) look(ctx context.Context, src *source, anchor Anchor) (*sight, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	s := &sight{}
	var err error
	if s.before, err = src.stream.Info(ctx); err != nil {
		return nil, fmt.Errorf("ask for stream: %w", err)
	}
	if s.consumer, err = src.consumer.Info(ctx); err != nil {
		return nil, fmt.Errorf("ask for consumer: %w", err)
	}
	if s.floor() > 0 && s.floor() < s.before.State.LastSeq {
		s.floorTime = timeOf(ctx, src.stream, s.floor())
	}
	switch state := s.before.State; {
	case anchor.Seq == 0, anchor.Seq > state.LastSeq, anchor.Seq < state.FirstSeq:
	case anchor.Seq == state.LastSeq && state.Msgs > 0:
		s.anchorTime = state.LastTime
	default:
		s.anchorTime = timeOf(ctx, src.stream, anchor.Seq)
	}
	if s.after, err = src.stream.Info(ctx); err != nil {
		return nil, fmt.Errorf("ask for stream: %w", err)
	}
	return s, e.findDeleted(ctx, src.stream, s)
}

// timeOf is the time of a message; zero where the stream does not give it.
func timeOf(ctx context.Context, stream jetstream.Stream, seq uint64) time.Time {
	msg, err := stream.GetMsg(ctx, seq)
	if err != nil {
		return time.Time{}
	}
	return msg.Time
}

// missing is how many sequences from the first to the last have no message.
func missing(state jetstream.StreamState) uint64 {
	if state.Msgs == 0 {
		return 0 // nothing is between them
	}
	return state.LastSeq - state.FirstSeq + 1 - state.Msgs
}

// findDeleted lists the holes in the stream, where there are any. Holes are never
// filled again: as long as the first sequence is the same and there are as many,
// they are the same.
func (e *eyes) findDeleted(ctx context.Context, stream jetstream.Stream, s *sight) error {
	n := missing(s.after.State)
	if n == 0 {
		return nil
	}
	if !e.of.created.Equal(s.after.Created) || e.of.first != s.after.State.FirstSeq || e.of.missing != n || e.of.last > s.last() {
		info, err := stream.Info(ctx, jetstream.WithDeletedDetails(true))
		if err != nil {
			return fmt.Errorf("ask for deleted messages: %w", err)
		}
		if !info.Created.Equal(s.after.Created) {
			return errChanged
		}
		s.after, n = info, missing(info.State)
		if uint64(len(info.State.Deleted)) < n {
			return fmt.Errorf("the server names %d of %d deleted messages", len(info.State.Deleted), n)
		}
		e.deleted = slices.Sorted(slices.Values(info.State.Deleted))
		e.of.created, e.of.first, e.of.last, e.of.missing = info.Created, info.State.FirstSeq, info.State.LastSeq, n
		info.State.Deleted = nil // it may be long, and is kept
	}
	s.deleted = e.deleted
	return nil
}

// within gives those of the deleted sequences that are above from, up to to.
func within(deleted []uint64, from, to uint64) []uint64 {
	first, _ := slices.BinarySearch(deleted, from+1)
	beyond, _ := slices.BinarySearch(deleted, to+1)
	return deleted[first:max(first, beyond)]
}

// lostWithin counts the sequences above from, up to to, that have no message.
func (s *sight) lostWithin(from, to uint64) uint64 {
	lost := uint64(0)
	if gone := min(s.beforeFirst(), to); gone > from {
		lost, from = gone-from, gone
	}
	if to <= from {
		return lost
	}
	return lost + uint64(len(within(s.deleted, from, to)))
}

// maxRanges bounds the gaps of one sight. Beyond it they are told as one, with
// the number of messages that are lost in it.
const maxRanges = 100

// lost names what is missing above from, up to to.
func (s *sight) lost(from, to uint64) []Gap {
	var gaps []Gap
	if gone := min(s.beforeFirst(), to); gone > from {
		gaps = append(gaps, Gap{From: from + 1, To: gone, Messages: gone - from, Reason: GapExpired})
		from = gone
	}
	if to <= from {
		return gaps
	}
	var ranges []Gap
	for _, seq := range within(s.deleted, from, to) {
		if n := len(ranges); n > 0 && ranges[n-1].To+1 == seq {
			ranges[n-1].To, ranges[n-1].Messages = seq, ranges[n-1].Messages+1
			continue
		}
		ranges = append(ranges, Gap{From: seq, To: seq, Messages: 1, Reason: GapDeleted})
	}
	if n := len(ranges); n > maxRanges {
		all := Gap{From: ranges[0].From, To: ranges[n-1].To, Reason: GapDeleted}
		for _, g := range ranges {
			all.Messages += g.Messages
		}
		ranges = []Gap{all}
	}
	return append(gaps, ranges...)
}

// certain is the moment up to which the server that answered must have known all
// that the stream received. Alone that is the moment of its answer. In a cluster
// a leader that was cut off does not know it yet, and others may have taken its
// place: it was the leader when it last heard from enough of them. ok is false
// where it cannot tell.
func certain(info *jetstream.StreamInfo) (at time.Time, ok bool) {
	if info.Cluster == nil || len(info.Cluster.Replicas) == 0 {
		return info.TimeStamp, true
	}
	var heard []time.Duration
	for _, peer := range info.Cluster.Replicas {
		if !peer.Offline && peer.Active >= 0 {
			heard = append(heard, peer.Active)
		}
	}
	slices.Sort(heard)
	needed := (len(info.Cluster.Replicas) + 1) / 2 // with the leader more than half
	if len(heard) < needed {
		return time.Time{}, false
	}
	return info.TimeStamp.Add(-heard[needed-1]), true
}

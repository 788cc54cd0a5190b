package stream

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// mostRemembered is how many parked messages are remembered at once, 16 bytes
	// each.
	mostRemembered = 1 << 19
	// settingsHold is how long the settings of LOGIN_PARKED count as known, streamHold
	// how long it counts as the same stream.
	settingsHold = time.Minute
	streamHold   = time.Second
	// clocksDiffer is more than what the clocks of the servers of a cluster differ by.
	clocksDiffer = 24 * time.Hour
)

// parkedBefore tells which messages LOGIN_PARKED holds already, so that none is
// parked twice, however long ago that was: when a consumer is deleted and made
// again, everything in LOGIN_EVENTS is delivered once more.
//
// LOGIN_PARKED itself knows for as long as its duplicate window what it took. What
// LOGIN_EVENTS received within half of it was parked within the window if it ever
// was, and needs nothing. What is older is looked up in what was read from
// LOGIN_PARKED. That is read on as often as each quarter of the window: what is
// parked later than the last reading began, by whomever, the window covers.
//
// Only sequences and times are remembered, and no more than most: beyond that those
// of the lowest sequences, and LOGIN_PARKED is read again for the others. What is
// delivered again comes in order, so that happens once for so many.
type parkedBefore struct {
	js   jetstream.JetStream
	most int

	mu sync.Mutex // guards what follows; who waits for it waits for the reading too
	// window and created are of the stream as it was described at askedAt.
	window  time.Duration
	created time.Time
	askedAt time.Time
	// places are those of the messages between low and high that LOGIN_EVENTS took
	// since a moment. They are in order once a reading has ended.
	places    []place
	low, high uint64
	since     time.Time
	// next is the first sequence of LOGIN_PARKED that is not read, 0 before the
	// first. readAt is when the last reading began that came to the end.
	next   uint64
	readAt time.Time
}

// place is a message of LOGIN_EVENTS; the time binds the sequence to an incarnation
// of the stream.
type place struct {
	seq uint64
	at  int64 // Unix time in nanoseconds
}

func (p place) compare(other place) int {
	if p.seq != other.seq {
		if p.seq < other.seq {
			return -1
		}
		return 1
	}
	return int(min(max(p.at-other.at, -1), 1))
}

// lookup is whether LOGIN_PARKED holds a message already.
type lookup int

const (
	parkedPerhaps lookup = iota // it cannot be told
	parkedNever                 // or so lately that LOGIN_PARKED knows it by its id
	parkedAlready
)

// find tells it for each message. An error is why it cannot be told of those that
// are parkedPerhaps.
func (b *parkedBefore) find(ctx context.Context, all []placed) ([]lookup, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := make([]lookup, len(all))
	err := b.ask(ctx, settingsHold)
	switch {
	case noStream(err): // then it holds nothing, and says so when something is sent
		return slices.Repeat([]lookup{parkedNever}, len(all)), nil
	case err != nil && b.askedAt.IsZero():
		return found, err
	}
	var old []int // places in all
	for i, one := range all {
		// A message of another stream is not one of the worker's.
		if one.of.stream == Events && time.Since(time.Unix(0, one.of.at)) > b.window/2 {
			old = append(old, i)
			continue
		}
		found[i] = parkedNever
	}
	if len(old) == 0 {
		return found, nil
	}
	// Another stream of the same name holds nothing of what was read.
	if err := b.ask(ctx, streamHold); err != nil {
		return found, err
	}
	return found, b.lookUp(ctx, all, old, found)
}

// lookUp tells it for the old ones among all.
func (b *parkedBefore) lookUp(ctx context.Context, all []placed, old []int, found []lookup) error {
	slices.SortFunc(old, func(i, j int) int { return all[i].of.place().compare(all[j].of.place()) })
	earliest := int64(math.MaxInt64)
	for _, i := range old {
		earliest = min(earliest, all[i].of.at)
	}
	for len(old) > 0 {
		if err := b.reach(ctx, all[old[0]].seq, time.Unix(0, earliest)); err != nil {
			return err
		}
		for len(old) > 0 && all[old[0]].seq <= b.high {
			i := old[0]
			old, found[i] = old[1:], parkedNever
			if _, is := slices.BinarySearchFunc(b.places, all[i].of.place(), place.compare); is {
				found[i] = parkedAlready
			}
		}
	}
	return nil
}

func (o origin) place() place { return place{o.seq, o.at} }

// ask asks for the stream, unless that was done a moment ago.
func (b *parkedBefore) ask(ctx context.Context, hold time.Duration) error {
	if !b.askedAt.IsZero() && time.Since(b.askedAt) < hold {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, parkTry)
	defer cancel()
	s, err := b.js.Stream(asking, Parked)
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return errSilent
	default:
		return fmt.Errorf("ask for stream %s: %w", Parked, err)
	}
	info := s.CachedInfo()
	if !info.Created.Equal(b.created) {
		b.forget()
	}
	b.window, b.created, b.askedAt = info.Config.Duplicates, info.Created, time.Now()
	return nil
}

// noStream tells that there is no such stream, or no JetStream at all.
func noStream(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, nats.ErrNoResponders)
}

func (b *parkedBefore) forget() {
	b.places, b.low, b.high, b.since = b.places[:0], 1, 0, time.Time{}
	b.next, b.readAt = 0, time.Time{}
}

// reach makes sure that the places at a sequence are known, of what was received at
// a moment or later, as they were a quarter of the window ago at the earliest.
func (b *parkedBefore) reach(ctx context.Context, seq uint64, received time.Time) error {
	if seq < b.low || seq > b.high || received.Before(b.since) {
		b.forget()
		// Messages come nearly in order.
		b.low, b.high = seq-min(seq, uint64(b.most/4)), math.MaxUint64
		b.since = received.Add(-clocksDiffer)
	}
	if !b.readAt.IsZero() && time.Since(b.readAt) < b.window/4 {
		return nil
	}
	return b.read(ctx, seq)
}

// read reads on in LOGIN_PARKED. What was read before an error need not be read
// again. The place at seq stays known.
func (b *parkedBefore) read(ctx context.Context, seq uint64) error {
	began := time.Now()
	err := scan(ctx, b.js, Parked, scanRange{From: b.next, To: math.MaxUint64, Since: b.since}, func(m *jetstream.RawStreamMsg) bool {
		b.next = m.Sequence + 1
		// What the stream before had received is not looked for.
		if at, ok := placeOf(m.Header); ok && at.seq >= b.low && at.seq <= b.high && at.at >= b.since.UnixNano() {
			b.places = append(b.places, at)
		}
		if len(b.places) > b.most {
			b.shrink(seq)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", Parked, err)
	}
	b.sort()
	b.readAt = began
	return nil
}

func (b *parkedBefore) sort() {
	slices.SortFunc(b.places, place.compare)
	b.places = slices.Compact(b.places)
}

// shrink keeps the lower half of the places, but none of those below or at seq is
// left out.
func (b *parkedBefore) shrink(seq uint64) {
	b.sort()
	if len(b.places) <= b.most/2 {
		return
	}
	b.high = max(b.places[b.most/2].seq, seq)
	b.places = slices.DeleteFunc(b.places, func(p place) bool { return p.seq > b.high })
}

// placeOf is the place of the original of a parked message; ok is false for what
// loginaudit has not parked.
func placeOf(h nats.Header) (p place, ok bool) {
	get := func(name string) string { return h.Get(name) }
	seq, err := strconv.ParseUint(get(headerSequence), 10, 64)
	received, err2 := time.Parse(time.RFC3339Nano, get(headerReceived))
	return place{seq, received.UnixNano()}, err == nil && err2 == nil && get(headerStream) == Events
}

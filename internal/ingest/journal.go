package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Journal keeps what the loops tell of the stream's completeness. It outlives
// them, and several loops share it.
type Journal interface {
	// Known gives what was told of the stream, by whichever loop.
	Known(ctx context.Context, stream string) (Known, error)
	// Tell records what a loop knows. Several loops may tell in any order, and the
	// same again: the best watermark of the latest generation counts. A gap is kept
	// before the watermark that goes beyond it.
	Tell(ctx context.Context, t Tidings) error
}

// Known is what was told of a stream.
type Known struct {
	// Watermark is the best of the latest generation.
	Watermark
	// Found is false where nothing was told yet.
	Found bool
	// Anchor is the last message that the stream had, of that generation.
	Anchor Anchor
	// Now is the journal's clock when it was asked.
	Now time.Time
	// Others are the names of the other loops that have told something within the
	// last seconds.
	Others []string
	// Gaps is how many gaps there are, Expired how many messages are lost in those
	// of the reason GapExpired.
	Gaps, Expired uint64
}

// Tidings is what a loop tells at once.
type Tidings struct {
	Watermark Watermark
	// KnownAt is the watermark's time by the journal's clock; zero where Time is.
	KnownAt time.Time
	Anchor  Anchor
	// Lasting says that the watermark is to outlive the journal's own restart. Of
	// those that need not, any may be forgotten.
	Lasting bool
	// Gaps were found at this sight; GapsBefore is how many the journal had.
	Gaps       []Gap
	GapsBefore uint64
	Report     Report
}

// Anchor is a message that the stream had: none where Seq is 0. A stream that has
// another message at this place has another history.
type Anchor struct {
	Seq  uint64
	Time time.Time // the stream's, to the nanosecond
}

// String is a form of the anchor in which later ones of a stream are greater.
func (a Anchor) String() string {
	if a.Seq == 0 {
		return ""
	}
	return fmt.Sprintf("%020d %d", a.Seq, a.Time.UnixNano())
}

// ParseAnchor reads String's form; any other gives no anchor.
func ParseAnchor(text string) Anchor {
	var seq uint64
	var at int64
	if n, err := fmt.Sscanf(text, "%d %d", &seq, &at); err != nil || n != 2 {
		return Anchor{}
	}
	return Anchor{Seq: seq, Time: time.Unix(0, at).UTC()}
}

// GapReason says how messages were lost.
type GapReason string

// The reasons.
const (
	// GapExpired: they were the oldest, and the stream's limits (or a purge) took
	// them before they were ingested.
	GapExpired GapReason = "expired"
	// GapDeleted: somebody deleted them before they were ingested.
	GapDeleted GapReason = "deleted"
	// GapReplaced: the stream was deleted and made anew; what the old one held
	// beyond what was ingested is not known.
	GapReplaced GapReason = "replaced"
	// GapRewound: the stream was put back to an older copy of itself, or its server
	// lost the end of it.
	GapRewound GapReason = "rewound"
)

// gapReasons lists the reasons.
func gapReasons() []GapReason { return []GapReason{GapExpired, GapDeleted, GapReplaced, GapRewound} }

// Gap is messages that the stream lost before they were stored or parked.
type Gap struct {
	// Stream, StreamCreated and Generation are those of a [Watermark].
	Stream        string
	StreamCreated time.Time
	Generation    uint32
	// From and To are the first and the last of them. To is 0 where it is not known
	// how far the stream went.
	From, To uint64
	// Messages is how many of From to To are lost; 0 where that is not known.
	Messages uint64
	Reason   GapReason
}

// Report is what a loop sees of the whole pipeline.
type Report struct {
	// Stream and Consumer are as the server last described them.
	Stream   *jetstream.StreamInfo
	Consumer *jetstream.ConsumerInfo
	// Parked is nil where Config.Parked is, or where it does not answer.
	Parked *ParkedState
	// LastCommit is when the loop last finished a batch, by its own clock; zero
	// where it has not yet.
	LastCommit time.Time
	// Trouble is what keeps the loop from its work; nil while nothing does.
	Trouble error
}

// ParkedState is the stream of parked messages.
type ParkedState struct {
	// Messages are there, and Open of them wait for a decision; nil where that is
	// not known.
	Messages uint64
	Open     *uint64
	Bytes    uint64
	// MaxBytes is the size at which nothing more is taken; 0 for no limit.
	MaxBytes uint64
	LastSeq  uint64
	LastTime time.Time
}

// memoryJournal is the journal of a loop that is given none: it ends with it.
type memoryJournal struct {
	mu    sync.Mutex
	known Known
}

func (j *memoryJournal) Known(context.Context, string) (Known, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known.Now = time.Now()
	return j.known, nil
}

func (j *memoryJournal) Tell(_ context.Context, t Tidings) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.known.Watermark, j.known.Anchor, j.known.Found = t.Watermark, t.Anchor, true
	for _, g := range t.Gaps {
		j.known.Gaps++
		if g.Reason == GapExpired {
			j.known.Expired += g.Messages
		}
	}
	return nil
}

package stream

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ParkedFilter narrows a list of parked messages. Zero fields do not narrow.
type ParkedFilter struct {
	// Account is the account token of the original's subject; "_" finds those
	// whose subject names none.
	Account string
	// Reasons are reason codes, any of which will do.
	Reasons []string
	// Field is the field of the contract that is meant.
	Field string
	// Subject is the original's subject, or a NATS pattern of it: * is any
	// token, > at the end any tokens.
	Subject string
	// Text is a part of the sentence in Detail; upper and lower case are the same.
	Text string
	// From and To bound the time at which it was parked: from From on, before To.
	From, To time.Time
	// FromSeq and ToSeq bound the sequence in LOGIN_PARKED, both included.
	FromSeq, ToSeq uint64
	// FromStreamSeq and ToStreamSeq bound the original's sequence, both included.
	FromStreamSeq, ToStreamSeq uint64
	// State is what was done with it.
	State State
	// Valid tells to give only those that break no rule any more, see
	// [ParkedMessage.CheckNow].
	Valid bool
}

// has reports whether the filter takes m.
func (f *ParkedFilter) has(m *ParkedMessage, now time.Time) bool {
	switch {
	case f.FromSeq > m.Seq, f.ToSeq > 0 && m.Seq > f.ToSeq,
		f.FromStreamSeq > m.StreamSeq, f.ToStreamSeq > 0 && m.StreamSeq > f.ToStreamSeq,
		m.ParkedAt.Before(f.From), !f.To.IsZero() && !m.ParkedAt.Before(f.To),
		f.State != "" && m.State != f.State,
		f.Field != "" && m.Field != f.Field,
		len(f.Reasons) > 0 && !slices.Contains(f.Reasons, m.Reason),
		f.Account != "" && m.Account() != f.Account,
		f.Subject != "" && !subjectMatches(f.Subject, m.Subject),
		f.Text != "" && !strings.Contains(strings.ToLower(m.Detail), strings.ToLower(f.Text)),
		f.Valid && m.CheckNow(now) != nil:
		return false
	}
	return true
}

// subjectMatches reports whether a subject matches a pattern of NATS.
func subjectMatches(pattern, subject string) bool {
	for {
		p, restOfPattern, morePattern := strings.Cut(pattern, ".")
		if p == ">" && !morePattern {
			return true
		}
		s, restOfSubject, moreSubject := strings.Cut(subject, ".")
		if p != "*" && p != s || morePattern != moreSubject {
			return false
		}
		if !morePattern {
			return true
		}
		pattern, subject = restOfPattern, restOfSubject
	}
}

// List gives the parked messages of the filter, oldest first, up to the one that
// is the last when List is called. It holds a few megabytes of them at a time,
// and about 100 bytes for each that it has given. An error ends it. A message
// that was parked twice (a crash, then a long outage) is given once, by the first
// that the filter takes.
func (i *Inbox) List(ctx context.Context, filter ParkedFilter) iter.Seq2[ParkedMessage, error] {
	return func(yield func(ParkedMessage, error) bool) {
		if err := i.list(ctx, filter, func(m ParkedMessage) bool { return yield(m, nil) }); err != nil {
			yield(ParkedMessage{}, fmt.Errorf("list parked messages: %w", err))
		}
	}
}

func (i *Inbox) list(ctx context.Context, filter ParkedFilter, yield func(ParkedMessage) bool) error {
	index, err := i.readIndex(ctx)
	if err != nil {
		return err
	}
	seen, now := map[origin]struct{}{}, time.Now()
	return i.scanParked(ctx, filter.FromSeq, filter.ToSeq, func(m *ParkedMessage) bool {
		index.tell(m)
		if !filter.has(m, now) {
			return true
		}
		if _, is := seen[m.origin()]; is {
			return true
		}
		seen[m.origin()] = struct{}{}
		return yield(*m)
	})
}

// scanParked gives the messages of LOGIN_PARKED in order, up to the sequence
// that is the last now, without what the notes tell.
func (i *Inbox) scanParked(ctx context.Context, from, to uint64, yield func(*ParkedMessage) bool) error {
	s, err := i.js.Stream(ctx, Parked)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Parked, err)
	}
	if to == 0 {
		to = math.MaxUint64
	}
	to = min(to, s.CachedInfo().State.LastSeq)
	return scan(ctx, i.js, Parked, scanRange{From: from, To: to}, func(raw *jetstream.RawStreamMsg) bool {
		m := parseParked(raw)
		return yield(&m)
	})
}

// Selected is a parked message that an operator has chosen.
type Selected struct {
	// Seq is the message; Copies are the others of the same original that are
	// not settled. Whatever is done with it is noted of all of them.
	Seq    uint64
	Copies []uint64
	// Reason and State are those of the message.
	Reason string
	State  State

	replays int // how often it was replayed
}

// Select gives what the filter takes, as [Inbox.List] would. It holds about 200
// bytes for each message of LOGIN_PARKED.
func (i *Inbox) Select(ctx context.Context, filter ParkedFilter) ([]Selected, error) {
	now := time.Now()
	return i.choose(ctx, func(m *ParkedMessage) bool { return filter.has(m, now) })
}

// SelectSeqs gives the messages of these sequences, whatever was done with them.
// Those that are not there are missing.
func (i *Inbox) SelectSeqs(ctx context.Context, seqs []uint64) (there []Selected, missing []uint64, err error) {
	named := map[uint64]bool{}
	for _, seq := range seqs {
		named[seq] = false
	}
	there, err = i.choose(ctx, func(m *ParkedMessage) bool {
		_, is := named[m.Seq]
		if is {
			named[m.Seq] = true
		}
		return is
	})
	for _, seq := range seqs {
		if !named[seq] {
			missing = append(missing, seq)
		}
	}
	return there, missing, err
}

func (i *Inbox) choose(ctx context.Context, chosen func(*ParkedMessage) bool) ([]Selected, error) {
	index, err := i.readIndex(ctx)
	if err != nil {
		return nil, fmt.Errorf("select parked messages: %w", err)
	}
	sel := selection{chosen: map[origin]int{}, others: map[origin][]uint64{}}
	err = i.scanParked(ctx, 0, 0, func(m *ParkedMessage) bool {
		index.tell(m)
		replays := 0
		if s := index[parkedKey{m.Seq, m.ParkedAt.UnixNano()}]; s != nil {
			replays = s.replays
		}
		sel.take(m, chosen(m), replays)
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("select parked messages: %w", err)
	}
	return sel.all, nil
}

// selection groups messages by their original.
type selection struct {
	all    []Selected
	chosen map[origin]int      // places in all
	others map[origin][]uint64 // not settled and not chosen so far
}

func (s *selection) take(m *ParkedMessage, chosen bool, replays int) {
	key := m.origin()
	at, is := s.chosen[key]
	switch {
	case is && (m.State == StateOpen || chosen):
		s.all[at].Copies = append(s.all[at].Copies, m.Seq)
	case is:
	case chosen:
		s.chosen[key] = len(s.all)
		s.all = append(s.all, Selected{Seq: m.Seq, Copies: s.others[key], Reason: m.Reason, State: m.State, replays: replays})
	case m.State == StateOpen:
		s.others[key] = append(s.others[key], m.Seq)
	}
}

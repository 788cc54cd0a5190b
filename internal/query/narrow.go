package query

import "time"

// The bounds of a narrower question: the longest range that is proposed, and the
// shortest that is worth it.
const (
	LongestProposal  = 30 * 24 * time.Hour
	ShortestProposal = time.Second
)

// Asking is what a question asks for in time.
type Asking struct {
	// Range is the range that was asked for.
	Range TimeRange
	// Order is that of its rows; the newest come first unless it is Ascending.
	Order Order
	// Reached is the time of the last row of the page before; zero on the first.
	Reached time.Time
	// Now is the moment of the question.
	Now time.Time
}

// Narrower proposes a part of a range for a question that was too heavy: the part
// that the order has first, at most LongestProposal and at most half of what is
// left of the range, in whole seconds, so that whoever follows the proposals gets
// ever less to read. What a question needs is not known before it is asked, so
// it is a guess. It is false where the range is as short as can be.
//
// A page goes on where the one before ended: rows of that very instant may come
// again. An ascending range that has no beginning gets its latest part, since
// nobody knows where its first is.
func (a Asking) Narrower() (TimeRange, bool) {
	r := a.Range
	if r.End.IsZero() || r.Start.Before(a.Now) && r.End.After(a.Now) {
		r.End = a.Now
	}
	oldestFirst := a.Order == Ascending && (!r.Start.IsZero() || !a.Reached.IsZero())
	switch {
	case a.Reached.IsZero():
	case oldestFirst && a.Reached.After(r.Start):
		r.Start = a.Reached
	case !oldestFirst && a.Reached.Before(r.End):
		r.End = a.Reached.Add(resolution)
	}
	length := LongestProposal
	if !r.Start.IsZero() {
		length = min(length, (r.End.Sub(r.Start) / 2).Truncate(time.Second))
	}
	if length < ShortestProposal {
		return TimeRange{}, false
	}
	if oldestFirst {
		return TimeRange{Start: r.Start, End: r.Start.Add(length)}, true
	}
	return TimeRange{Start: r.End.Add(-length), End: r.End}, true
}

package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// A history of attempts is walked event by event: an event is where an attempt
// stands when it is the attempt's first. So a page costs what lies on it,
// however long the history is.

// walkedEvents bounds how many events are looked at for a page. Beyond it, as
// where one session has thousands of events, the whole history is folded.
const walkedEvents = 20_000

// walkAttempts reads a page of attempts and, where there are more, one attempt
// beyond it; whole is false where it gave up.
func (db *DB) walkAttempts(ctx context.Context, account string, f query.AttemptFilter) (page []attemptRow, whole bool, err error) {
	w := newAttemptWalk(db, account, f)
	for size := 3*f.Limit + overfetch; ; size *= 4 {
		events, err := w.next(ctx, size)
		if err != nil {
			return nil, false, err
		}
		end := len(events) < size
		if end {
			w.cover(f.Range.Start, w.limitOf(f.Range.End))
		} else {
			events = w.wholeInstants(events)
		}
		if err := w.show(ctx, events); err != nil {
			return nil, false, err
		}
		switch w.walked += size; {
		case end || len(w.page) > f.Limit:
			return w.page[:min(len(w.page), f.Limit+1)], true, nil
		case len(events) == 0 || w.walked > walkedEvents:
			return nil, false, nil
		}
	}
}

type attemptWalk struct {
	db      *DB
	account string
	filter  query.AttemptFilter
	from    time.Time // the instant at which the next events begin; zero for the beginning
	// events are those that were read so far, by their sessions: all events of the
	// user in covered, whose bounds are open where nothing lies beyond.
	events  map[sessionKey][]attemptEvent
	covered query.TimeRange
	spans   map[sessionKey]query.TimeRange
	folded  map[sessionKey]attemptRow
	page    []attemptRow
	walked  int
}

func newAttemptWalk(db *DB, account string, f query.AttemptFilter) *attemptWalk {
	w := &attemptWalk{
		db: db, account: account, filter: f, events: make(map[sessionKey][]attemptEvent),
		spans: make(map[sessionKey]query.TimeRange), folded: make(map[sessionKey]attemptRow),
	}
	w.covered = query.TimeRange{Start: f.Range.Start, End: w.limitOf(f.Range.End)}
	if f.After != nil {
		w.from = f.After.StartedAt
		if f.Order == query.Ascending {
			w.covered.Start = w.from
		} else {
			w.covered.End = w.from.Add(time.Microsecond)
		}
	}
	return w
}

// limitOf is the end of a range; none where nothing behind it counts.
func (w *attemptWalk) limitOf(end time.Time) time.Time {
	if end.After(w.filter.AsOf) {
		return time.Time{}
	}
	return end
}

// cover moves the bound of covered towards which the walk goes.
func (w *attemptWalk) cover(start, end time.Time) {
	if w.filter.Order == query.Ascending {
		w.covered.End = end
	} else {
		w.covered.Start = start
	}
}

// next reads the next events, repeats included.
func (w *attemptWalk) next(ctx context.Context, size int) ([]attemptEvent, error) {
	c := where(w.account)
	c.bind("username = {username:String}", "username", w.filter.Username)
	c.bind("occurred_at <= "+asOfParam, "as_of", micros(w.filter.AsOf))
	c.timeRange(w.filter.Range)
	if !w.from.IsZero() {
		c.bind("occurred_at "+beyond(w.filter.Order)+"= fromUnixTimestamp64Micro({from:Int64}, 'UTC')", "from", micros(w.from))
	}
	c.params["limit"] = uint64(size)
	direction := " DESC"
	if w.filter.Order == query.Ascending {
		direction = " ASC"
	}
	return w.db.selectAttemptEvents(ctx, w.account, statement{
		name: "attempts",
		sql: `SELECT ` + attemptColumns + ` FROM events_by_user WHERE ` + c.String() + `
			ORDER BY occurred_at` + direction + `, rank` + direction + `, content_hash` + direction + `
			LIMIT {limit:UInt64}`,
		params: c.params,
	})
}

// wholeInstants leaves out the last instant, of which more events may follow:
// attempts that begin at one instant are not in the order of events.
func (w *attemptWalk) wholeInstants(events []attemptEvent) []attemptEvent {
	w.from = events[len(events)-1].place.At
	w.cover(w.from.Add(time.Microsecond), w.from)
	return slices.DeleteFunc(events, func(e attemptEvent) bool { return e.place.At.Equal(w.from) })
}

// show adds the attempts that begin with these events to the page.
func (w *attemptWalk) show(ctx context.Context, events []attemptEvent) error {
	if err := w.fold(ctx, events); err != nil {
		return err
	}
	var found []attemptRow
	for _, e := range events {
		row := w.folded[e.key]
		if e.key.sessionID == "" {
			row = e.lone()
		}
		if row.first == e.place && w.behind(row.first) {
			found = append(found, row)
		}
	}
	slices.SortFunc(found, func(a, b attemptRow) int { return w.compare(a.first, b.first) })
	found = slices.CompactFunc(found, func(a, b attemptRow) bool { return a.first == b.first })
	w.page = append(w.page, found...)
	return nil
}

// fold folds the sessions of the events that begin where the walk has been. Most
// lie there as a whole, and nothing more has to be read of them.
func (w *attemptWalk) fold(ctx context.Context, events []attemptEvent) error {
	sessions := make(map[sessionKey]bool)
	for _, e := range events {
		if e.key.sessionID != "" {
			w.events[e.key] = append(w.events[e.key], e)
			sessions[e.key] = true
		}
	}
	if err := w.learn(ctx, sessions); err != nil {
		return err
	}
	partly := make(map[sessionKey]query.TimeRange)
	for key := range sessions {
		span, told := w.spans[key]
		_, known := w.folded[key]
		switch {
		case known || told && !span.Start.Add(time.Second).After(w.covered.Start): // begun where the walk has yet to come to, or will not
		case !told || w.hasRead(span):
			w.folded[key] = foldAttempt(w.events[key], w.filter.AsOf.Add(-w.db.sessionLimit))
		default:
			partly[key] = span
		}
	}
	folded, err := w.db.foldSpans(ctx, w.account, w.filter.AsOf, partly)
	maps.Copy(w.folded, folded)
	return err
}

// learn reads where sessions lie that the walk has not met before.
func (w *attemptWalk) learn(ctx context.Context, sessions map[sessionKey]bool) error {
	var unknown []sessionKey
	for key := range sessions {
		if _, known := w.spans[key]; !known {
			unknown = append(unknown, key)
		}
	}
	spans, err := w.db.readSpans(ctx, w.account, unknown)
	maps.Copy(w.spans, spans)
	return err
}

// hasRead reports whether all events of a span were read.
func (w *attemptWalk) hasRead(span query.TimeRange) bool {
	return !span.Start.Before(w.covered.Start) && (w.covered.End.IsZero() || !span.End.After(w.covered.End))
}

// behind reports whether an attempt that begins there comes behind the last of
// the page before.
func (w *attemptWalk) behind(first query.Position) bool {
	after := w.filter.After
	return after == nil || w.compare(first, query.Position{At: after.StartedAt, Hash: after.FirstHash}) > 0
}

// compare is the order of attempts: by start, then by the first event's hash.
func (w *attemptWalk) compare(a, b query.Position) int {
	c := a.At.Compare(b.At)
	if c == 0 {
		c = slices.Compare(a.Hash[:], b.Hash[:])
	}
	if w.filter.Order != query.Ascending {
		c = -c
	}
	return c
}

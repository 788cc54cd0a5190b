package store

import (
	"context"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

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
	w := attemptWalk{db: db, account: account, filter: f, folded: make(map[sessionKey]attemptRow)}
	if f.After != nil {
		w.from = f.After.StartedAt
	}
	for size := 3*f.Limit + overfetch; ; size *= 4 {
		events, err := w.next(ctx, size)
		if err != nil {
			return nil, false, err
		}
		end := len(events) < size
		if !end {
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
	folded  map[sessionKey]attemptRow
	page    []attemptRow
	walked  int
}

// next reads the next events, repeats included: what is near first.
func (w *attemptWalk) next(ctx context.Context, size int) (events []attemptRow, err error) {
	begin := query.EventFilter{Range: w.filter.Range, Order: w.filter.Order}
	if !w.from.IsZero() {
		begin.After = &query.Position{At: w.from}
	}
	for _, span := range nearFirst(begin, w.filter.AsOf) {
		found, err := w.nextIn(ctx, span, size-len(events))
		if err != nil {
			return nil, err
		}
		if events = append(events, found...); len(events) == size {
			break
		}
	}
	return events, nil
}

func (w *attemptWalk) nextIn(ctx context.Context, span query.TimeRange, size int) ([]attemptRow, error) {
	c := where(w.account)
	c.bind("username = {username:String}", "username", w.filter.Username)
	c.bind("occurred_at <= "+asOfParam, "as_of", micros(w.filter.AsOf))
	c.timeRange(span)
	if !w.from.IsZero() {
		c.bind("occurred_at "+beyond(w.filter.Order)+"= fromUnixTimestamp64Micro({from:Int64}, 'UTC')", "from", micros(w.from))
	}
	c.params["limit"] = uint64(size)
	direction := " DESC"
	if w.filter.Order == query.Ascending {
		direction = " ASC"
	}
	s := statement{
		name: "attempts",
		sql: `SELECT username, session_id, ` + placeSQL + ` AS first,
			concat(char(0), first, char(entry), char(status)),
			if(isNull(ip), '', concat(first, reinterpretAsFixedString(assumeNotNull(ip)))),
			if(user_agent = '', '', concat(first, user_agent)),
			if(status IN (` + statusesWhere(opens) + `), occurred_at, ` + never + `),
			if(status IN (` + statusesWhere(closes) + `), occurred_at, ` + never + `),
			occurred_at, 'none', [id]
			FROM events_by_user WHERE ` + c.String() + `
			ORDER BY occurred_at` + direction + `, rank` + direction + `, content_hash` + direction + `
			LIMIT {limit:UInt64}`,
		params: c.params,
	}
	var events []attemptRow
	err := w.db.selectRows(ctx, w.account, s, func(rows driver.Rows) error {
		e, err := scanAttempt(rows)
		events = append(events, e)
		return err
	})
	return events, err
}

// wholeInstants leaves out the last instant, of which more events may follow:
// attempts that begin at one instant are not in the order of events.
func (w *attemptWalk) wholeInstants(events []attemptRow) []attemptRow {
	w.from = events[len(events)-1].first.At
	return slices.DeleteFunc(events, func(e attemptRow) bool { return e.first.At.Equal(w.from) })
}

// show adds the attempts that begin with these events to the page.
func (w *attemptWalk) show(ctx context.Context, events []attemptRow) error {
	var unknown []sessionKey
	for _, e := range events {
		key := sessionKey{e.username, e.sessionID}
		if _, known := w.folded[key]; !known && e.sessionID != "" {
			w.folded[key] = attemptRow{}
			unknown = append(unknown, key)
		}
	}
	folded, err := w.db.foldSessions(ctx, w.account, w.filter.AsOf, unknown)
	if err != nil {
		return err
	}
	for key, row := range folded {
		w.folded[key] = row
	}
	var found []attemptRow
	for _, e := range events {
		row := e
		if e.sessionID != "" {
			row = w.folded[sessionKey{e.username, e.sessionID}]
		}
		if row.first == e.first && w.behind(row.first) {
			found = append(found, row)
		}
	}
	slices.SortFunc(found, func(a, b attemptRow) int { return w.compare(a.first, b.first) })
	found = slices.CompactFunc(found, func(a, b attemptRow) bool { return a.first == b.first })
	w.page = append(w.page, found...)
	return nil
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

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

const (
	// chunkRows is how many rows one statement of an export reads. ClickHouse
	// keeps what a statement reads, merged away or not, until it ends; so none
	// lasts longer than the asker needs for so many rows.
	chunkRows = 250_000
	// fewestRows is the least that a statement asks for where more is too much.
	fewestRows = 1000
	// longestStatement bounds one statement. The asker who is slower gets the rest
	// by the next one. It is within what the reader's profile allows.
	longestStatement = 10 * time.Minute
	// patience is how long an export waits for ClickHouse to come back.
	patience = 30 * time.Second
	// retryPause is the pause between two attempts.
	retryPause = 500 * time.Millisecond
	// inHand is how many slices of events go around: one is filled while another
	// is encoded.
	inHand = 2
)

// Export hands every event that the filter lets through to each, in the order of
// f, whatever its Limit and After. It reads as fast as each takes them, and holds
// a few blocks of rows in memory, however many there are. The events may be kept,
// the slice may not: it is used again.
//
// The export is the answer as of the watermark that it returns: every event up to
// it, and none above. Statements that break, as where ClickHouse is restarted,
// are asked again from the last event on. An error of each ends the export and is
// returned as it is.
func (db *DB) Export(ctx context.Context, account string, f query.EventFilter, each func([]query.Event) error) (query.Watermark, error) {
	return db.exportBy(ctx, account, f, exportSizes{chunk: chunkRows}, each)
}

// exportSizes are what tests make smaller.
type exportSizes struct {
	// chunk is how many rows a statement reads.
	chunk int
	// few is up to how many events it is asked for each whether it is in conflict; 0
	// goes by the account.
	few int
}

func (db *DB) exportBy(
	ctx context.Context, account string, f query.EventFilter, sizes exportSizes, each func([]query.Event) error,
) (query.Watermark, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return mark, err
	}
	ranges, err := db.exportRanges(ctx, account, f, uint64(sizes.chunk))
	if err != nil {
		return mark, err
	}
	f.After = nil
	x := exporter{
		db: db, account: account, filter: f, mark: mark, chunk: sizes.chunk, conflicts: conflictMarker{db: db, account: account, few: sizes.few},
		full: make(chan []query.Event), empty: make(chan []query.Event, inHand),
	}
	for range inHand {
		x.empty <- nil
	}
	// Reading and encoding each take a core.
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		defer close(x.full)
		ended <- x.read(ctx, ranges)
	}()
	defer func() {
		stop()
		for range x.full { // until the reader has ended
		}
	}()
	for events := range x.full {
		if err := each(events); err != nil {
			return mark, err
		}
		x.empty <- events[:0]
	}
	return mark, <-ended
}

// exporter is one export.
type exporter struct {
	db        *DB
	account   string
	filter    query.EventFilter // its After is the last event that was handed on
	mark      query.Watermark
	chunk     int
	conflicts conflictMarker

	full, empty chan []query.Event
}

// exportRanges are the ranges of time, in the order of f, that one statement after
// the other reads: months (of a user: years), which is how the tables are cut, or
// several of them while they hold few rows together. Statements over all of a long
// history would read the beginning of every part each time.
func (db *DB) exportRanges(ctx context.Context, account string, f query.EventFilter, few uint64) ([]query.TimeRange, error) {
	c := where(account)
	from, period := "events", "toStartOfMonth(occurred_at)"
	next := func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }
	if f.Username != nil {
		from, period = "events_by_user", "toStartOfYear(occurred_at)"
		next = func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }
		c.bind("username = {username:String}", "username", *f.Username)
	}
	c.timeRange(f.Range)
	s := statement{
		name:   "months",
		sql:    `SELECT ` + period + ` AS period, count() FROM ` + from + ` WHERE ` + c.String() + ` GROUP BY period ORDER BY period`,
		params: c.params,
	}
	if f.Order != query.Ascending {
		s.sql += " DESC"
	}
	var ranges []query.TimeRange
	held := uint64(0) // rows of the last range
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var start time.Time
		var n uint64
		if err := rows.Scan(&start, &n); err != nil {
			return err
		}
		r := query.TimeRange{Start: start, End: next(start)}
		if last := len(ranges) - 1; last >= 0 && held+n <= few {
			ranges[last] = union(ranges[last], r)
			held += n
			return nil
		}
		ranges, held = append(ranges, r), n
		return nil
	})
	for i := range ranges {
		ranges[i] = intersection(ranges[i], f.Range)
	}
	return ranges, err
}

// union is the range from the earlier start to the later end.
func union(a, b query.TimeRange) query.TimeRange {
	if b.Start.Before(a.Start) {
		a.Start = b.Start
	}
	if b.End.After(a.End) {
		a.End = b.End
	}
	return a
}

// intersection is what of a lies in b, whose bounds may be open.
func intersection(a, b query.TimeRange) query.TimeRange {
	if b.Start.After(a.Start) {
		a.Start = b.Start
	}
	if !b.End.IsZero() && b.End.Before(a.End) {
		a.End = b.End
	}
	return a
}

func (x *exporter) read(ctx context.Context, ranges []query.TimeRange) error {
	for _, r := range ranges {
		x.filter.Range = r
		if err := readChunks(ctx, x.chunk, x.readChunk); err != nil {
			return err
		}
	}
	return nil
}

// readChunks reads all there is, statement by statement: read reads at most limit
// rows from where the statement before it came to, and tells how many there were
// and whether it came any further.
func readChunks(ctx context.Context, chunk int, read func(ctx context.Context, limit int) (rows int, further bool, err error)) error {
	limit, failing := chunk, time.Time{}
	for {
		rows, further, err := read(ctx, limit)
		switch {
		case err == nil && rows < limit:
			return nil
		case ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		case further: // whatever happened, the next one begins behind it
			limit, failing = chunk, time.Time{}
		case err == nil: // so many copies of one event
			limit *= 4
		case errors.Is(err, query.ErrTooHeavy) && limit > fewestRows:
			limit = max(limit/4, fewestRows)
		case errors.Is(err, query.ErrUnavailable) && (failing.IsZero() || time.Since(failing) < patience):
			if failing.IsZero() {
				failing = time.Now()
			}
			if err := pause(ctx, retryPause); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for clickhouse: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}

// readChunk reads at most limit rows behind the last event and hands their events
// on. It tells how many rows there were, the repeats among them, and whether any
// event was handed on.
func (x *exporter) readChunk(ctx context.Context, limit int) (rows int, further bool, err error) {
	before := x.filter.After
	var held collapser
	err = x.db.selectBlocks(ctx, x.account, x.statement(limit), func(b *readBlock) error {
		rows += b.rows()
		return x.handOn(ctx, func(events []query.Event) []query.Event {
			return held.collapse(b.appendTo(held.begin(events), x.account))
		})
	})
	// Where there was room for more rows, there are no more copies.
	if err == nil && rows < limit {
		err = x.handOn(ctx, held.begin)
	}
	return rows, x.filter.After != before, err
}

// handOn gives events to the asker, in a slice that the asker has done with.
func (x *exporter) handOn(ctx context.Context, fill func([]query.Event) []query.Event) error {
	var events []query.Event
	select {
	case events = <-x.empty:
	case <-ctx.Done():
		return fmt.Errorf("wait for the asker: %w", ctx.Err())
	}
	events = fill(events)
	if err := x.conflicts.mark(ctx, events); err != nil || len(events) == 0 {
		x.empty <- events[:0]
		return err
	}
	last := events[len(events)-1].Position()
	select {
	case x.full <- events:
		x.filter.After = &last
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the asker: %w", ctx.Err())
	}
}

// collapser is collapse for rows that come in pieces. It holds back the last event
// of each piece, of which the next one may have another copy.
type collapser struct{ last []query.Event }

// begin begins a piece with the event that was held back.
func (c *collapser) begin(events []query.Event) []query.Event { return append(events, c.last...) }

// collapse collapses a piece, in its own memory, and holds back its last event.
func (c *collapser) collapse(rows []query.Event) []query.Event {
	n := 0 // of events so far
	for i := range rows {
		switch row := &rows[i]; {
		case n == 0 || rows[n-1].Hash != row.Hash:
			if n < i { // a row is large, and most stay where they are
				rows[n] = *row
			}
			n++
		case row.StreamSeq < rows[n-1].StreamSeq:
			rows[n-1] = *row
		}
	}
	events := rows[:n]
	if len(events) == 0 {
		return events
	}
	last := len(events) - 1
	c.last = append(c.last[:0], events[last])
	return events[:last]
}

// statement reads on behind the last event.
func (x *exporter) statement(limit int) statement {
	c := filterEvents(x.account, x.filter)
	c.upTo(x.mark)
	s := eventsStatement(c, x.filter, limit)
	s.name = "events to export"
	return s
}

// upTo adds the condition that the row is not above the watermark: its sequence is
// not, or it was received before the moment of the watermark. The latter is also
// said of what an earlier history of the stream held, whose sequences count for
// nothing now. Before the first claim there is nothing to go by.
func (c *conditions) upTo(mark query.Watermark) {
	if mark.Time == nil {
		return
	}
	c.params["mark_time"] = micros(mark.Time.Time)
	c.bind("(stream_seq <= {mark_seq:UInt64} OR received_at < fromUnixTimestamp64Micro({mark_time:Int64}, 'UTC'))",
		"mark_seq", mark.StreamSeq)
}

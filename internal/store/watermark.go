package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Claim is what is proved of a stream: everything up to Seq, and everything that
// it received before Time, is inserted, or parked, or lost and told as a [Gap].
type Claim struct {
	// Stream, Created and Generation name one history of a stream; only the claims
	// of its latest generation count, and of these the newest stream's.
	Stream     string
	Created    time.Time
	Generation uint32
	Seq        uint64
	// Time is by the stream's clock, KnownAt the same moment by ClickHouse's; zero
	// where it is not known.
	Time, KnownAt time.Time
	// Anchor is the last message that the stream is known to have had, in a form
	// of the worker's own of which the greatest text is the latest.
	Anchor string
	// Gaps is Known.Gaps as the worker read it.
	Gaps uint64
}

// Gap is messages that a stream lost before they were inserted or parked. To and
// Messages are 0 where they are not known.
type Gap struct {
	Stream             string
	Created            time.Time
	Generation         uint32
	From, To, Messages uint64
	Reason             query.GapReason
}

// Tidings is what a worker tells at once.
type Tidings struct {
	Claim Claim
	// Lasting says that the claim is to outlive ClickHouse's memory.
	Lasting bool
	// Gaps were found since the last time; they are stored before the claim is.
	Gaps []Gap
	// Worker is the worker's name, Report what it sees of the pipeline.
	Worker string
	Report Report
}

// Known is what was told of a stream so far.
type Known struct {
	// Claim is the best one of the latest generation; its KnownAt is not given.
	Claim
	// Found is false where nothing was told yet.
	Found bool
	// Now is ClickHouse's clock at the question.
	Now time.Time
	// Others are the names of the other workers that have reported within the last 5
	// seconds.
	Others []string
	// Expired is how many messages are lost in gaps of the reason expired. (Gaps of
	// the claim is how many gaps were told.)
	Expired uint64
}

// claimsSQL are all claims about a stream, the lasting ones and the latest.
const claimsSQL = `
	SELECT stream_created, generation, seq, time, known_at, anchor, gaps, '' AS worker, ` + never + ` AS reported_at, '' AS report
	FROM watermarks WHERE stream = {stream:String}
	UNION ALL
	SELECT stream_created, generation, seq, time, known_at, anchor, gaps, worker, reported_at, report
	FROM pipeline_reports WHERE stream = {stream:String}`

// ofLatest ends a statement over claimsSQL that wants the latest generation.
const ofLatest = `
	GROUP BY stream_created, generation
	ORDER BY generation DESC, stream_created DESC
	LIMIT 1`

// Tell records what a worker knows. The same may be told again, by several
// workers, in any order: what counts is the best claim of the latest generation.
// It needs the writer.
func (db *DB) Tell(ctx context.Context, t Tidings) error {
	report, err := json.Marshal(t.Report)
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	for _, g := range t.Gaps {
		err := db.insertRow(ctx, "INSERT INTO gaps (stream, stream_created, generation, from_seq, reason, to_seq, messages)",
			g.Stream, g.Created.UTC(), g.Generation, g.From, string(g.Reason), g.To, g.Messages)
		if err != nil {
			return fmt.Errorf("tell gap: %w", err)
		}
	}
	c := t.Claim
	claim := []any{c.Stream, c.Created.UTC(), c.Generation, c.Seq, orEpoch(c.Time), orEpoch(c.KnownAt), c.Anchor, c.Gaps + uint64(len(t.Gaps))}
	if t.Lasting {
		err := db.insertRow(ctx, "INSERT INTO watermarks (stream, stream_created, generation, seq, time, known_at, anchor, gaps)", claim...)
		if err != nil {
			return fmt.Errorf("tell watermark: %w", err)
		}
	}
	err = db.insertRow(ctx,
		"INSERT INTO pipeline_reports (stream, stream_created, generation, seq, time, known_at, anchor, gaps, worker, report)",
		append(claim, t.Worker, string(report))...)
	if err != nil {
		return fmt.Errorf("tell report: %w", err)
	}
	return nil
}

// orEpoch is the time, or the column's zero: the year 1 is no time of it.
func orEpoch(t time.Time) time.Time {
	if t.IsZero() {
		return time.UnixMicro(0).UTC()
	}
	return t.UTC()
}

func (db *DB) insertRow(ctx context.Context, into string, values ...any) (err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(insertSettings()))
	batch, err := db.conn.PrepareBatch(ctx, into)
	if err != nil {
		return fmt.Errorf("prepare insert: %w", withoutValues(err))
	}
	defer func() { err = errors.Join(err, closeBatch(batch)) }()
	if err := batch.Append(values...); err != nil {
		return fmt.Errorf("append row: %w", err)
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert row: %w", withoutValues(err))
	}
	return nil
}

// othersWithin is how long ago another worker's last word may be, in seconds,
// so that it counts as being there.
const othersWithin = 5

// Known reads back, as the writer, what was told of a stream. worker is the name
// of who asks.
func (db *DB) Known(ctx context.Context, stream, worker string) (Known, error) {
	known := Known{Claim: Claim{Stream: stream}}
	s := statement{
		name: "what is known of the stream",
		sql: `
			SELECT now64(6, 'UTC') AS now, stream_created, generation, max(seq), max(time), max(anchor), max(gaps),
				groupUniqArrayIf(worker, worker NOT IN ('', {worker:String}) AND reported_at > now64(6, 'UTC') - toIntervalSecond({within:UInt32}))
			FROM (` + claimsSQL + `)` + ofLatest,
		params: params{"stream": stream, "worker": worker, "within": othersWithin},
	}
	err := db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		known.Found = true
		return rows.Scan(&known.Now, &known.Created, &known.Generation, &known.Seq, &known.Time, &known.Anchor, &known.Gaps, &known.Others)
	})
	if known.Time.UnixMicro() == 0 {
		known.Time = time.Time{}
	}
	switch {
	case err != nil:
	case !known.Found: // then there is no row that could tell the time
		s := statement{name: "clock", sql: "SELECT now64(6, 'UTC')"}
		err = db.selectRows(ctx, "", s, func(rows driver.Rows) error { return rows.Scan(&known.Now) })
	case known.Gaps > 0:
		s := statement{
			name: "gaps",
			sql: `SELECT count(), sumIf(n, reason = 'expired')
				FROM (SELECT reason, max(messages) AS n FROM gaps WHERE stream = {stream:String} GROUP BY stream_created, generation, from_seq, reason)`,
			params: params{"stream": stream},
		}
		err = db.selectRows(ctx, "", s, func(rows driver.Rows) error { return rows.Scan(&known.Gaps, &known.Expired) })
	}
	return known, err
}

// Watermark tells how complete an answer is that is read after this returns. What
// was read within Config.WatermarkAge is told again: it holds still, and lags by
// so much more.
func (db *DB) Watermark(ctx context.Context) (query.Watermark, error) {
	began := time.Now()
	if last := db.lastMark.Load(); last != nil && began.Sub(last.at) < db.markAge {
		mark := last.Watermark
		if mark.Time != nil {
			mark.LagMS += began.Sub(last.at).Milliseconds()
		}
		return mark, nil
	}
	mark, err := db.watermark(ctx, query.MaxGaps)
	if err == nil && db.markAge > 0 {
		db.lastMark.Store(&readMark{mark, began})
	}
	return mark, err
}

// readMark is a watermark and when its reading began.
type readMark struct {
	query.Watermark
	at time.Time
}

func (db *DB) watermark(ctx context.Context, maxGaps int) (query.Watermark, error) {
	var mark query.Watermark
	var gaps uint64
	s := statement{
		name: "watermark",
		sql: `
			SELECT max(seq), max(time), max(known_at) AS known,
				dateDiff('millisecond', if(known = ` + never + `, max(time), known), now64(6, 'UTC')), max(gaps),
				stream_created, generation, max(simpleJSONExtractString(report, 'last_commit'))
			FROM (` + claimsSQL + `)` + ofLatest,
		params: params{"stream": db.stream},
	}
	err := db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		var at, known, created time.Time
		var lag int64
		var generation uint32
		var committed string
		if err := rows.Scan(&mark.StreamSeq, &at, &known, &lag, &gaps, &created, &generation, &committed); err != nil {
			return err
		}
		// Rows can be read as soon as their batch is in, which is before the floor of the
		// stream moves, and it may not move for long: so the last batch counts, too.
		mark.Stand = fmt.Sprint(created.UnixMicro(), generation, mark.StreamSeq, gaps, committed)
		if mark.Time = moment(at); mark.Time != nil {
			mark.LagMS = max(lag, 0)
		}
		return nil
	})
	if err != nil || gaps == 0 {
		return mark, err
	}
	mark.Gaps, mark.GapsTotal, err = db.gaps(ctx, maxGaps)
	return mark, err
}

// gaps lists the latest gaps and counts all. Neighbours of one reason, found one
// after the other, are one gap.
func (db *DB) gaps(ctx context.Context, limit int) (gaps []query.Gap, total int, err error) {
	s := statement{
		name: "gaps",
		sql: `
			SELECT from_seq, max(to_seq), max(messages), reason, min(found_at) AS found, stream_created, count() OVER ()
			FROM gaps
			WHERE stream = {stream:String}
			GROUP BY stream_created, generation, from_seq, reason
			ORDER BY found DESC, generation DESC, from_seq DESC
			LIMIT {limit:UInt32}`,
		params: params{"stream": db.stream, "limit": limit},
	}
	err = db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		var g query.Gap
		var to, messages, all uint64
		var reason string
		var found, created time.Time
		if err := rows.Scan(&g.FromSeq, &to, &messages, &reason, &found, &created, &all); err != nil {
			return err
		}
		g.Reason, g.FoundAt, g.StreamCreated = query.GapReason(reason), query.At(found), query.At(created)
		g.ToSeq, g.Messages = orNull(to), orNull(messages)
		gaps, total = append(gaps, g), int(all)
		return nil
	})
	return gaps, total, err
}

// orNull is the number, or nothing where it is 0.
func orNull(n uint64) *uint64 {
	if n == 0 {
		return nil
	}
	return &n
}

package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Report is what a worker sees of the pipeline; the worker writes it as JSON.
type Report struct {
	// Now is the worker's clock, and Started and LastCommit are by the same one;
	// LastCommit is zero where it has not finished a batch yet.
	Now        time.Time `json:"now"`
	Started    time.Time `json:"started"`
	LastCommit time.Time `json:"last_commit"`
	Version    string    `json:"version"`
	NATS       string    `json:"nats"`
	// Trouble is "" while nothing keeps the worker from its work.
	Trouble string `json:"trouble"`

	Stream   ReportedStream       `json:"stream"`
	Consumer query.ConsumerStatus `json:"consumer"`
	// Parked is absent where the worker cannot see the stream of parked messages.
	Parked *query.ParkedStatus `json:"parked"`
}

// ReportedStream is the stream of events as a worker sees it.
type ReportedStream struct {
	FirstSeq  uint64    `json:"first_seq"`
	LastSeq   uint64    `json:"last_seq"`
	FirstTime time.Time `json:"first_time"`
	LastTime  time.Time `json:"last_time"`
	Messages  uint64    `json:"messages"`
	Bytes     uint64    `json:"bytes"`
	// MaxBytes and MaxAge (nanoseconds) are 0 where there is no limit.
	MaxBytes uint64        `json:"max_bytes"`
	MaxAge   time.Duration `json:"max_age"`
	Replicas int           `json:"replicas"`
}

// The most workers of a status, and how long one is listed after its last word.
const (
	maxWorkers   = 100
	workerSeenIn = time.Hour
)

// Status tells the whole pipeline, but for the program's own version.
func (db *DB) Status(ctx context.Context) (query.Status, error) {
	var status query.Status
	mark, err := db.watermark(ctx, query.MaxStatusGaps)
	if err != nil {
		return status, err
	}
	status.Gaps, status.GapsTotal = mark.Gaps, mark.GapsTotal
	if status.Gaps == nil {
		status.Gaps = []query.Gap{}
	}
	mark.Gaps = mark.Gaps[:min(len(mark.Gaps), query.MaxGaps)]
	status.Watermark = mark
	if mark.Time != nil {
		seconds := float64(mark.LagMS) / 1000
		status.Lag.Seconds = &seconds
	}
	if err := db.partVersions(ctx, &status.Versions); err != nil {
		return status, err
	}
	reports, err := db.reports(ctx)
	if err != nil {
		return status, err
	}
	status.Workers = make([]query.WorkerStatus, 0, len(reports))
	for _, r := range reports {
		status.Workers = append(status.Workers, r.worker())
	}
	if len(reports) > 0 {
		newest := slices.MinFunc(reports, func(a, b told) int { return int(a.age - b.age) })
		newest.describe(db.stream, &status)
		status.Quiet = quiet(reports)
		for _, w := range status.Workers {
			if w.LastCommit != nil && (status.LastCommit == nil || w.LastCommit.After(status.LastCommit.Time)) {
				status.LastCommit = w.LastCommit
			}
		}
	}
	return status, nil
}

// partVersions reads those that the database knows.
func (db *DB) partVersions(ctx context.Context, v *query.Versions) (err error) {
	if v.Schema.Program, err = SchemaVersion(); err != nil {
		return err
	}
	s := statement{name: "versions", sql: `SELECT version(), (SELECT max(version_id) FROM goose_db_version WHERE is_applied = 1)`}
	return db.selectRows(ctx, "", s, func(rows driver.Rows) error { return rows.Scan(&v.ClickHouse, &v.Schema.Database) })
}

// told is a worker's latest report.
type told struct {
	Report
	name       string
	created    time.Time
	generation uint32
	at         time.Time
	age        time.Duration
}

// reports are the latest of each worker, by name.
func (db *DB) reports(ctx context.Context) ([]told, error) {
	var all []told
	s := statement{
		name: "reports",
		sql: `
			SELECT worker, argMax(stream_created, reported_at), argMax(generation, reported_at), argMax(report, reported_at),
				max(reported_at) AS at, dateDiff('microsecond', at, now64(6, 'UTC'))
			FROM pipeline_reports
			WHERE stream = {stream:String}
			GROUP BY worker
			HAVING at > now64(6, 'UTC') - toIntervalSecond({seconds:UInt32})
			ORDER BY worker
			LIMIT {limit:UInt32}`,
		params: params{"stream": db.stream, "seconds": int(workerSeenIn.Seconds()), "limit": maxWorkers},
	}
	err := db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		var t told
		var report string
		var age int64
		if err := rows.Scan(&t.name, &t.created, &t.generation, &report, &t.at, &age); err != nil {
			return err
		}
		t.age = time.Duration(max(age, 0)) * time.Microsecond
		if err := json.Unmarshal([]byte(report), &t.Report); err != nil {
			return fmt.Errorf("read report of worker: %w", err)
		}
		all = append(all, t)
		return nil
	})
	return all, err
}

// worker is what the report says of its author.
func (t told) worker() query.WorkerStatus {
	w := query.WorkerStatus{
		Name: t.name, Version: t.Version, Started: query.At(t.Started),
		Reported: query.At(t.at), ReportAgeMS: t.age.Milliseconds(), LastCommit: given(t.LastCommit),
	}
	if t.Trouble != "" {
		w.Trouble = &t.Trouble
	}
	return w
}

// describe puts what the report says of the streams into the status.
func (t told) describe(stream string, status *query.Status) {
	from := t.Stream
	status.Stream = &query.StreamStatus{
		Name: stream, Created: query.At(t.created), Generation: t.generation,
		FirstSeq: from.FirstSeq, LastSeq: from.LastSeq, FirstTime: given(from.FirstTime), LastTime: given(from.LastTime),
		Messages: from.Messages, Bytes: from.Bytes, MaxBytes: orNull(from.MaxBytes), Replicas: from.Replicas,
	}
	if from.MaxAge > 0 {
		seconds := from.MaxAge.Seconds()
		status.Stream.MaxAgeSeconds = &seconds
	}
	status.Consumer, status.Parked = &t.Consumer, t.Parked
	reported, age := query.At(t.at), t.age.Milliseconds()
	status.Reported, status.ReportAgeMS = &reported, &age
	// What is between the claim and the stream's end as it was reported.
	lag := uint64(0)
	if from.LastSeq > status.Watermark.StreamSeq {
		lag = from.LastSeq - status.Watermark.StreamSeq
	}
	status.Lag.Messages = &lag
	nats := t.NATS
	status.Versions.NATS = &nats
}

// quiet is for how long none of the workers has finished a batch.
func quiet(reports []told) time.Duration {
	shortest := time.Duration(-1)
	for _, r := range reports {
		since := r.LastCommit
		if since.Before(r.Started) {
			since = r.Started
		}
		if q := r.Now.Sub(since) + r.age; shortest < 0 || q < shortest {
			shortest = q
		}
	}
	return max(shortest, 0)
}

// given is the time, or null where it is zero.
func given(t time.Time) *query.Timestamp {
	if t.IsZero() {
		return nil
	}
	at := query.At(t)
	return &at
}

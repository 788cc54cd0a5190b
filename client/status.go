package client

import "context"

// Status tells the whole pipeline, from the stream to what can be queried. What
// nobody has reported is nil.
type Status struct {
	// State is ok, behind, stalled or unknown; Reasons tell why.
	State     string    `json:"state"`
	Reasons   []string  `json:"reasons"`
	Watermark Watermark `json:"watermark"`
	Lag       Lag       `json:"lag"`
	Stream    *Stream   `json:"stream"`
	Consumer  *Consumer `json:"consumer"`
	Parked    *Parked   `json:"parked"`
	// LastCommit is when a worker last finished a batch, by its clock.
	LastCommit *Time `json:"last_commit"`
	// ReportedAt is when the latest report came, on which Stream, Consumer, Parked
	// and Lag.Messages rest; ReportAgeMS is how long ago that is, in milliseconds.
	ReportedAt  *Time  `json:"reported_at"`
	ReportAgeMS *int64 `json:"report_age_ms"`
	// Gaps are the latest found, at most 1,000 of GapsTotal.
	Gaps      []Gap    `json:"gaps"`
	GapsTotal int      `json:"gaps_total"`
	Workers   []Worker `json:"workers"`
	Versions  Versions `json:"versions"`
}

// Lag is how far what can be queried is behind the stream: in messages, and in
// seconds that the watermark is old.
type Lag struct {
	Messages *uint64  `json:"messages"`
	Seconds  *float64 `json:"seconds"`
}

// Stream is the stream of events. Limits are nil where there are none.
type Stream struct {
	Name string `json:"name"`
	// Created tells one stream of the name from another, Generation one history
	// from another.
	Created       Time     `json:"created"`
	Generation    uint32   `json:"generation"`
	FirstSeq      uint64   `json:"first_seq"`
	LastSeq       uint64   `json:"last_seq"`
	FirstTime     *Time    `json:"first_time"`
	LastTime      *Time    `json:"last_time"`
	Messages      uint64   `json:"messages"`
	Bytes         uint64   `json:"bytes"`
	MaxBytes      *uint64  `json:"max_bytes"`
	MaxAgeSeconds *float64 `json:"max_age_seconds"`
	Replicas      int      `json:"replicas"`
}

// Consumer is how the workers stand in the stream: everything up to AckFloor is
// done, Pending is not delivered yet, AckPending is in their hands, and
// Redelivered of these not for the first time.
type Consumer struct {
	AckFloor    uint64 `json:"ack_floor"`
	Pending     uint64 `json:"pending"`
	AckPending  uint64 `json:"ack_pending"`
	Redelivered uint64 `json:"redelivered"`
}

// Parked is the stream of parked messages; Open of them wait for a decision.
type Parked struct {
	Messages uint64  `json:"messages"`
	Open     *uint64 `json:"open"`
	Bytes    uint64  `json:"bytes"`
	MaxBytes *uint64 `json:"max_bytes"`
	LastSeq  uint64  `json:"last_seq"`
	LastTime *Time   `json:"last_time"`
}

// Worker is an ingest worker that reported within the hour. Trouble is what keeps
// it from its work; nil where nothing does.
type Worker struct {
	Name        string  `json:"name"`
	Version     string  `json:"version"`
	StartedAt   Time    `json:"started_at"`
	ReportedAt  Time    `json:"reported_at"`
	ReportAgeMS int64   `json:"report_age_ms"`
	LastCommit  *Time   `json:"last_commit"`
	Trouble     *string `json:"trouble"`
}

// Versions are those of the parts.
type Versions struct {
	Loginaudit string         `json:"loginaudit"`
	ClickHouse string         `json:"clickhouse"`
	NATS       *string        `json:"nats"`
	Schema     SchemaVersions `json:"schema"`
}

// SchemaVersions are the version that the database has and the one that the
// server needs.
type SchemaVersions struct {
	Database int64 `json:"database"`
	Program  int64 `json:"program"`
}

// Status asks for the state of the whole pipeline. It takes valid credentials
// and no right on any account.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return fetch[Status](ctx, c, question{what: "GET /status", path: []string{"status"}, accept: "application/json"})
}

// Codes asks for the two tables of codes.
func (c *Client) Codes(ctx context.Context) (Codes, error) {
	return fetch[Codes](ctx, c, question{what: "GET /codes", path: []string{"codes"}, accept: "application/json"})
}

package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
)

// maxMonths is how many partitions one block may touch: ClickHouse refuses
// more than 100, and would refuse them again at every repetition.
const maxMonths = 90

// insertSettings make an insert one synchronous block that feeds every view
// or fails. Block deduplication stays off: it can swallow rows after a crash,
// and repeated rows collapse anyway.
func insertSettings() clickhouse.Settings {
	return clickhouse.Settings{
		"async_insert":                     0,
		"deduplicate_insert":               "disable",
		"materialized_views_ignore_errors": 0,
	}
}

// Insert writes events durably: when it returns nil they, and every
// projection, survive a crash of the machine. After an error some of them may
// be there; insert all of them again. See Classify.
func (db *DB) Insert(ctx context.Context, events []event.Stored) error {
	for _, block := range cutByMonth(events) {
		if err := db.insertBlock(ctx, block); err != nil {
			return err
		}
	}
	return nil
}

// cutByMonth keeps the events of one block within maxMonths partitions.
func cutByMonth(events []event.Stored) [][]event.Stored {
	months := make(map[int]int)
	for i := range events {
		months[monthOf(&events[i])]++
	}
	if len(months) == 0 {
		return nil
	}
	if len(months) <= maxMonths {
		return [][]event.Stored{events}
	}
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b event.Stored) int { return monthOf(&a) - monthOf(&b) })
	var blocks [][]event.Stored
	start, distinct := 0, 1
	for i := 1; i < len(sorted); i++ {
		if monthOf(&sorted[i]) == monthOf(&sorted[i-1]) {
			continue
		}
		if distinct++; distinct > maxMonths {
			blocks, start, distinct = append(blocks, sorted[start:i]), i, 1
		}
	}
	return append(blocks, sorted[start:])
}

func monthOf(e *event.Stored) int {
	return e.OccurredAt.Year()*12 + int(e.OccurredAt.Month())
}

func (db *DB) insertBlock(ctx context.Context, events []event.Stored) (err error) {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(insertSettings()))
	columns := columnsOf(events)
	names := ""
	for i, c := range columns {
		if i > 0 {
			names += ", "
		}
		names += c.name
	}
	batch, err := db.conn.PrepareBatch(ctx, "INSERT INTO events ("+names+")")
	if err != nil {
		return fmt.Errorf("prepare insert: %w", withoutValues(err))
	}
	defer func() { err = errors.Join(err, closeBatch(batch)) }()
	for i, c := range columns {
		if err := batch.Column(i).Append(c.values); err != nil {
			return fmt.Errorf("append column %s: %w", c.name, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert events: %w", withoutValues(err))
	}
	return nil
}

// closeBatch gives the connection back when the batch was not sent.
func closeBatch(batch driver.Batch) error {
	if batch.IsSent() {
		return nil
	}
	return batch.Abort()
}

// column is one column of a block, in the form the driver takes.
type column struct {
	name   string
	values any
}

// gather makes a column's values from the rows.
func gather[T any](events []event.Stored, value func(*event.Stored) T) []T {
	values := make([]T, len(events))
	for i := range events {
		values[i] = value(&events[i])
	}
	return values
}

func columnsOf(events []event.Stored) []column {
	text := func(name string, value func(*event.Stored) string) column {
		return column{name, gather(events, value)}
	}
	return []column{
		text("account", func(e *event.Stored) string { return e.Account }),
		{"occurred_at", gather(events, func(e *event.Stored) time.Time { return e.OccurredAt })},
		{"rank", gather(events, func(e *event.Stored) uint8 { return e.Status.Rank() })},
		{"content_hash", gather(events, func(e *event.Stored) []byte { return e.Hash[:] })},
		text("id", func(e *event.Stored) string { return e.ID }),
		text("username", func(e *event.Stored) string { return e.Username }),
		{"entry", gather(events, func(e *event.Stored) uint8 { return uint8(e.Entry) })},
		{"status", gather(events, func(e *event.Stored) uint8 { return uint8(e.Status) })},
		text("session_id", func(e *event.Stored) string { return e.SessionID }),
		{"ip", gather(events, addressOf)},
		text("user_agent", func(e *event.Stored) string { return e.UserAgent }),
		text("service", func(e *event.Stored) string { return e.Service }),
		text("mfa_method", func(e *event.Stored) string { return string(e.MFAMethod) }),
		text("device_id", func(e *event.Stored) string { return e.DeviceID }),
		text("request_id", func(e *event.Stored) string { return e.RequestID }),
		text("reason", func(e *event.Stored) string { return e.Reason }),
		{"attributes", gather(events, attributesOf)},
		text("raw", func(e *event.Stored) string { return string(e.Raw) }),
		{"received_at", gather(events, func(e *event.Stored) time.Time { return e.ReceivedAt })},
		// The greatest version survives: the earliest in the stream.
		{"version", gather(events, func(e *event.Stored) uint64 { return ^e.StreamSeq })},
	}
}

func addressOf(e *event.Stored) *netip.Addr {
	if !e.IP.IsValid() {
		return nil
	}
	return &e.IP
}

func attributesOf(e *event.Stored) map[string]string {
	if e.Attributes == nil {
		return map[string]string{}
	}
	return e.Attributes
}

package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
)

// insertSettings make an insert one synchronous block that feeds every view
// or fails. Block deduplication stays off: it can swallow rows after a crash,
// and repeated rows collapse anyway.
func insertSettings() clickhouse.Settings {
	return clickhouse.Settings{
		"async_insert":                     "0",
		"deduplicate_insert":               "disable",
		"materialized_views_ignore_errors": "0",
	}
}

// blockSettings are insertSettings in the form that the writer takes.
func blockSettings() []ch.Setting {
	var all []ch.Setting
	for key, value := range insertSettings() {
		all = append(all, ch.Setting{Key: key, Value: fmt.Sprint(value), Important: true})
	}
	return all
}

// Insert writes events durably; see [DB.InsertBlock].
func (db *DB) Insert(ctx context.Context, events []event.Stored) error {
	b := NewBlock()
	for i := range events {
		b.Add(&events[i])
	}
	return db.InsertBlock(ctx, b, 0, b.Rows())
}

// InsertBlock writes the rows [from, to) of a block durably: when it returns nil
// they, and every projection, survive a crash of the machine. After an error
// some of them may be there; insert all of them again. See [Classify].
func (db *DB) InsertBlock(ctx context.Context, b *Block, from, to int) error {
	return db.InsertParts(ctx, b, from, to, context.WithCancel)
}

// InsertParts is InsertBlock with a time for each of the inserts that it takes,
// one after the other: rows of many months do not fit into one. begin gives the
// context of each, of ctx, just before it begins; it is released at its end. So a
// bound of one insert holds for each of them, however many there are.
func (db *DB) InsertParts(
	ctx context.Context, b *Block, from, to int, begin func(context.Context) (context.Context, context.CancelFunc),
) error {
	for _, part := range b.parts(from, to) {
		if err := db.insertPart(ctx, part, begin); err != nil {
			return fmt.Errorf("insert events: %w", withoutValues(err))
		}
	}
	return nil
}

func (db *DB) insertPart(ctx context.Context, part *Block, begin func(context.Context) (context.Context, context.CancelFunc)) error {
	ctx, release := begin(ctx)
	defer release()
	return db.writer.do(ctx, ch.Query{Body: insertStatement(part), Input: part.input, Settings: blockSettings()})
}

func insertStatement(b *Block) string {
	names := make([]string, len(b.input))
	for i, c := range b.input {
		names[i] = c.Name
	}
	return "INSERT INTO events (" + strings.Join(names, ", ") + ") VALUES"
}

// closeBatch gives the connection back when the batch was not sent.
func closeBatch(batch driver.Batch) error {
	if batch.IsSent() {
		return nil
	}
	return batch.Abort()
}

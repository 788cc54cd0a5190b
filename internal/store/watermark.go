package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// SetWatermark records what is proved of a stream: everything up to seq, and
// everything that it received before at, is inserted or parked. created tells
// one incarnation of the stream from another, whose sequences begin anew. A zero
// at claims no moment.
func (db *DB) SetWatermark(ctx context.Context, stream string, created time.Time, seq uint64, at time.Time) (err error) {
	if at.IsZero() {
		at = time.UnixMicro(0) // the year 1 is no time of the column
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(insertSettings()))
	batch, err := db.conn.PrepareBatch(ctx, "INSERT INTO watermarks (stream, stream_created, seq, time)")
	if err != nil {
		return fmt.Errorf("prepare watermark: %w", withoutValues(err))
	}
	defer func() { err = errors.Join(err, closeBatch(batch)) }()
	if err := batch.Append(stream, created.UTC(), seq, at.UTC()); err != nil {
		return fmt.Errorf("append watermark: %w", err)
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert watermark: %w", withoutValues(err))
	}
	return nil
}

// Watermark tells how complete an answer is that is read after this returns.
func (db *DB) Watermark(ctx context.Context) (query.Watermark, error) {
	var mark query.Watermark
	s := statement{
		name: "watermark",
		sql: `
			SELECT max(seq) AS seq, max(time) AS time
			FROM watermarks
			WHERE stream = {stream:String}
			GROUP BY stream_created
			ORDER BY stream_created DESC
			LIMIT 1`,
		params: params{"stream": db.stream},
	}
	err := db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		var at time.Time
		if err := rows.Scan(&mark.StreamSeq, &at); err != nil {
			return err
		}
		if mark.Time = moment(at); mark.Time != nil {
			mark.LagMS = max(time.Since(at).Milliseconds(), 0)
		}
		return nil
	})
	return mark, err
}

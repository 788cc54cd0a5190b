package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// probeTimeout bounds the look whether ClickHouse answers anything.
const probeTimeout = time.Second

// errNoAnswer is told instead of the end of a context, which others would take
// for a question that is too heavy.
var errNoAnswer = errors.New("no answer in time")

// selectError says what a failed SELECT means to the one who asked. A question
// that met its deadline is too heavy only where ClickHouse answers others
// meanwhile: nobody should narrow a question because the database hangs.
func (db *DB) selectError(ctx context.Context, doing string, err error) error {
	// The connection has the deadline of the question, and may tell of it first.
	deadline, bounded := ctx.Deadline()
	if !bounded || time.Now().Before(deadline) || errors.Is(err, context.Canceled) {
		return readError(doing, err)
	}
	if db.answers(ctx) {
		return fmt.Errorf("%s: %w: %w", doing, query.ErrTooHeavy, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s: %w: %w", doing, query.ErrUnavailable, errNoAnswer)
}

// answers tells whether ClickHouse answers now. The context may have ended.
func (db *DB) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	return db.Ping(ctx) == nil
}

// Ping reports whether ClickHouse answers. It ends with its context, which the
// driver does not heed while it signs in on a new connection: that ends by
// itself, dialTimeout later at most.
func (db *DB) Ping(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- db.conn.Ping(ctx) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("ping clickhouse: %w: %w", query.ErrUnavailable, errNoAnswer)
	}
	return readError("ping clickhouse", err)
}

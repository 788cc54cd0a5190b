package store

import (
	"context"
	"fmt"
)

// Tables lists the tables that hold events or projections of them.
func Tables() []string {
	return []string{"events", "events_by_user", "event_ids", "user_latest", "attempts", "accounts"}
}

// Optimize merges the parts of a table, which collapses the repeats in it. No
// answer depends on it. It needs the schema's owner.
func (db *DB) Optimize(ctx context.Context, table string) error {
	if err := db.conn.Exec(ctx, "OPTIMIZE TABLE "+quoteName(table)+" FINAL"); err != nil {
		return fmt.Errorf("optimize %s: %w", table, err)
	}
	return nil
}

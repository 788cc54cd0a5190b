package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// age merges what the schema makes ClickHouse merge as time goes by, which a load of
// minutes leaves undone: of a table with min_age_to_force_merge_seconds the
// partitions that are over, or the whole where it is not for whole partitions only.
// Nothing else is merged by force: what is measured is what the server keeps by
// itself.
func age(ctx context.Context, conn driver.Conn, until time.Time) error {
	rows, err := conn.Query(ctx, `
		SELECT table, partition_id, any(t.partition_key) FROM system.parts AS p
		INNER JOIN system.tables AS t ON t.database = p.database AND t.name = p.table
		WHERE p.active AND p.database = {database:String} AND t.engine_full LIKE '%min_age_to_force_merge_seconds%'
		GROUP BY table, partition_id HAVING count() > 1 ORDER BY table, partition_id`, clickhouse.Named("database", database))
	if err != nil {
		return fmt.Errorf("what is to be merged: %w", err)
	}
	defer rows.Close()
	var statements []string
	for rows.Next() {
		var table, id, key string
		if err := rows.Scan(&table, &id, &key); err != nil {
			return err
		}
		if key == "" || isOver(id, until) {
			statements = append(statements, fmt.Sprintf("OPTIMIZE TABLE %s.%s PARTITION ID '%s' FINAL", database, table, id))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, statement := range statements {
		if err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// isOver tells whether a partition of a year or a month is not that of the moment,
// nor of a day before it.
func isOver(id string, until time.Time) bool {
	layout := "200601"[:len(id)]
	return id < until.AddDate(0, 0, -1).Format(layout)
}

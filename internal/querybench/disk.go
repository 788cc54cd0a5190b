package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// disk is what the tables take, per event.
type disk struct {
	Events uint64  `json:"events"`
	Total  float64 `json:"bytes_an_event"`
	Tables []table `json:"tables"`
}

// table is one table's part of it.
type table struct {
	Name    string   `json:"name"`
	Parts   uint64   `json:"parts"`
	Rows    uint64   `json:"rows"`
	Bytes   float64  `json:"bytes_an_event"`
	Columns []column `json:"columns,omitempty"`
}

// column is one column's part of it, as far as the table's parts keep their
// columns apart: small parts do not.
type column struct {
	Name  string  `json:"name"`
	Bytes float64 `json:"bytes_a_row"`
}

// measureDisk asks for the active parts of all tables.
func (b *bench) measureDisk(ctx context.Context) (d disk, err error) {
	if err := b.server.owner.QueryRow(ctx, "SELECT count() FROM "+database+".events").Scan(&d.Events); err != nil {
		return d, fmt.Errorf("count events: %w", err)
	}
	rows, err := b.server.owner.Query(ctx, `SELECT table, count(), sum(rows), sum(bytes_on_disk) AS bytes FROM system.parts
		WHERE database = {database:String} AND active GROUP BY table HAVING bytes > 100000 ORDER BY bytes DESC`, clickhouse.Named("database", database))
	if err != nil {
		return d, fmt.Errorf("read parts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var t table
		var bytes uint64
		if err := rows.Scan(&t.Name, &t.Parts, &t.Rows, &bytes); err != nil {
			return d, fmt.Errorf("read parts: %w", err)
		}
		t.Bytes = float64(bytes) / float64(d.Events)
		d.Total += t.Bytes
		d.Tables = append(d.Tables, t)
	}
	for i := range d.Tables {
		if err == nil {
			err = b.measureColumns(ctx, &d.Tables[i])
		}
	}
	return d, errors.Join(err, rows.Err())
}

func (b *bench) measureColumns(ctx context.Context, t *table) error {
	rows, err := b.server.owner.Query(ctx, `SELECT column, sum(column_data_compressed_bytes) / sum(rows) AS bytes FROM system.parts_columns
		WHERE database = {database:String} AND table = {table:String} AND active AND part_type = 'Wide'
		GROUP BY column ORDER BY bytes DESC`, clickhouse.Named("database", database), clickhouse.Named("table", t.Name))
	if err != nil {
		return fmt.Errorf("read columns: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.Name, &c.Bytes); err != nil {
			return fmt.Errorf("read columns: %w", err)
		}
		t.Columns = append(t.Columns, c)
	}
	return rows.Err()
}

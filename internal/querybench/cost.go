package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// cost is what ClickHouse did for one answer.
type cost struct {
	Statements float64 `json:"statements"`
	// StatementsTook is their time one after the other, ClickHouseCPU the time on
	// the processor, both in milliseconds.
	StatementsTook float64     `json:"statements_ms"`
	ClickHouseCPU  float64     `json:"clickhouse_cpu_ms"`
	ReadRows       float64     `json:"read_rows"`
	ReadBytes      float64     `json:"read_bytes"`
	Memory         float64     `json:"memory_bytes"` // the most of one statement
	Each           []statement `json:"each,omitempty"`
}

// statement is one kind of statement of a question, per answer.
type statement struct {
	Text      string  `json:"text"` // its beginning
	Times     float64 `json:"times"`
	Took      float64 `json:"took_ms"`
	CPU       float64 `json:"cpu_ms"`
	ReadRows  float64 `json:"read_rows"`
	ReadBytes float64 `json:"read_bytes"`
}

// logged is how long the server may take to write its log.
const logged = 1500 * time.Millisecond

// costs fills in what the answers cost ClickHouse, from its log of statements. The
// questions were asked one after the other, so that a statement belongs to the
// question in whose time it began.
func (b *bench) costs(ctx context.Context, results []result) error {
	if err := pause(ctx, logged); err != nil {
		return err
	}
	for i := range results {
		if results[i].N == 0 {
			continue
		}
		if err := b.costOf(ctx, &results[i]); err != nil {
			return fmt.Errorf("read the log of %s: %w", results[i].Name, err)
		}
	}
	return nil
}

func (b *bench) costOf(ctx context.Context, r *result) error {
	rows, err := b.server.owner.Query(ctx, `
		SELECT substring(replaceRegexpAll(any(query), '\\s+', ' '), 1, 160), count(),
		       sum(dateDiff('microsecond', query_start_time_microseconds, event_time_microseconds)),
		       sum(ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds']),
		       sum(read_rows), sum(read_bytes), max(memory_usage)
		FROM system.query_log
		WHERE type != 'QueryStart' AND user = 'reader' AND is_initial_query
		  AND query_start_time_microseconds >= fromUnixTimestamp64Micro({from:Int64})
		  AND query_start_time_microseconds < fromUnixTimestamp64Micro({until:Int64})
		GROUP BY normalized_query_hash ORDER BY min(query_start_time_microseconds)`,
		clickhouse.Named("from", r.began.UnixMicro()), clickhouse.Named("until", r.ended.UnixMicro()))
	if err != nil {
		return err
	}
	defer rows.Close()
	n := float64(r.N)
	for rows.Next() {
		var s statement
		var times, cpu, readRows, readBytes, memory uint64
		var took int64
		if err := rows.Scan(&s.Text, &times, &took, &cpu, &readRows, &readBytes, &memory); err != nil {
			return err
		}
		s.Times, s.Took, s.CPU = float64(times)/n, float64(took)/1000/n, float64(cpu)/1000/n
		s.ReadRows, s.ReadBytes = float64(readRows)/n, float64(readBytes)/n
		r.Statements += s.Times
		r.StatementsTook += s.Took
		r.ClickHouseCPU += s.CPU
		r.ReadRows += s.ReadRows
		r.ReadBytes += s.ReadBytes
		r.Memory = max(r.Memory, float64(memory))
		r.Each = append(r.Each, s)
	}
	return rows.Err()
}

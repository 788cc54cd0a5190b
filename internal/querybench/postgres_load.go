package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// pgLoaded is how PostgreSQL took the set.
type pgLoaded struct {
	Copied   time.Duration `json:"copied_ns"`
	Indexed  time.Duration `json:"indexed_ns"`
	Folded   time.Duration `json:"folded_ns"` // users and attempts
	Analyzed time.Duration `json:"analyzed_ns"`
	Events   int64         `json:"events"`
	// Relations are the bytes on disk an event of each table, indexes, and what they
	// are in all.
	Relations map[string]float64 `json:"bytes_an_event"`
	Total     float64            `json:"total_bytes_an_event"`
}

func (l pgLoaded) took() time.Duration { return l.Copied + l.Indexed + l.Folded + l.Analyzed }

// loadPostgres copies the events that serve has to PostgreSQL.
func (b *bench) loadPostgres(ctx context.Context, p *postgres) (l pgLoaded, err error) {
	file := filepath.Join(b.options.dir, "events.copy")
	defer func() {
		if removed := os.Remove(file); !errors.Is(removed, os.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}()
	names := filepath.Join(p.dir, "names.copy")
	accounts := filepath.Join(p.dir, "accounts.copy")
	users, err := b.writeUsers(accounts, names)
	if err != nil {
		return l, err
	}
	if err := b.writeEvents(ctx, file, users); err != nil {
		return l, fmt.Errorf("write events for COPY: %w", err)
	}
	for _, step := range []struct {
		name string
		took *time.Duration
		do   []pgRequest
	}{
		{"copied", &l.Copied, []pgRequest{
			{Op: "script", SQL: postgresTables},
			{Op: "copy", SQL: "COPY accounts FROM STDIN", File: accounts},
			{Op: "copy", SQL: "COPY names FROM STDIN", File: names},
			{Op: "copy", SQL: postgresCopy, File: file},
		}},
		{"indexed", &l.Indexed, []pgRequest{{Op: "script", SQL: postgresIndexes}}},
		{"users and attempts made", &l.Folded, []pgRequest{{Op: "script", SQL: postgresUsers}, {Op: "script", SQL: postgresAttempts}}},
		{"vacuumed and analyzed", &l.Analyzed, []pgRequest{{Op: "script", SQL: "VACUUM (FREEZE, ANALYZE)"}, {Op: "script", SQL: "CHECKPOINT"}}},
	} {
		for _, q := range step.do {
			r, err := p.do(q)
			if err != nil {
				return l, err
			}
			*step.took += r.Took
			if q.SQL == postgresCopy {
				l.Events = r.Rows
				if err := os.Remove(file); err != nil { // it is as large as the table
					return l, err
				}
			}
		}
		b.tell("PostgreSQL: %s in %s", step.name, step.took.Round(time.Second))
	}
	return l, l.measure(p)
}

// writeUsers writes the accounts and users, and gives the number of each user by
// account and name.
func (b *bench) writeUsers(accounts, names string) (map[[2]string]uint64, error) {
	users := make(map[[2]string]uint64, b.set.users())
	err := writeLines(accounts, func(w *bufio.Writer) {
		for a := range b.set.accounts() {
			fmt.Fprintf(w, "%d\t%s\n", a, accountName(a))
		}
	})
	return users, errors.Join(err, writeLines(names, func(w *bufio.Writer) {
		for u := range b.set.users() {
			account, name := b.set.name(u)
			users[[2]string{account, name}] = u
			fmt.Fprintf(w, "%d\t%d\t%s\n", u, b.set.accountOf(u), name)
		}
	}))
}

// writeEvents writes the events as COPY takes them, in the order of time.
func (b *bench) writeEvents(ctx context.Context, file string, users map[[2]string]uint64) error {
	var failed error
	err := writeLines(file, func(w *bufio.Writer) {
		for from := b.set.from; failed == nil && from.Before(b.set.until); from = from.Add(stretchLong) {
			failed = b.writeStretch(ctx, w, users, from)
		}
	})
	return errors.Join(err, failed)
}

// stretchLong is how much is sorted at once.
const stretchLong = 10 * dayLong

func (b *bench) writeStretch(ctx context.Context, w *bufio.Writer, users map[[2]string]uint64, from time.Time) error {
	rows, err := b.server.owner.Query(ctx, "SELECT account, username, "+postgresLine+" FROM "+database+`.events
		WHERE occurred_at >= fromUnixTimestamp64Micro({from:Int64}) AND occurred_at < fromUnixTimestamp64Micro({until:Int64}) ORDER BY occurred_at`,
		clickhouse.Named("from", from.UnixMicro()), clickhouse.Named("until", from.Add(stretchLong).UnixMicro()))
	if err != nil {
		return err
	}
	defer rows.Close()
	var number []byte
	for rows.Next() {
		var who [2]string
		var line string
		if err := rows.Scan(&who[0], &who[1], &line); err != nil {
			return err
		}
		user, ok := users[who]
		if !ok {
			return fmt.Errorf("%s of %s is no user of the set", who[1], who[0])
		}
		number = append(strconv.AppendInt(number[:0], int64(b.set.accountOf(user)), 10), '\t')
		number = append(strconv.AppendUint(number, user, 10), '\t')
		_, _ = w.Write(number) // the error stays, and Flush tells it
		_, _ = w.WriteString(line)
		_ = w.WriteByte('\n')
	}
	return rows.Err()
}

func writeLines(name string, write func(*bufio.Writer)) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(file, 1<<20)
	write(w)
	return errors.Join(w.Flush(), file.Close())
}

// measure asks for the sizes of all relations.
func (l *pgLoaded) measure(p *postgres) error {
	r, err := p.query(`SELECT relname || ' ' || pg_total_relation_size(oid) - CASE WHEN relkind = 'r' THEN pg_indexes_size(oid) ELSE 0 END
		FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')`)
	if err != nil {
		return err
	}
	l.Relations = make(map[string]float64)
	for _, line := range r.Keys {
		var name string
		var bytes float64
		if _, err := fmt.Sscan(line, &name, &bytes); err != nil {
			return fmt.Errorf("read size of %q: %w", line, err)
		}
		l.Relations[name] = bytes / float64(l.Events)
		l.Total += l.Relations[name]
	}
	return nil
}

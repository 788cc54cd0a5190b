package store

import (
	"context"
	_ "embed" // for the go:embed directive
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// madeSQL are the statements that make the tables and views as the migrations
// do, written with [madeJSON].
//
//go:embed testdata/schema.golden.sql
var madeSQL string

// restoring is a table that is there while projections are filled, with a row
// for each. While it is there no worker inserts, and whoever is killed in
// between has the next call of Restore go on.
const restoring = "restoring"

// RestoreConfig says how to restore a schema.
type RestoreConfig struct {
	// Refill has every projection filled, whether or not something was missing:
	// for who has made a view by hand.
	Refill bool
	// Settle is how long to wait, where something is missing, until every worker
	// has noticed: what one inserts meanwhile it then inserts again.
	Settle time.Duration
	// Drain is how long to wait for inserts into events that began before the views
	// were made; 0 is for 2 minutes. Then the error wraps [ErrInsertsUnderWay].
	Drain time.Duration
	// Tell is told each step when it is done, such as "made view attempts_view".
	Tell func(step string, took time.Duration)
}

// ErrNotRestorable is the error of a schema in which something else is wrong
// than that a view or a projection is missing.
var ErrNotRestorable = errors.New("only views and projections that are missing can be made again (" + remedies + ")")

// Restore makes the tables and views again that are missing, and fills every
// projection concerned from the events; it changes nothing when nothing is
// missing. It needs the schema's owner and the right version of the schema
// ([Migrate]). It may be interrupted and called again. What is there and is
// different it leaves alone: the error wraps [ErrNotRestorable] and says what.
func Restore(ctx context.Context, cfg Config, how RestoreConfig) (err error) {
	db, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	r := restorer{db: db, RestoreConfig: how}
	if err := r.restore(ctx); err != nil {
		return fmt.Errorf("restore schema: %w", err)
	}
	return nil
}

type restorer struct {
	db *DB
	RestoreConfig
}

func (r *restorer) restore(ctx context.Context) error {
	want, err := madeObjects()
	if err != nil {
		return err
	}
	err = r.db.CheckTables(ctx)
	var differ *DifferenceError
	if err != nil && !errors.As(err, &differ) {
		return err
	}
	if differ == nil && !r.Refill {
		return nil
	}
	var missing []object
	if differ != nil {
		if missing, err = restorable(want, differ.Differences); err != nil {
			return err
		}
		if err := r.begin(ctx, want, missing); err != nil {
			return err
		}
	}
	if err := r.make(ctx, missing); err != nil {
		return err
	}
	if err := r.drain(ctx); err != nil {
		return err
	}
	if err := r.fillAll(ctx, want); err != nil {
		return err
	}
	return r.exec(ctx, "DROP TABLE IF EXISTS "+restoring+" SYNC")
}

// restorable are the objects that are missing, if nothing else is wrong.
func restorable(want []object, differences []Difference) (missing []object, err error) {
	for _, d := range differences {
		switch {
		case d.Object == "table events":
			return nil, fmt.Errorf("%s: %w", d, ErrNotRestorable)
		case d.Missing:
			missing = append(missing, find(want, d))
		case d.Object != "table "+restoring:
			return nil, fmt.Errorf("%s: %w", d, ErrNotRestorable)
		}
	}
	return missing, nil
}

// begin notes which projections are to be filled, so that it is not forgotten,
// and waits until workers have seen that.
func (r *restorer) begin(ctx context.Context, want, missing []object) error {
	err := r.exec(ctx, "CREATE TABLE IF NOT EXISTS "+restoring+" (name String) ENGINE = MergeTree ORDER BY name SETTINGS fsync_after_insert = 1")
	if err != nil {
		return err
	}
	for _, o := range missing {
		name := o.Name
		if o.isView() {
			name = o.Target
		}
		if viewInto(want, name) == nil {
			continue // no projection
		}
		if err := r.db.insertRow(ctx, "INSERT INTO "+restoring+" (name)", name); err != nil {
			return err
		}
	}
	timer := time.NewTimer(r.Settle)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func viewInto(objects []object, table string) *object {
	at := slices.IndexFunc(objects, func(o object) bool { return o.isView() && o.Target == table })
	if at < 0 {
		return nil
	}
	return &objects[at]
}

// make makes tables first: views need them.
func (r *restorer) make(ctx context.Context, missing []object) error {
	for _, views := range []bool{false, true} {
		for _, o := range missing {
			if o.isView() != views {
				continue
			}
			began := time.Now()
			if err := r.exec(ctx, made(o.Name)); err != nil {
				return err
			}
			r.Tell("made "+o.String(), time.Since(began))
		}
	}
	return nil
}

// made is the statement that makes a table or view. The owner of the golden
// schema may have another name here.
func made(name string) string {
	for sql := range strings.SplitSeq(madeSQL, ";\n\n") {
		if strings.HasPrefix(sql, "CREATE TABLE "+name+"\n") || strings.HasPrefix(sql, "CREATE MATERIALIZED VIEW "+name+" TO ") {
			return strings.Replace(sql, "\nDEFINER = owner ", "\nDEFINER = CURRENT_USER ", 1)
		}
	}
	return ""
}

// fillAll fills the projections that are noted, or all. It looks at the views of
// the migrations only: an operator's own views are none of its business, and what
// they write may not bear to be written twice.
func (r *restorer) fillAll(ctx context.Context, want []object) error {
	have, err := r.db.objects(ctx)
	if err != nil {
		return err
	}
	noted, err := r.noted(ctx, have)
	if err != nil {
		return err
	}
	for _, view := range want {
		if !view.isView() || !r.Refill && !slices.Contains(noted, view.Target) {
			continue
		}
		at := slices.IndexFunc(have, func(o object) bool { return o.Name == view.Name })
		if at < 0 {
			return fmt.Errorf("fill table %s: %s is missing again", view.Target, view)
		}
		view.outputs = have[at].outputs
		began := time.Now()
		if err := r.fill(ctx, view); err != nil {
			return err
		}
		r.Tell("filled table "+view.Target+" from the events", time.Since(began))
	}
	return nil
}

func (r *restorer) noted(ctx context.Context, have []object) (names []string, err error) {
	if !slices.ContainsFunc(have, func(o object) bool { return o.Name == restoring }) {
		return nil, nil
	}
	s := statement{name: "what is to be filled", sql: "SELECT name FROM " + restoring}
	err = r.db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		names = append(names, "")
		return rows.Scan(&names[len(names)-1])
	})
	return names, err
}

// fill inserts what the view makes of all events. What is there already
// collapses. It takes little memory, for a server of any size.
func (r *restorer) fill(ctx context.Context, view object) error {
	names := make([]string, len(view.outputs))
	for i, name := range view.outputs {
		names[i] = quoteName(name)
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"max_threads": 2, "max_insert_threads": 1,
		"min_insert_block_size_rows": 200_000, "min_insert_block_size_bytes": 64 << 20,
	}))
	return r.exec(ctx, "INSERT INTO "+quoteName(view.Target)+" ("+strings.Join(names, ", ")+") "+view.Select)
}

func (r *restorer) exec(ctx context.Context, sql string) error {
	if err := r.db.conn.Exec(ctx, sql); err != nil {
		verb, _, _ := strings.Cut(sql, "(")
		return fmt.Errorf("%s: %w", strings.TrimSpace(verb), withoutValues(err))
	}
	return nil
}

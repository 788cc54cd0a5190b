package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
)

// sides are what one question took: PostgreSQL by its driver, ClickHouse by the
// store, and the whole way over HTTP, in milliseconds.
type sides struct {
	Name     string  `json:"name"`
	N        int     `json:"n"`
	Postgres timing  `json:"postgres"`
	Store    timing  `json:"store"`
	HTTP     timing  `json:"http"`
	Rows     float64 `json:"rows"`
	Trouble  string  `json:"trouble,omitempty"`
}

type timing struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

func timingOf(took []time.Duration) timing {
	slices.Sort(took)
	return timing{ms(percentile(took, 50)), ms(percentile(took, 99))}
}

// comparison is all that a run side by side has measured.
type comparison struct {
	Machine  string   `json:"machine"`
	Loaded   manifest `json:"loaded"`
	Disk     disk     `json:"disk"`
	Postgres pgLoaded `json:"postgres"`
	Sides    []sides  `json:"questions"`
	Export   exported `json:"export"`
	// PgExport are rows a second of the same events by PostgreSQL's driver.
	PgExport float64 `json:"postgres_rows_a_second"`
	// PgInsert are events a second that PostgreSQL takes in batches of 1,000.
	PgInsert float64 `json:"postgres_inserted_a_second"`
}

// sideBySide asks serve and PostgreSQL the same about the same events.
func (b *bench) sideBySide(ctx context.Context, r report) (err error) {
	p, err := startPostgres(ctx, filepath.Join(b.options.dir, "postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	c := comparison{Machine: r.Machine, Loaded: r.Loaded, Disk: r.Disk}
	if c.Postgres, err = b.loadPostgres(ctx, p); err != nil {
		return err
	}
	a := newAsker(b.set, b.server, b.options.seed)
	if err := a.sampleEvents(ctx, min(max(b.options.n, leastSamples), mostSamples)); err != nil {
		return err
	}
	if err := a.findPlaces(ctx, p); err != nil {
		return err
	}
	password, err := b.server.password(engine.RoleReader)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Config{Addr: b.server.app.ClickHouse, Database: database, Username: string(engine.RoleReader), Password: password})
	if err != nil {
		return err
	}
	defer db.Close()
	for _, q := range pairs() {
		if b.options.chosen.MatchString(q.name) {
			b.progress("%s", q.name)
			c.Sides = append(c.Sides, b.measurePair(ctx, a, both{p, db}, q))
		}
	}
	if b.options.exports != "" {
		b.progress("export")
		c.Export = b.export(ctx, a, "ndjson")
		if c.PgExport, err = pgExport(p); err != nil {
			return err
		}
	}
	b.progress("")
	// The last, because it changes the tables.
	if c.PgInsert, err = pgInserts(p); err != nil {
		return err
	}
	c.show(os.Stdout)
	return c.write(b.options.json)
}

// both are what is asked besides serve.
type both struct {
	postgres *postgres
	store    *store.DB
}

// measurePair asks one question in turn.
func (b *bench) measurePair(ctx context.Context, a *asker, other both, q pair) sides {
	s := sides{Name: q.name}
	var pg, st, web []time.Duration
	began, rows := time.Now(), 0
	for i := -b.waits.warmUps; i < b.options.n && (i < minN || time.Since(began) < b.options.within); i++ {
		path, sql, args := q.ask(a)
		got, err := a.get(ctx, path)
		if err == nil && got.status >= 400 && got.status != 404 {
			err = fmt.Errorf("status %d: %.200s", got.status, got.body)
		}
		if err != nil {
			s.Trouble = fmt.Sprintf("GET %s: %v", path, err)
			return s
		}
		asked := time.Now()
		if err := askStore(ctx, other.store, path); err != nil {
			s.Trouble = err.Error()
			return s
		}
		stored := time.Since(asked)
		answered, err := other.postgres.query(sql, append([]string{accountNumber(args[0])}, args[1:]...)...)
		if err != nil {
			s.Trouble = err.Error()
			return s
		}
		if ours := keysOf(got.body); !q.loose && !slices.Equal(ours, answered.Keys) {
			s.Trouble = fmt.Sprintf("the answers to %s differ: %d rows of ours, %d of PostgreSQL%s", path, len(ours), len(answered.Keys), firstDifference(ours, answered.Keys))
			return s
		}
		if i >= 0 {
			pg, st, web = append(pg, answered.Took), append(st, stored), append(web, got.took)
			rows += int(answered.Rows)
		}
	}
	s.N, s.Rows = len(pg), float64(rows)/float64(len(pg))
	s.Postgres, s.Store, s.HTTP = timingOf(pg), timingOf(st), timingOf(web)
	return s
}

func firstDifference(a, b []string) string {
	for i, key := range a {
		if i < len(b) && b[i] != key {
			return fmt.Sprintf("; row %d is %q and %q", i, key, b[i])
		}
	}
	return ""
}

// keysOf names the rows of an answer: by username, id or session.
func keysOf(body []byte) []string {
	var p struct {
		Username string
		Users    []struct{ Username string }
		Events   []struct{ ID string }
		Attempts []struct {
			SessionID *string `json:"session_id"`
		}
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return nil
	}
	var keys []string
	if p.Username != "" {
		keys = append(keys, p.Username)
	}
	for _, u := range p.Users {
		keys = append(keys, u.Username)
	}
	for _, e := range p.Events {
		keys = append(keys, e.ID)
	}
	for _, t := range p.Attempts {
		if t.SessionID == nil {
			keys = append(keys, "")
		} else {
			keys = append(keys, *t.SessionID)
		}
	}
	return keys
}

// findPlaces walks through the busiest user's history to page 1,000, or as far as
// it goes, and keeps some places on the way's end for both.
func (a *asker) findPlaces(ctx context.Context, p *postgres) error {
	account, _ := a.name(0)
	cursor, rows := "", 0
	for rows < deepRows {
		list, err := a.list(ctx, a.user(0)+"/events?limit=1000"+cursor)
		if err != nil {
			return err
		}
		if list.NextCursor == nil {
			break
		}
		rows += list.rows()
		cursor = "&cursor=" + url.QueryEscape(*list.NextCursor)
		var last sample
		if err := json.Unmarshal(list.Events[len(list.Events)-1], &last); err != nil {
			return err
		}
		r, err := p.query(`SELECT occurred_at::text || '|' || rank || '|' || content_hash FROM events WHERE account_id = `+pgAccount+` AND id = $2::uuid`, accountNumber(account), last.ID)
		if err != nil {
			return err
		}
		if len(r.Keys) != 1 {
			return fmt.Errorf("PostgreSQL has %d events %s", len(r.Keys), last.ID)
		}
		parts := strings.Split(r.Keys[0], "|")
		if a.places = append(a.places, place{a.user(0) + "/events?limit=100" + cursor, parts[0], parts[1], parts[2]}); len(a.places) > 10 {
			a.places = a.places[1:]
		}
	}
	if len(a.places) == 0 {
		return errors.New("the busiest user has too few events")
	}
	return nil
}

// pgExport reads all events of the largest account, in order, and gives the rows a
// second.
func pgExport(p *postgres) (float64, error) {
	r, err := p.do(pgRequest{Op: "query", Args: []string{accountNumber(accountName(hugeAccount))}, SQL: "SELECT " + pgEvent + ` FROM events e JOIN users u USING (user_id)
		WHERE e.account_id = ` + pgAccount + ` ORDER BY e.occurred_at DESC, e.rank DESC, e.content_hash DESC`})
	return float64(r.Rows) / r.Took.Seconds(), err
}

func (c comparison) show(out io.Writer) {
	fmt.Fprintf(out, "%s; %d events, nothing arrives meanwhile\n\n", c.Machine, c.Loaded.Rows)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "question\tPostgreSQL p50\tp99\tstore p50\tp99\tHTTP p50\tp99\tn\trows\t")
	for _, s := range c.Sides {
		if s.Trouble != "" {
			fmt.Fprintf(w, "%s\t\t\t\t\t\t\t\t%s\t\n", s.Name, s.Trouble)
			continue
		}
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t%.0f\t\n", s.Name, s.Postgres.P50, s.Postgres.P99, s.Store.P50, s.Store.P99, s.HTTP.P50, s.HTTP.P99, s.N, s.Rows)
	}
	w.Flush()
	fmt.Fprintf(out, "\nexport of the largest account: PostgreSQL %.0f rows/s by its driver, NDJSON over HTTP %.0f events/s %s\n", c.PgExport, c.Export.Rate, c.Export.Trouble)
	fmt.Fprintf(out, "PostgreSQL inserts %.0f events/s in batches of %d, with users and attempts kept up to date\n", c.PgInsert, insertBatch)
	fmt.Fprintf(out, "load: ClickHouse %s and %s until merges ended; PostgreSQL %s (copy %s, indexes %s, users and attempts %s, vacuum and analyze %s)\n\n",
		c.Loaded.Took.Round(time.Second), c.Loaded.Settled.Round(time.Second), c.Postgres.took().Round(time.Second), c.Postgres.Copied.Round(time.Second),
		c.Postgres.Indexed.Round(time.Second), c.Postgres.Folded.Round(time.Second), c.Postgres.Analyzed.Round(time.Second))
	c.Disk.show(out)
	fmt.Fprintf(out, "\nPostgreSQL: %.1f bytes on disk an event\n", c.Postgres.Total)
	var names []string
	for name := range c.Postgres.Relations {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(1000 * (c.Postgres.Relations[b] - c.Postgres.Relations[a])) })
	for _, name := range names {
		fmt.Fprintf(out, "%s %.1f, ", name, c.Postgres.Relations[name])
	}
	fmt.Fprintln(out)
}

// write keeps the comparison; no name keeps nothing.
func (c comparison) write(name string) error {
	if name == "" {
		return nil
	}
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644) //nolint:gosec // figures, for everybody
}

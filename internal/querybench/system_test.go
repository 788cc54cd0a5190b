package main

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
)

// loadedEvents is the size of the set of the tests: the account of 1,000 users has
// them all.
const loadedEvents = 20_000

// startSystem loads a small set and starts serve on it.
func startSystem(t *testing.T) *bench {
	t.Helper()
	o, err := parse([]string{"-dir", t.TempDir(), "-events", fmt.Sprint(loadedEvents), "-n", "1", "-rate", "200"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: o, waits: waits{quiet: time.Millisecond, arrive: time.Second}}
	if err := b.ensureLoaded(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.server, err = b.serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.server.close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(b.options.dir, "serve.log"))
			t.Logf("serve wrote:\n%.4000s", log)
		}
	})
	return b
}

// The set is loaded once: what it holds, and what can be asked about it.
func TestSmallSet(t *testing.T) {
	b := startSystem(t)
	for _, c := range []struct {
		name  string
		holds func(*testing.T, *bench)
	}{
		{"has the events that were asked for, of every user and status", everybodyIsThere},
		{"has users as its model says", usersAreThoseOfTheModel},
		{"has bodies that say what the columns say", bodiesAreTrue},
		{"has the same events when it is loaded again", loadingAgainAddsNothing},
		{"is merged where it is over", whatIsOverIsMerged},
		{"is used by the next run, and not by another", nextRunUsesIt},
		{"answers every question while events arrive", everyQuestionIsAnswered},
		{"tells what it takes on disk", diskIsTold},
		{"asks the store alone what it asks PostgreSQL", storeIsAskedAlone},
	} {
		t.Run(c.name, func(t *testing.T) { c.holds(t, b) })
	}
}

// rows scans every row of a statement.
func rows(t *testing.T, b *bench, sql string, scan func(driver.Rows) error) {
	t.Helper()
	r, err := b.server.owner.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for r.Next() {
		if err := scan(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
}

// one is the only number that a statement answers.
func one(t *testing.T, b *bench, sql string) (n uint64) {
	t.Helper()
	rows(t, b, sql, func(r driver.Rows) error { return r.Scan(&n) })
	return n
}

func everybodyIsThere(t *testing.T, b *bench) {
	planned := b.set.events()
	n := one(t, b, "SELECT count() FROM events")
	if n != b.loaded.Rows || n > planned || n < planned-100 || planned > loadedEvents || planned < loadedEvents-200 {
		t.Errorf("%d events, %d planned, %d asked for", n, planned, loadedEvents)
	}
	for _, column := range []string{"content_hash", "id"} {
		if distinct := one(t, b, "SELECT uniqExact("+column+") FROM events"); distinct != n {
			t.Errorf("%s: %d values in %d events", column, distinct, n)
		}
	}
	if users := one(t, b, "SELECT uniqExact(account, username) FROM user_latest"); users != b.set.users() {
		t.Errorf("%d users, want %d", users, b.set.users())
	}
	seen := map[uint8]bool{}
	rows(t, b, "SELECT DISTINCT status FROM events", func(r driver.Rows) error {
		var s uint8
		err := r.Scan(&s)
		seen[s] = true
		return err
	})
	for _, s := range event.Statuses() {
		if !seen[uint8(s)] && s != 3 { // an empty company names no account
			t.Errorf("no event has status %d", s)
		}
	}
	if outside := one(t, b, fmt.Sprintf("SELECT countIf(occurred_at < fromUnixTimestamp64Micro(%d) OR occurred_at >= fromUnixTimestamp64Micro(%d)) FROM events",
		b.set.from.UnixMicro(), b.set.until.UnixMicro())); outside != 0 {
		t.Errorf("%d events lie outside of the three years", outside)
	}
}

func usersAreThoseOfTheModel(t *testing.T, b *bench) {
	want := map[string]int{}
	for u := range b.set.users() {
		account, name := b.set.name(u)
		want[account+"/"+name]++ // the first visit
	}
	frames, all := frame(), allSteps()
	for session := range b.set.frames * uint64(all.sessions) {
		user, steps := b.set.visitor(session), frames[session%uint64(all.sessions)]
		if steps[0].job && b.set.draw(session, drawJob)%8 == 0 {
			busiest := b.set.draw(session, drawLot)%sharesInAll < b.set.heavyShare
			if a := b.set.accountOf(user); !busiest && b.set.size(a) > jobs {
				user = b.set.starts[a] + jobs
			}
		}
		account, name := b.set.name(user)
		want[account+"/"+name] += len(steps)
	}
	got, differ := map[string]int{}, 0
	rows(t, b, "SELECT account, username, count() FROM events GROUP BY account, username", func(r driver.Rows) error {
		var account, name string
		var n uint64
		err := r.Scan(&account, &name, &n)
		got[account+"/"+name] = int(n)
		return err
	})
	for name, n := range want {
		// The last sessions may be cut by the end of the set.
		if got[name] > n || got[name] < n-10 {
			if differ++; differ < 5 {
				t.Errorf("%s has %d events, the model says %d", name, got[name], n)
			}
		}
	}
	if len(got) != len(want) || differ > 0 {
		t.Errorf("%d users, %d in the model; %d differ", len(got), len(want), differ)
	}
}

func bodiesAreTrue(t *testing.T, b *bench) {
	n := 0
	rows(t, b, `SELECT account, id, username, occurred_at, rank, entry, status, session_id, toString(ip), user_agent, service,
		mfa_method, device_id, request_id, reason, attributes, raw, received_at, ingested_at FROM events ORDER BY content_hash LIMIT 5000`, func(r driver.Rows) error {
		var e event.Event
		var rank, entry, status uint8
		var ip *string
		var mfa, raw string
		var received, ingested time.Time
		if err := r.Scan(&e.Account, &e.ID, &e.Username, &e.OccurredAt, &rank, &entry, &status, &e.SessionID, &ip, &e.UserAgent, &e.Service,
			&mfa, &e.DeviceID, &e.RequestID, &e.Reason, &e.Attributes, &raw, &received, &ingested); err != nil {
			return err
		}
		e.Entry, e.Status, e.MFAMethod = event.Entry(entry), event.Status(status), event.MFAMethod(mfa)
		addr, err := netip.ParseAddr(*ip)
		e.IP = addr.Unmap()
		if err != nil {
			return err
		}
		body, _, err := event.Decode([]byte(raw))
		if err != nil {
			return fmt.Errorf("%w: %s", err, raw)
		}
		e.Unknown = body.Unknown
		if len(e.Attributes) == 0 {
			e.Attributes = nil
		}
		// The canonical form of the columns is the body, byte for byte.
		if canonical, err := event.Encode(e); err != nil || string(canonical) != raw {
			return fmt.Errorf("the columns say %s, the body %s: %w", canonical, raw, err)
		}
		if rank != e.Status.Rank() || received.Before(e.OccurredAt) || ingested.Before(received) {
			return fmt.Errorf("rank %d, received %s, ingested %s: %s", rank, received, ingested, raw)
		}
		n++
		return nil
	})
	if n != 5000 {
		t.Errorf("%d bodies", n)
	}
	if unknown := one(t, b, "SELECT countIf(raw LIKE '%risk_score%') FROM events"); unknown == 0 {
		t.Error("no body has a member of its own")
	}
}

func loadingAgainAddsNothing(t *testing.T, b *bench) {
	before := one(t, b, "SELECT count() FROM events FINAL")
	if err := b.fill(t.Context(), b.server.owner); err != nil {
		t.Fatal(err)
	}
	if after := one(t, b, "SELECT count() FROM events FINAL"); after != before {
		t.Errorf("%d events, %d after loading them again", before, after)
	}
}

// What the test before loaded again lies in parts of its own.
func whatIsOverIsMerged(t *testing.T, b *bench) {
	if err := age(t.Context(), b.server.owner, b.set.until); err != nil {
		t.Fatal(err)
	}
	rows(t, b, `SELECT table, partition_id, count() FROM system.parts
		WHERE active AND database = currentDatabase() AND table IN ('events', 'events_by_user', 'event_ids', 'attempts', 'user_latest')
		GROUP BY table, partition_id`, func(r driver.Rows) error {
		var table, id string
		var parts uint64
		err := r.Scan(&table, &id, &parts)
		if parts > 1 && (table == "user_latest" || isOver(id, b.set.until)) {
			t.Errorf("%s has %d parts of %s", table, parts, id)
		}
		return err
	})
}

func TestMonthsAndYearsAreOverADayAfterTheirEnd(t *testing.T) {
	for id, over := range map[string]bool{"2025": true, "2026": false, "202601": true, "202602": false, "202603": false} {
		if got := isOver(id, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)); got != over {
			t.Errorf("partition %s: over %t, want %t", id, got, over)
		}
	}
}

func nextRunUsesIt(t *testing.T, b *bench) {
	hash, err := schemaHash()
	if err != nil {
		t.Fatal(err)
	}
	there, err := readManifest(b.options.dir)
	if err != nil {
		t.Fatal(err)
	}
	same := manifest{Events: loadedEvents, Seed: 1, Loader: loaderVersion, Schema: hash}
	if !there.sameAs(same) || !there.Until.Equal(b.set.until) {
		t.Errorf("the manifest %+v is not that of %+v", there, same)
	}
	for _, other := range []manifest{
		{Events: loadedEvents + 1, Seed: 1, Loader: loaderVersion, Schema: hash},
		{Events: loadedEvents, Seed: 2, Loader: loaderVersion, Schema: hash},
		{Events: loadedEvents, Seed: 1, Loader: loaderVersion + 1, Schema: hash},
		{Events: loadedEvents, Seed: 1, Loader: loaderVersion, Schema: hex.EncodeToString([]byte("another"))},
	} {
		if there.sameAs(other) {
			t.Errorf("the manifest %+v serves for %+v", there, other)
		}
	}
	again := &bench{options: b.options, waits: b.waits}
	if err := again.ensureLoaded(t.Context()); err != nil || again.set.frames != b.set.frames || again.loaded.Rows != b.loaded.Rows {
		t.Errorf("the next run: %+v, %v", again.loaded, err)
	}
	stranger := &bench{options: b.options}
	stranger.options.dir = t.TempDir()
	if err := os.MkdirAll(filepath.Join(stranger.loadedDir(), "mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := stranger.ensureLoaded(t.Context()); err == nil {
		t.Error("a folder of somebody else was cleared")
	}
}

func everyQuestionIsAnswered(t *testing.T, b *bench) {
	var r report
	if err := b.ask(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	// A set this small has no page 1,000.
	far := regexp.MustCompile("page 1,000|far behind")
	for _, q := range r.Results {
		switch {
		case q.Trouble != "" && !far.MatchString(q.Name):
			t.Errorf("%s: %s", q.Name, q.Trouble)
		case q.Trouble == "" && (q.N == 0 || q.P99 <= 0 || q.Statements == 0 || q.ClickHouseCPU <= 0):
			t.Errorf("%s: no figures: %+v", q.Name, q)
		}
	}
	if len(r.Results) != len(questions()) {
		t.Errorf("%d of %d questions", len(r.Results), len(questions()))
	}
	for _, e := range r.Exports {
		if e.Trouble != "" || e.Events < loadedEvents/4 {
			t.Errorf("export %s: %d events: %s", e.Format, e.Events, e.Trouble)
		}
	}
	if r.Ingested == 0 {
		t.Error("no events arrived meanwhile")
	}
}

func diskIsTold(t *testing.T, b *bench) {
	d, err := b.measureDisk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]float64{}
	for _, table := range d.Tables {
		tables[table.Name] = table.Bytes
	}
	if d.Events == 0 || tables["events"] < 20 || tables["events"] > 1_000 || d.Total < tables["events"]+tables["events_by_user"] {
		t.Errorf("%d events: %v of %.1f bytes each", d.Events, slices.Sorted(maps.Keys(tables)), d.Total)
	}
}

func storeIsAskedAlone(t *testing.T, b *bench) {
	a := newAsker(b.set, b.server, 1)
	if err := a.sampleEvents(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	a.places = []place{{path: a.user(0) + "/events"}}
	password, err := b.server.password(engine.RoleReader)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{Addr: b.server.app.ClickHouse, Database: database, Username: string(engine.RoleReader), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, q := range pairs() {
		path, sql, args := q.ask(a)
		if err := askStore(t.Context(), db, path); err != nil {
			t.Errorf("%s: %v", q.name, err)
		}
		if got, err := a.get(t.Context(), path); err != nil || got.status >= 400 && got.status != 404 {
			t.Errorf("%s: GET %s: %d, %v", q.name, path, got.status, err)
		}
		for i := 1; i <= 6; i++ {
			if place := fmt.Sprintf("$%d", i); strings.Contains(sql, place) != (i <= len(args)) {
				t.Errorf("%s: %d arguments, but %s in: %s", q.name, len(args), place, sql)
			}
		}
	}
	if err := askStore(t.Context(), db, "/api/v1/accounts/huge/sessions/x"); err == nil {
		t.Error("a path that is no question was asked")
	}
}

package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

func (d database) edge(t testing.TB) query.TailEdge {
	t.Helper()
	edge, err := d.reader.TailEdge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return edge
}

func TestTheEdgeOfTheTailIsTheWatermarkAndItsHistory(t *testing.T) {
	db := openDatabase(t)
	if edge := db.edge(t); edge.Watermark.StreamSeq != 0 || edge.Watermark.Time != nil || edge.Generation != 0 || !edge.Former.IsZero() {
		t.Errorf("before any claim: %+v", edge)
	}
	db.tell(t, claimed(500, epoch.Add(2*time.Hour)), claimed(400, epoch.Add(time.Hour)))
	if edge := db.edge(t); edge.Watermark.StreamSeq != 500 || edge.Generation != 1 || !edge.Created.Equal(epoch) || !edge.Former.IsZero() {
		t.Errorf("of the first history: %+v", edge)
	}
	anew := claimed(7, epoch.Add(3*time.Hour))
	anew.Generation, anew.Created = 2, epoch.Add(150*time.Minute)
	db.tell(t, anew)
	edge, mark := db.edge(t), db.mark(t)
	if edge.Watermark.StreamSeq != 7 || edge.Generation != 2 || !edge.Created.Equal(anew.Created) || !edge.Former.Equal(epoch.Add(2*time.Hour)) {
		t.Errorf("of the second history: %+v", edge)
	}
	if !edge.Watermark.Time.Equal(mark.Time.Time) || edge.Watermark.LagMS <= 0 {
		t.Errorf("the edge is at %+v, the watermark is %+v", edge.Watermark, mark)
	}
	err := db.writer.Tell(t.Context(), store.Tidings{Worker: "w", Lasting: true, Claim: anew, Gaps: []store.Gap{
		{Stream: eventsStream, Created: epoch, Generation: 1, From: 501, Reason: query.GapReplaced},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if edge := db.edge(t); len(edge.Watermark.Gaps) != 1 || edge.Watermark.GapsTotal != 1 {
		t.Errorf("the gaps are %+v", edge.Watermark.Gaps)
	}
}

// logins are one log-in for each sequence from first to last, by turns of the accounts.
func logins(first, last uint64, at time.Time, accounts ...string) (events []event.Stored) {
	for seq := first; seq <= last; seq++ {
		e := event.Event{
			ID: fmt.Sprintf("id-%d", seq), Account: accounts[seq%uint64(len(accounts))], Username: "ann", Entry: 1, Status: 1,
			OccurredAt: at.Add(time.Duration(seq) * time.Millisecond),
		}
		events = append(events, storedAs(e, seq))
	}
	return events
}

func seqsOf(events []query.Event) (seqs []uint64) {
	for _, e := range events {
		seqs = append(seqs, e.StreamSeq)
	}
	return seqs
}

func TestWhatArrivedIsReadByStretchesOfTheStream(t *testing.T) {
	db := openDatabase(t)
	events := logins(1, 12, epoch, "acme", "bond", "other")
	insert := func(events ...event.Stored) {
		t.Helper()
		if err := db.writer.Insert(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	insert(events...)
	insert(events[3:6]...) // delivered again
	for _, c := range []struct {
		of       query.Stretch
		accounts []string
		want     []uint64
		upTo     uint64
	}{
		{query.Stretch{After: 0, UpTo: 12, Limit: 100}, []string{"acme"}, []uint64{3, 6, 9, 12}, 12},
		{query.Stretch{After: 3, UpTo: 11, Limit: 100}, []string{"acme", "bond"}, []uint64{4, 6, 7, 9, 10}, 11},
		{query.Stretch{After: 3, UpTo: 11, Limit: 3}, []string{"acme", "bond"}, []uint64{4, 6}, 6}, // two copies of 4
		{query.Stretch{After: 6, UpTo: 11, Limit: 2}, []string{"acme", "bond"}, []uint64{7, 9}, 9},
		{query.Stretch{After: 12, UpTo: 20, Limit: 2}, []string{"acme", "bond"}, nil, 20},
		{query.Stretch{After: 12, UpTo: 12, Limit: 2}, []string{"acme"}, nil, 12},
	} {
		got, upTo, err := db.reader.Arrived(t.Context(), c.accounts, c.of)
		if err != nil || !slices.Equal(seqsOf(got), c.want) || upTo != c.upTo {
			t.Errorf("%v of %+v: %v up to %d, %v; want %v up to %d", c.accounts, c.of, seqsOf(got), upTo, err, c.want, c.upTo)
		}
		for _, e := range got {
			if e.Account != []string{"acme", "bond", "other"}[e.StreamSeq%3] {
				t.Errorf("%d is said to be of %s", e.StreamSeq, e.Account)
			}
		}
	}
	// What came before a moment has these sequences in a former history.
	late := query.Stretch{Edge: query.TailEdge{Former: events[5].ReceivedAt}, UpTo: 12, Limit: 100}
	if got, _, err := db.reader.Arrived(t.Context(), []string{"acme"}, late); err != nil || !slices.Equal(seqsOf(got), []uint64{9, 12}) {
		t.Errorf("in the present history: %v, %v", seqsOf(got), err)
	}
	one, upTo, err := db.reader.ArrivedOf(t.Context(), "bond", query.EventFilter{Text: "ANN", After: &query.Position{}}, query.Stretch{After: 1, UpTo: 9, Limit: 100})
	if err != nil || !slices.Equal(seqsOf(one), []uint64{4, 7}) || upTo != 9 || one[0].Account != "bond" {
		t.Errorf("by a filter: %+v up to %d, %v", one, upTo, err)
	}
}

func TestARepeatOfAFormerHistoryIsNoNewsEither(t *testing.T) {
	db := openDatabase(t)
	before, twin := logins(9, 9, epoch, "acme")[0], logins(9, 9, epoch, "acme")[0]
	twin.StreamSeq, twin.ReceivedAt = 2, before.ReceivedAt.Add(time.Hour)
	fresh := logins(3, 3, epoch, "acme")[0]
	fresh.ReceivedAt = twin.ReceivedAt
	for _, e := range []event.Stored{before, twin, fresh} { // in parts of their own: repeats in one part are merged at once
		if err := db.writer.Insert(t.Context(), []event.Stored{e}); err != nil {
			t.Fatal(err)
		}
	}
	edge := query.TailEdge{Former: before.ReceivedAt}
	arrived, _, err := db.reader.Arrived(t.Context(), []string{"acme"}, query.Stretch{Edge: edge, UpTo: 10, Limit: 10})
	if err != nil || !slices.Equal(seqsOf(arrived), []uint64{2, 3}) {
		t.Fatalf("%v, %v", seqsOf(arrived), err)
	}
	if news, err := db.reader.News(t.Context(), edge, arrived); err != nil || !slices.Equal(seqsOf(news), []uint64{3}) {
		t.Errorf("the news are %v, %v", seqsOf(news), err)
	}
}

// The wall holds for statements of several accounts: each sees those that it names.
func TestAStatementOfTheTailSeesTheAccountsThatItNames(t *testing.T) {
	db := openDatabase(t)
	if err := db.writer.Insert(t.Context(), logins(1, 9, epoch, "acme", "bond", "other")); err != nil {
		t.Fatal(err)
	}
	if seen := db.reader.AccountsSeen(t, "acme,bond", "events"); !slices.Equal(seen, []string{"acme", "bond"}) {
		t.Errorf("a statement that forgot its condition sees %v", seen)
	}
	for _, table := range []string{"accounts", "events_by_user", "event_ids", "user_latest", "attempts"} {
		if seen := db.reader.AccountsSeen(t, "acme,bond", table); len(seen) > 0 {
			t.Errorf("in %s it sees %v", table, seen)
		}
	}
}

// The live edge of a table of any size is a granule or two, also where events are
// late: they lie in partitions of long ago.
func TestThePollOfTheTailReadsFewRowsOfABigTable(t *testing.T) {
	db := openDatabase(t)
	const months, each, granule = 12, 40_000, 8192
	for _, view := range db.texts(t, "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView'") {
		db.exec(t, "DROP VIEW "+view) // only events is filled here
	}
	// Every account has events in every month, and so in every part.
	db.exec(t, fmt.Sprintf(`
		INSERT INTO events (account, occurred_at, rank, content_hash, id_text, username, entry, status, version)
		SELECT concat('a', toString(number %% 50)), toDateTime64('2025-01-01 00:00:00', 6, 'UTC') + toIntervalSecond(intDiv(number * %d, %d)),
			1, MD5(toString(number)), toString(number), 'ann', 1, 1, bitNot(toUInt64(number + 1))
		FROM numbers(%d)`, months*30*86400, months*each, months*each))
	if err := db.owner.Optimize(t.Context(), "events"); err != nil {
		t.Fatal(err)
	}
	last := uint64(months * each)
	edge := logins(last+1, last+200, time.Date(2025, 12, 27, 0, 0, 0, 0, time.UTC), "a1", "a2")
	edge = append(edge, logins(last+201, last+210, time.Date(2025, 2, 3, 0, 0, 0, 0, time.UTC), "a1", "a2")...)
	if err := db.writer.Insert(t.Context(), edge); err != nil {
		t.Fatal(err)
	}
	var read atomic.Uint64
	ctx := clickhouse.Context(context.Background(), clickhouse.WithProgress(func(p *clickhouse.Progress) { read.Add(p.Rows) }))
	got, _, err := db.reader.Arrived(ctx, []string{"a1", "a2", "a3"}, query.Stretch{After: last, UpTo: last + 300, Limit: 1000})
	if err != nil || len(got) != 210 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	if n := read.Load(); n < 210 || n > 2*granule {
		t.Errorf("the poll has read %d rows of %d", n, last)
	}
	read.Store(0)
	if got, _, err = db.reader.Arrived(ctx, []string{"a1", "a2", "a3"}, query.Stretch{After: last + 300, UpTo: last + 400, Limit: 1000}); err != nil || len(got) > 0 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	if n := read.Load(); n > 0 {
		t.Errorf("the poll has read %d rows where nothing is new", n)
	}
	read.Store(0)
	if _, _, err = db.reader.ArrivedOf(ctx, "a1", query.EventFilter{}, query.Stretch{After: last - 1000, UpTo: last, Limit: 1000}); err != nil {
		t.Fatal(err)
	}
	if n := read.Load(); n == 0 || n > 3*granule {
		t.Errorf("a page of a reader that catches up has read %d rows of %d", n, last)
	}
}

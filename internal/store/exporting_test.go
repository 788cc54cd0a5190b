package store_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

// exported is everything that an export hands on.
func exported(ctx context.Context, db *store.DB, account string, f query.EventFilter) ([]query.Event, query.Watermark, error) {
	all := []query.Event{}
	mark, err := db.Export(ctx, account, f, func(events []query.Event) error {
		all = append(all, events...)
		return nil
	})
	return all, mark, err
}

// paged is everything that the pages of the list have.
func paged(ctx context.Context, db *store.DB, account string, f query.EventFilter) ([]query.Event, error) {
	all := []query.Event{}
	for {
		page, err := db.Events(ctx, account, f)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if f.After = page.Next; f.After == nil {
			return all, nil
		}
	}
}

// TestExportIsThePagesOfTheListJoined is the same for any filter, in both orders,
// with repeats, conflicts and events that came late, however it is cut into
// statements.
func TestExportIsThePagesOfTheListJoined(t *testing.T) {
	db := openDatabase(t)
	names := &accountNames{}
	rapid.Check(t, func(rt *rapid.T) {
		account := names.name("export")
		events := drawEvents(rt, account, 25)
		insertAtRandom(rt, db, events)
		f := query.EventFilter{
			Range: drawRange(rt), Statuses: drawSet(rt, "statuses", event.Statuses()), IP: drawPrefix(rt),
			Text:  rapid.SampledFrom([]string{"", "", "100%", "ü", "a'b", "\n", `\`, "\t", "\x00"}).Draw(rt, "q"),
			Order: drawOrder(rt), Limit: rapid.IntRange(1, 100).Draw(rt, "limit"),
		}
		if rapid.Bool().Draw(rt, "of one user") {
			f.Username = new(rapid.SampledFrom(append([]string{"nobody"}, usernamesOf(events)...)).Draw(rt, "username"))
		}
		if rapid.Bool().Draw(rt, "of one session") {
			f.SessionID = new(rapid.SampledFrom([]string{"", "s1", "s'3\n"}).Draw(rt, "session"))
		}
		chunk := rapid.IntRange(1, 50).Draw(rt, "rows a statement")
		got := []query.Event{}
		_, err := db.reader.ExportInChunks(context.Background(), account, f, chunk, func(events []query.Event) error {
			got = append(got, events...)
			return nil
		})
		if err != nil {
			rt.Fatalf("export: %v", err)
		}
		want, err := paged(context.Background(), db.reader, account, f)
		if err != nil {
			rt.Fatalf("pages: %v", err)
		}
		sameJSON(rt, "export", got, want)
		for i := range got {
			if got[i].Hash != want[i].Hash {
				rt.Fatalf("event %d has another hash than on the page", i)
			}
		}
		plain := oracle.New(events, store.DefaultSessionLimit)
		sameJSON(rt, "export", forgetIngestion(got), plain.Events(account, f))
	})
}

// TestExportShowsOfRepeatsTheEarliestWhereverAStatementEnds has three copies of each
// event in parts of their own, inserted in any order.
func TestExportShowsOfRepeatsTheEarliestWhereverAStatementEnds(t *testing.T) {
	db := openDatabase(t)
	const events, copies = 4, 3
	db.exec(t, "SYSTEM STOP MERGES events")
	for c := range copies {
		var batch []event.Stored
		for i := range events {
			batch = append(batch, benchStored("repeats", i, uint64(10*i+1+(i+c)%copies)))
		}
		if err := db.writer.Insert(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	for _, order := range []query.Order{query.Ascending, query.Descending} {
		want := []uint64{1, 11, 21, 31}
		if order == query.Descending {
			slices.Reverse(want)
		}
		for chunk := 1; chunk <= events*copies+1; chunk++ {
			var got []uint64
			_, err := db.reader.ExportInChunks(t.Context(), "repeats", query.EventFilter{Order: order}, chunk, func(events []query.Event) error {
				for _, e := range events {
					got = append(got, e.StreamSeq)
				}
				return nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %d rows a statement: %v, %v; want %v", order, chunk, got, err, want)
			}
		}
	}
}

// TestExportIsTheAnswerAsOfItsWatermark leaves out what is above it, for which there
// is no promise that it has everything.
func TestExportIsTheAnswerAsOfItsWatermark(t *testing.T) {
	db := openDatabase(t)
	var events []event.Stored
	for seq := range uint64(6) {
		events = append(events, benchStored("mark", int(seq), seq+1))
	}
	// Of an earlier history of the stream, which had more messages.
	events = append(events, benchStored("mark", 6, 900))
	events[6].ReceivedAt = epoch.Add(-time.Hour)
	if err := db.writer.Insert(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		told *store.Claim
		want []uint64
	}{
		{"before the first claim everything", nil, []uint64{1, 2, 3, 4, 5, 6, 900}},
		{"up to the sequence", new(claimed(3, events[2].ReceivedAt)), []uint64{1, 2, 3, 900}},
		{"or to the moment", new(claimed(4, events[4].ReceivedAt.Add(time.Microsecond))), []uint64{1, 2, 3, 4, 5, 900}},
	} {
		if c.told != nil {
			db.tell(t, *c.told)
		}
		got, mark, err := exported(t.Context(), db.reader, "mark", query.EventFilter{Order: query.Ascending})
		if err != nil {
			t.Fatal(err)
		}
		var seqs []uint64
		for _, e := range got {
			seqs = append(seqs, e.StreamSeq)
		}
		slices.Sort(seqs)
		if !slices.Equal(seqs, c.want) || mark.StreamSeq != db.mark(t).StreamSeq {
			t.Errorf("%s: %v as of %d, want %v", c.name, seqs, mark.StreamSeq, c.want)
		}
	}
}

// benchStored is the i-th of benchEvent with a place in the stream.
func benchStored(account string, i int, seq uint64) event.Stored {
	e := benchEvent(account, i)
	e.StreamSeq, e.ReceivedAt = seq, epoch.Add(time.Duration(seq)*time.Second)
	return e
}

// TestExportMarksConflictsOfManyEvents has enough of them that it asks once for all.
func TestExportMarksConflictsOfManyEvents(t *testing.T) {
	db := openDatabase(t)
	fill(t, db, "conflict", 5000)
	other := benchEvent("conflict", 4711)
	other.Reason = "another content"
	if err := db.writer.Insert(t.Context(), []event.Stored{storedAs(other.Event, 6000)}); err != nil {
		t.Fatal(err)
	}
	got, _, err := exported(t.Context(), db.reader, "conflict", query.EventFilter{})
	if err != nil || len(got) != 5001 {
		t.Fatalf("%d events, %v", len(got), err)
	}
	for _, e := range got {
		if e.Conflict != (e.ID == other.ID) {
			t.Errorf("%s: conflict %t", e.ID, e.Conflict)
		}
	}
}

func TestExportKnowsAnIDByTheHashOfClickHouse(t *testing.T) {
	openDatabase(t).reader.HashTexts(t)
}

func TestExportGoesOnWhereTheConnectionBroke(t *testing.T) {
	db := openDatabase(t)
	const events = 60_000
	fill(t, db, "broken", events)
	want, _, err := exported(t.Context(), db.reader, "broken", query.EventFilter{})
	if err != nil || len(want) != events {
		t.Fatalf("%d events, %v", len(want), err)
	}
	proxy := breakingProxy(t, db.server.Addr, 3)
	config := db.config("reader")
	config.Addr = proxy.addr
	reader, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	got, _, err := exported(t.Context(), reader, "broken", query.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if broken := proxy.broken.Load(); broken != 3 {
		t.Errorf("the connection broke %d times, want 3", broken)
	}
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Hash != want[i].Hash {
			t.Fatalf("event %d is another one", i)
		}
	}
}

// proxy hands on a connection, and breaks some of them off in the middle.
type proxy struct {
	addr   string
	broken atomic.Int64
}

// breakingProxy breaks off connections once they gave two megabytes, so many times.
func breakingProxy(t *testing.T, target string, times int64) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: listener.Addr().String()}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				continue
			}
			all.Go(func() {
				_, _ = io.Copy(server, client)
				_ = server.Close()
			})
			all.Go(func() {
				defer func() { _ = client.Close() }()
				const enough = 2 << 20
				n, _ := io.CopyN(client, server, enough)
				if n == enough && p.broken.Load() < times {
					p.broken.Add(1)
					return
				}
				_, _ = io.Copy(client, server)
			})
		}
	})
	return p
}

func TestExportEndsWithTheErrorOfTheAsker(t *testing.T) {
	db := openDatabase(t)
	fill(t, db, "asker", 5000)
	failed := errors.New("disk full")
	calls := 0
	_, err := db.reader.Export(t.Context(), "asker", query.EventFilter{}, func([]query.Event) error {
		calls++
		return failed
	})
	if err != failed || calls != 1 { //nolint:errorlint // as it is
		t.Errorf("%v after %d calls, want the asker's own error after one", err, calls)
	}
}

func TestExportEndsWithItsContext(t *testing.T) {
	db := openDatabase(t)
	fill(t, db, "gone", 5000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := db.reader.ExportInChunks(ctx, "gone", query.EventFilter{}, 100, func([]query.Event) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

func TestExportOfAMissingTableIsOurFault(t *testing.T) {
	db := openDatabase(t)
	fill(t, db, "gone", 100)
	db.exec(t, "DROP TABLE events SYNC")
	_, _, err := exported(t.Context(), db.reader, "gone", query.EventFilter{})
	if err == nil || errors.Is(err, query.ErrUnavailable) || errors.Is(err, query.ErrTooHeavy) {
		t.Errorf("%v, want an error of its own", err)
	}
}

// TestExportReadsInTheOrderOfTheTable, so that ClickHouse sorts nothing: that would
// take memory for all rows that match, each time.
func TestExportReadsInTheOrderOfTheTable(t *testing.T) {
	db := openDatabase(t)
	fill(t, db, "order", 1000)
	db.tell(t, claimed(1000, epoch))
	for order, want := range map[query.Order]string{query.Ascending: "Read type: InOrder", query.Descending: "Read type: InReverseOrder"} {
		for _, username := range []*string{nil, new("user0@example.com")} {
			f := query.EventFilter{Order: order, Username: username, After: &query.Position{At: epoch, Rank: 3}}
			if plan := db.reader.ExplainExport(t, "order", f); !strings.Contains(plan, want) {
				t.Errorf("%s: the plan has no %s:\n%s", order, want, plan)
			}
		}
	}
}

// TestExportHoldsNoMoreOfManyEventsThanOfFew counts what is alive after a collection
// while the export runs.
func TestExportHoldsNoMoreOfManyEventsThanOfFew(t *testing.T) {
	db := openDatabase(t)
	fill(t, db, "few", 20_000)
	fill(t, db, "many", 200_000)
	most := func(account string) (alive uint64) {
		n := 0
		_, err := db.reader.ExportInChunks(t.Context(), account, query.EventFilter{}, 2000, func(events []query.Event) error {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			alive = max(alive, stats.HeapAlloc)
			n += len(events)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d events, at most %d bytes alive", account, n, alive)
		return alive
	}
	few := most("few")
	if many := most("many"); many > few+few/4+4<<20 {
		t.Errorf("%d bytes are alive with 200,000 events, %d with 20,000", many, few)
	}
}

// BenchmarkExport is the rate at which the store hands events on.
func BenchmarkExport(b *testing.B) {
	db := openDatabase(b)
	fill(b, db, "bench", benchEvents)
	n := 0
	for b.Loop() {
		_, err := db.reader.Export(b.Context(), "bench", query.EventFilter{}, func(events []query.Event) error {
			n += len(events)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

package store_test

import (
	"slices"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

const eventsStream = "LOGIN_EVENTS"

// claimed is a claim about the first generation of the stream of events.
func claimed(seq uint64, at time.Time) store.Claim {
	return store.Claim{Stream: eventsStream, Created: epoch, Generation: 1, Seq: seq, Time: at, KnownAt: at}
}

// tell tells as the writer, for a moment and lasting in turns: no answer depends
// on which.
func (d database) tell(t testing.TB, claims ...store.Claim) {
	t.Helper()
	for i, c := range claims {
		if err := d.writer.Tell(t.Context(), store.Tidings{Claim: c, Lasting: i%2 == 0, Worker: "w"}); err != nil {
			t.Fatal(err)
		}
	}
}

func (d database) mark(t testing.TB) query.Watermark {
	t.Helper()
	mark, err := d.reader.Watermark(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

func TestTheWatermarkKeepsTheBestClaimOfTheLatestGeneration(t *testing.T) {
	db := openDatabase(t)
	if mark := db.mark(t); mark.StreamSeq != 0 || mark.Time != nil || mark.Gaps != nil {
		t.Errorf("before any claim: %+v", mark)
	}
	db.tell(t, claimed(1, time.Time{}))
	if mark := db.mark(t); mark.StreamSeq != 1 || mark.Time != nil || mark.LagMS != 0 {
		t.Errorf("with a claim of no moment: %+v", mark)
	}
	anew := claimed(7, epoch.Add(3*time.Hour))
	anew.Generation, anew.Created = 2, epoch.Add(time.Hour)
	earlier := anew
	earlier.Seq, earlier.Time = 3, epoch.Add(time.Minute)
	other := anew
	other.Stream, other.Seq, other.Generation = "OTHER", 900, 9
	db.tell(t, claimed(500, epoch.Add(2*time.Hour)), anew, earlier, other, claimed(600, epoch.Add(5*time.Hour)))
	if mark := db.mark(t); mark.StreamSeq != 7 || !mark.Time.Equal(anew.Time) || mark.LagMS <= 0 {
		t.Errorf("watermark %+v; want sequence 7 of the second generation", mark)
	}
}

// The older incarnation may be the one that lives: it was restored.
func TestTheGenerationDecidesNotTheTimeOfCreation(t *testing.T) {
	db := openDatabase(t)
	restored := claimed(5, epoch.Add(time.Hour))
	restored.Generation, restored.Created = 2, epoch.Add(-time.Hour)
	db.tell(t, claimed(500, epoch.Add(2*time.Hour)), restored)
	if mark := db.mark(t); mark.StreamSeq != 5 {
		t.Errorf("the watermark is %+v, want 5", mark)
	}
}

// The clock of the stream may be wrong by any amount: how old an answer is is told
// by ClickHouse's own.
func TestTheLagIsMeasuredByOneClock(t *testing.T) {
	db := openDatabase(t)
	known, err := db.writer.Known(t.Context(), eventsStream, "w")
	if err != nil {
		t.Fatal(err)
	}
	ahead := claimed(5, known.Now.Add(10*time.Minute)) // by the stream's clock
	ahead.KnownAt = known.Now.Add(-time.Hour)
	db.tell(t, ahead)
	mark := db.mark(t)
	if lag := time.Duration(mark.LagMS) * time.Millisecond; lag < time.Hour || lag > 2*time.Hour {
		t.Errorf("the lag is %s, want an hour", lag)
	}
	if !mark.Time.Equal(ahead.Time) {
		t.Errorf("the time is %s, want the stream's %s", mark.Time, ahead.Time)
	}
}

func TestKnownIsWhatWasTold(t *testing.T) {
	db := openDatabase(t)
	known, err := db.writer.Known(t.Context(), eventsStream, "w")
	if err != nil || known.Found || known.Now.IsZero() || len(known.Others) > 0 || known.Gaps != 0 {
		t.Errorf("before any claim: %+v, error %v", known, err)
	}
	first := claimed(5, epoch.Add(time.Hour))
	first.Anchor = "00000000000000000009 1"
	later := claimed(8, time.Time{})
	later.Anchor = "00000000000000000011 1"
	db.tell(t, first, later, first)
	if err := db.writer.Tell(t.Context(), store.Tidings{Claim: first, Worker: "w", Gaps: []store.Gap{
		{Stream: eventsStream, Created: epoch, Generation: 1, From: 1, To: 3, Messages: 3, Reason: query.GapExpired},
		{Stream: eventsStream, Created: epoch, Generation: 1, From: 1, To: 4, Messages: 4, Reason: query.GapExpired},
		{Stream: eventsStream, Created: epoch, Generation: 1, From: 5, Reason: query.GapReplaced},
	}}); err != nil {
		t.Fatal(err)
	}
	known, err = db.writer.Known(t.Context(), eventsStream, "w")
	if err != nil {
		t.Fatal(err)
	}
	if !known.Found || known.Seq != 8 || !known.Time.Equal(first.Time) || !known.Created.Equal(epoch) || known.Generation != 1 ||
		known.Anchor != later.Anchor || len(known.Others) > 0 || known.Gaps != 2 || known.Expired != 4 {
		t.Errorf("known is %+v", known)
	}
	if known, err = db.writer.Known(t.Context(), eventsStream, "somebody else"); err != nil || !slices.Equal(known.Others, []string{"w"}) {
		t.Errorf("for another worker: %+v, error %v", known, err)
	}
}

func TestGapsAreInEveryWatermarkTheLatestFirst(t *testing.T) {
	db := openDatabase(t)
	db.tell(t, claimed(500, epoch.Add(time.Hour)))
	one := store.Tidings{Claim: claimed(500, epoch), Worker: "w"}
	for n := range uint64(query.MaxGaps + 2) {
		one.Gaps = []store.Gap{{
			Stream: eventsStream, Created: epoch, Generation: 1, From: 10 * n, To: 10*n + 4, Messages: 5, Reason: query.GapDeleted,
		}}
		// Twice: several workers find the same.
		if err := db.writer.Tell(t.Context(), one); err != nil {
			t.Fatal(err)
		}
		if err := db.writer.Tell(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	one.Gaps = []store.Gap{{Stream: eventsStream, Created: epoch, Generation: 1, From: 501, Reason: query.GapReplaced}}
	if err := db.writer.Tell(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	mark := db.mark(t)
	if mark.GapsTotal != query.MaxGaps+3 || len(mark.Gaps) != query.MaxGaps {
		t.Fatalf("%d gaps of %d, want %d of %d", len(mark.Gaps), mark.GapsTotal, query.MaxGaps, query.MaxGaps+3)
	}
	if g := mark.Gaps[0]; g.FromSeq != 501 || g.ToSeq != nil || g.Messages != nil || g.Reason != query.GapReplaced || !g.StreamCreated.Equal(epoch) {
		t.Errorf("the latest gap is %+v", g)
	}
	if g := mark.Gaps[1]; g.FromSeq != 110 || *g.ToSeq != 114 || *g.Messages != 5 || g.FoundAt.After(mark.Gaps[0].FoundAt.Time) {
		t.Errorf("the gap before is %+v", g)
	}
	status, err := db.reader.Status(t.Context())
	if err != nil || len(status.Gaps) != query.MaxGaps+3 || status.GapsTotal != query.MaxGaps+3 || len(status.Watermark.Gaps) != query.MaxGaps {
		t.Errorf("the status has %d gaps of %d, error %v", len(status.Gaps), status.GapsTotal, err)
	}
}

func TestStatusHasTheLatestReportOfEachWorker(t *testing.T) {
	db := openDatabase(t)
	status, err := db.reader.Status(t.Context())
	if err != nil || status.Stream != nil || status.Workers == nil || len(status.Workers) != 0 || status.Lag.Messages != nil || status.ReportAgeMS != nil {
		t.Errorf("before any report: %+v, error %v", status, err)
	}
	program, err := store.SchemaVersion()
	if err != nil {
		t.Fatal(err)
	}
	if v := status.Versions; v.ClickHouse == "" || v.NATS != nil || v.Schema.Database != program || v.Schema.Program != program {
		t.Errorf("the versions are %+v", v)
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	open := uint64(4)
	report := store.Report{
		Now: now, Started: now.Add(-time.Hour), LastCommit: now.Add(-time.Minute), Version: "1.2.3", NATS: "2.15.2",
		Stream:   store.ReportedStream{FirstSeq: 2, LastSeq: 120, LastTime: now, Messages: 119, Bytes: 5000, MaxAge: time.Hour, Replicas: 3},
		Consumer: query.ConsumerStatus{AckFloor: 100, Pending: 15, AckPending: 5, Redelivered: 1},
		Parked:   &query.ParkedStatus{Messages: 7, Open: &open, LastSeq: 9},
	}
	for _, told := range []struct {
		worker, trouble string
		seq             uint64
		since           time.Duration
	}{{"a:1", "", 90, time.Minute}, {"b:2", "no way", 100, 30 * time.Second}, {"a:1", "", 100, 2 * time.Minute}} {
		r := report
		r.Trouble, r.LastCommit = told.trouble, now.Add(-told.since)
		c := claimed(told.seq, epoch)
		c.KnownAt = now
		if err := db.writer.Tell(t.Context(), store.Tidings{Claim: c, Worker: told.worker, Report: r}); err != nil {
			t.Fatal(err)
		}
	}
	if status, err = db.reader.Status(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(status.Workers) != 2 || status.Workers[0].Name != "a:1" || status.Workers[0].Trouble != nil ||
		!status.Workers[0].LastCommit.Equal(now.Add(-2*time.Minute)) || *status.Workers[1].Trouble != "no way" {
		t.Errorf("the workers are %+v", status.Workers)
	}
	s := status.Stream
	if s == nil || s.Name != eventsStream || !s.Created.Equal(epoch) || s.LastSeq != 120 || s.MaxBytes != nil || *s.MaxAgeSeconds != 3600 || s.FirstTime != nil {
		t.Errorf("the stream is %+v", s)
	}
	if *status.Lag.Messages != 20 || status.Consumer.AckPending != 5 || *status.Parked.Open != 4 || *status.Versions.NATS != "2.15.2" {
		t.Errorf("the status is %+v", status)
	}
	if !status.LastCommit.Equal(now.Add(-30*time.Second)) || status.Quiet < 30*time.Second {
		t.Errorf("the last commit is %s, %s ago", status.LastCommit, status.Quiet)
	}
}

// Reports are kept in memory, and few of them, whatever is told.
func TestReportsAreBounded(t *testing.T) {
	db := openDatabase(t)
	claims := make([]store.Claim, 250)
	for i := range claims {
		claims[i] = claimed(uint64(i), epoch)
	}
	db.tell(t, claims...)
	rows := db.texts(t, "SELECT if(count() BETWEEN 32 AND 64, 'yes', toString(count())) FROM pipeline_reports")
	if !slices.Equal(rows, []string{"yes"}) {
		t.Errorf("between 32 and 64 reports are kept? %s", rows)
	}
	if mark := db.mark(t); mark.StreamSeq != 249 {
		t.Errorf("the watermark is %d, want 249", mark.StreamSeq)
	}
}

// TestAWatermarkMayBeToldAgain: within its age no question asks for it, it lags by
// so much more, and then it is read anew.
func TestAWatermarkMayBeToldAgain(t *testing.T) {
	db := openDatabase(t)
	config := db.config("reader")
	config.WatermarkAge = time.Hour
	old, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	tell := func(seq uint64) {
		t.Helper()
		at := time.Now().UTC().Truncate(time.Microsecond)
		claim := store.Claim{Stream: "LOGIN_EVENTS", Created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Generation: 1, Seq: seq, Time: at, KnownAt: at}
		if err := db.writer.Tell(t.Context(), store.Tidings{Claim: claim, Lasting: true, Worker: "w"}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(db *store.DB) query.Watermark {
		t.Helper()
		mark, err := db.Watermark(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return mark
	}
	tell(1)
	first := read(old)
	tell(2)
	again := read(old)
	if first.StreamSeq != 1 || again.StreamSeq != 1 || again.LagMS < first.LagMS {
		t.Errorf("told are %+v and %+v, want the first one twice", first, again)
	}
	if fresh := read(db.reader); fresh.StreamSeq != 2 {
		t.Errorf("without an age %+v is told, want the second", fresh)
	}
}

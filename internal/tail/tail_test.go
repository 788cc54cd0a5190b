package tail_test

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/tail"
)

func TestATailSendsWhatArrivesInTheOrderOfTheStream(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.login("acme", "before", 0))
	hub, _ := s.run(tail.Config{})
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	if f.at != 1 {
		t.Errorf("it begins at %d, want the watermark", f.at)
	}
	// What occurred later arrives earlier, and something is a year late.
	a, b, c := s.login("acme", "ann", time.Hour), s.login("acme", "bob", -365*24*time.Hour), s.login("acme", "eve", time.Minute)
	s.ingest(c, b, a)
	f.wantSeqs(4, 2, 3, 4)
}

func TestATailBeginsAtTheWatermarkOfTheMomentInWhichItIsAskedFor(t *testing.T) {
	s := newSystem(t)
	registry := prometheus.NewRegistry()
	source := &faulty{Source: s.reader, read: make(chan struct{}, 1), release: make(chan struct{})}
	hub, _ := s.run(tail.Config{Source: source, Registerer: registry})
	early := follow(t, hub, "acme", query.TailQuestion{})
	until(t, "the watermark is on its way", func() bool { return len(source.read) == 1 })
	s.ingest(s.login("acme", "ann", 0))
	late := follow(t, hub, "acme", query.TailQuestion{})
	until(t, "both are there", func() bool { return counted(t, registry, "loginaudit_tail_subscribers") == 2 })
	close(source.release)
	if early.begin(); early.at != 0 {
		t.Errorf("who came before begins at %d", early.at)
	}
	early.wantSeqs(1, 1)
	if late.begin(); late.at != 1 {
		t.Errorf("who came later begins at %d", late.at)
	}
}

func TestATailShowsNothingBeyondTheWatermark(t *testing.T) {
	s := newSystem(t)
	hub, _ := s.run(tail.Config{Heartbeat: 20 * time.Millisecond})
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	first, second, third := s.login("acme", "ann", 0), s.login("acme", "bob", 0), s.login("acme", "eve", 0)
	s.insert(first, third) // the second comes later, after it was delivered again
	s.claim(1)
	f.wantSeqs(1, 1)
	for range 3 { // however long it waits
		if events, mark := f.mark(1); len(events) > 0 || mark.StreamSeq != 1 {
			t.Fatalf("%d events beyond the watermark %d", len(events), mark.StreamSeq)
		}
	}
	s.insert(second)
	s.claim(3)
	f.wantSeqs(3, 2, 3)
}

func TestAReaderGetsWhatItsFilterLetsThrough(t *testing.T) {
	s := newSystem(t)
	hub, _ := s.run(tail.Config{Heartbeat: 20 * time.Millisecond})
	bob := "bob"
	of := follow(t, hub, "acme", query.TailQuestion{Filter: query.EventFilter{Username: &bob}}).begin()
	text := follow(t, hub, "acme", query.TailQuestion{Filter: query.EventFilter{Text: "STRASSE"}}).begin()
	all := follow(t, hub, "acme", query.TailQuestion{}).begin()
	s.ingest(s.login("acme", "ann", 0), s.login("acme", "bob", 0), s.login("acme", "Straße", 0), s.login("acme", "strasse", 0), s.login("acme", "Bob", 0))
	of.wantSeqs(2, 2)
	text.wantSeqs(4, 4) // the text is ASCII: letter by letter
	all.wantSeqs(5, 1, 2, 3, 4, 5)
	if events, _ := of.mark(5); len(events) > 0 { // the place moves on without events
		t.Errorf("then %d more", len(events))
	}
}

func TestAccountsDoNotSeeEachOther(t *testing.T) {
	s := newSystem(t)
	hub, _ := s.run(tail.Config{})
	acme, bond := follow(t, hub, "acme", query.TailQuestion{}).begin(), follow(t, hub, "bond", query.TailQuestion{}).begin()
	s.ingest(s.login("acme", "ann", 0), s.login("bond", "ann", 0), s.login("other", "ann", 0), s.login("acme", "ann", 0), s.login("bond", "ann", 0))
	acme.wantSeqs(4, 1, 4)
	bond.wantSeqs(5, 2, 5)
	for _, account := range []string{"acme", "bond"} { // nor when they read by themselves
		f := follow(t, hub, account, query.TailQuestion{After: new(uint64)})
		for e := f.event(); ; e = f.event() {
			if e.Account != account {
				t.Fatalf("%s sees an event of %s", account, e.Account)
			}
			if e.StreamSeq >= 4 {
				break
			}
		}
	}
}

func TestARepeatIsNoNews(t *testing.T) {
	s := newSystem(t)
	hub, _ := s.run(tail.Config{})
	old := s.login("acme", "old", -48*time.Hour)
	s.ingest(old)
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	first := s.login("acme", "ann", 0)
	s.ingest(first, s.again(first), s.again(old)) // within one batch, and of long ago
	second := s.login("acme", "bob", 0)
	s.ingest(s.again(first), second)
	s.insert(second) // a message that is delivered again
	last := s.login("acme", "last", 0)
	s.ingest(s.again(second), last)
	want := []uint64{first.StreamSeq, second.StreamSeq, last.StreamSeq}
	f.wantSeqs(last.StreamSeq, want...)
	// The same by pages, and when ClickHouse has merged the repeats away.
	after := old.StreamSeq
	follow(t, hub, "acme", query.TailQuestion{After: &after}).wantSeqs(last.StreamSeq, want...)
	owner := s.open(s.server.Owner)
	if err := owner.Optimize(t.Context(), "events"); err != nil {
		t.Fatal(err)
	}
	follow(t, hub, "acme", query.TailQuestion{After: &after}).wantSeqs(last.StreamSeq, want...)
}

// The same content of two accounts is two events.
func TestARepeatIsOneOfItsAccountOnly(t *testing.T) {
	s := newSystem(t)
	hub, _ := s.run(tail.Config{})
	f := follow(t, hub, "bond", query.TailQuestion{}).begin()
	e := s.login("acme", "ann", 0)
	twin := s.again(e)
	twin.Account = "bond" // with the same hash, which no honest publisher can make
	s.ingest(e, twin)
	f.wantSeqs(2, 2)
}

func TestConflictsAreMarkedAsTheyAreKnown(t *testing.T) {
	s := newSystem(t)
	hub, _ := s.run(tail.Config{})
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	first := s.login("acme", "ann", 0)
	s.ingest(first)
	if e := f.event(); e.Conflict {
		t.Error("an event alone is in conflict")
	}
	other := s.login("acme", "bob", 0)
	other.ID = first.ID
	s.ingest(s.stored(other.Event))
	if e := f.event(); !e.Conflict {
		t.Error("another event with the same id is in no conflict")
	}
}

func TestAWatermarkIsSentAgainAndAgain(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.login("acme", "ann", 0))
	hub, _ := s.run(tail.Config{Heartbeat: 10 * time.Millisecond})
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	for range 3 {
		m := f.next()
		if m.Mark == nil || m.ID != 1 || m.Mark.StreamSeq != 1 || m.Mark.Time == nil {
			t.Fatalf("%+v is not the watermark", m)
		}
	}
}

func TestAWatermarkGrowsOlderWhileTheStoreIsDown(t *testing.T) {
	s := newSystem(t)
	s.ingest(s.login("acme", "ann", 0))
	source := &faulty{Source: s.reader}
	hub, _ := s.run(tail.Config{Source: source, Heartbeat: 10 * time.Millisecond})
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	source.fail(errDown)
	_, mark := f.mark(1)
	for least := mark.LagMS + 500; mark.LagMS < least; {
		_, mark = f.mark(1)
	}
	source.fail(nil) // and it goes on
	s.ingest(s.login("acme", "bob", 0))
	f.wantSeqs(2, 2)
}

func TestNobodyIsLetInWhileTheStoreIsDown(t *testing.T) {
	s := newSystem(t)
	source := &faulty{Source: s.reader, broken: errDown}
	hub, _ := s.run(tail.Config{Source: source})
	f := follow(t, hub, "acme", query.TailQuestion{})
	if err := <-f.ended; !errors.Is(err, query.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	f.ended <- nil
}

func TestThereAreNotMoreReadersThanMayBe(t *testing.T) {
	s := newSystem(t)
	registry := prometheus.NewRegistry()
	hub, _ := s.run(tail.Config{Readers: 2, Registerer: registry})
	first := follow(t, hub, "acme", query.TailQuestion{}).begin()
	follow(t, hub, "bond", query.TailQuestion{}).begin()
	third := follow(t, hub, "acme", query.TailQuestion{})
	if err := <-third.ended; !errors.Is(err, query.ErrTailFull) {
		t.Errorf("the error is %v", err)
	}
	third.ended <- nil
	if n := counted(t, registry, "loginaudit_tail_subscribers"); n != 2 {
		t.Errorf("%v subscribers", n)
	}
	first.leave()
	follow(t, hub, "acme", query.TailQuestion{}).begin()
}

func TestAStopSendsEverybodyAway(t *testing.T) {
	s := newSystem(t)
	for range 5 {
		s.ingest(s.login("acme", "ann", 0))
	}
	hub, stop := s.run(tail.Config{})
	live := follow(t, hub, "acme", query.TailQuestion{}).begin()
	waiting := follow(t, hub, "acme", query.TailQuestion{After: new(uint64(1000))}) // for what is not there yet
	stop()
	if err := <-live.ended; err != nil {
		t.Errorf("who follows is told %v", err)
	}
	live.ended <- nil
	if err := <-waiting.ended; !errors.Is(err, query.ErrUnavailable) {
		t.Errorf("who waits is told %v", err)
	}
	waiting.ended <- nil
	late := follow(t, hub, "acme", query.TailQuestion{})
	if err := <-late.ended; !errors.Is(err, query.ErrUnavailable) {
		t.Errorf("who comes then is told %v", err)
	}
	late.ended <- nil
}

func TestTheStoreIsLeftAloneWhileNobodyFollows(t *testing.T) {
	s := newSystem(t)
	source := &faulty{Source: s.reader}
	hub, _ := s.run(tail.Config{Source: source})
	f := follow(t, hub, "acme", query.TailQuestion{}).begin()
	until(t, "the store is asked again and again", func() bool { return source.questions() > 3 })
	f.leave()
	asked := source.questions()
	for range 5 { // at this pace dozens of rounds would be done meanwhile
		s.ingest(s.login("acme", "ann", 0))
	}
	// At most the round that was under way, and those that let the next one in.
	other := follow(t, hub, "acme", query.TailQuestion{}).begin()
	if now := source.questions(); now > asked+3 {
		t.Errorf("%d questions while nobody followed", now-asked)
	}
	s.ingest(s.login("acme", "bob", 0))
	other.wantSeqs(6, 6)
}

func TestANewHubNeedsASourceAndMetricsOfItsOwn(t *testing.T) {
	if _, err := tail.New(tail.Config{}); err == nil {
		t.Error("a hub without a source was made")
	}
	c := tail.Config{Source: &faulty{}, Registerer: prometheus.NewRegistry()}
	if _, err := tail.New(c); err != nil {
		t.Fatal(err)
	}
	if _, err := tail.New(c); err == nil {
		t.Error("the metrics are registered twice")
	}
}

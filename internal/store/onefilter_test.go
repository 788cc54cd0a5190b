package store_test

import (
	"cmp"
	"context"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

// TestOneFilterGivesOneSetOfEventsWhateverIsAsked: the list at once, its pages in
// both directions, the bars, each facet, the export and the tail are about the
// same events, with conflicts, repeats and events that came late, of an account and
// of one user.
func TestOneFilterGivesOneSetOfEventsWhateverIsAsked(t *testing.T) {
	db := openDatabase(t)
	names := &accountNames{}
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		account := names.name("one")
		events := drawEvents(rt, account, 40)
		insertAtRandom(rt, db, events)
		for range 1 {
			q := oneFilter{rt: rt, db: db.reader, account: account, filter: drawEventFilter(rt, events)}
			if rapid.Bool().Draw(rt, "narrow text and address") { // else few examples let many through
				q.filter.Text, q.filter.IP = "", drawPrefix(rt)
			}
			found += q.check()
		}
	})
	if found == 0 {
		t.Error("no filter let anything through: the property tells nothing")
	}
}

// oneFilter is a filter of which everything is asked.
type oneFilter struct {
	rt      *rapid.T
	db      *store.DB
	account string
	filter  query.EventFilter
}

// check returns how many events there are.
func (q oneFilter) check() int {
	q.filter.Order = query.Descending
	all := q.unpaged(q.filter)
	q.checkPages(all)
	q.checkBars(all)
	q.checkFacets(all)
	q.checkTail(all)
	return len(all)
}

func (q oneFilter) unpaged(f query.EventFilter) []query.Event {
	f.Limit = query.MaxLimit
	ask := q.db.Events
	if f.Username != nil && *f.Username != "nobody" && rapid.Bool().Draw(q.rt, "by the path of the user") {
		ask = q.db.UserEvents
	}
	page, err := ask(context.Background(), q.account, f)
	if err != nil || page.Next != nil {
		q.rt.Fatalf("all at once: next %v, error %v", page.Next, err)
	}
	return forgetIngestion(page.Events)
}

// checkPages compares pages and export in both orders.
func (q oneFilter) checkPages(all []query.Event) {
	turned := slices.Clone(all)
	slices.Reverse(turned)
	for order, want := range map[query.Order][]query.Event{query.Descending: all, query.Ascending: turned} {
		f := q.filter
		f.Order, f.Limit = order, rapid.IntRange(1, 50).Draw(q.rt, "limit")
		sameJSON(q.rt, "all at once, "+string(order), q.unpaged(f), want)
		pages, err := paged(context.Background(), q.db, q.account, f)
		if err != nil {
			q.rt.Fatalf("pages: %v", err)
		}
		sameJSON(q.rt, "pages, "+string(order), forgetIngestion(pages), want)
		rows, _, err := exported(context.Background(), q.db, q.account, f)
		if err != nil {
			q.rt.Fatalf("export: %v", err)
		}
		sameJSON(q.rt, "export, "+string(order), forgetIngestion(rows), want)
	}
}

// checkBars compares the sums of the bars, by outcome, with the events.
func (q oneFilter) checkBars(all []query.Event) {
	h, err := q.db.Histogram(context.Background(), q.account, query.HistogramQuestion{
		Filter: q.filter, Interval: rapid.SampledFrom([]query.Interval{"", "1mo", "1y"}).Draw(q.rt, "interval"), Zone: epoch.Location(), Now: epoch,
	})
	if err != nil {
		q.rt.Fatalf("histogram: %v", err)
	}
	sum, want := query.Bar{}, query.Bar{}
	for _, bar := range h.Buckets {
		sum.Total, sum.Success = sum.Total+bar.Total, sum.Success+bar.Success
		sum.Failure, sum.Pending = sum.Failure+bar.Failure, sum.Pending+bar.Pending
	}
	for _, e := range all {
		want.Add(e.Outcome, 1)
	}
	if sum != want {
		q.rt.Fatalf("the bars add up to %+v, want %+v", sum, want)
	}
}

// checkFacets compares the total and the sum of each facet with the events, and
// the counts of the outcomes.
func (q oneFilter) checkFacets(all []query.Event) {
	a, err := q.db.Facets(context.Background(), q.account, query.FacetsQuestion{Filter: q.filter, Fields: query.Facets(), Top: rapid.IntRange(1, 5).Draw(q.rt, "top")})
	if err != nil {
		q.rt.Fatalf("facets: %v", err)
	}
	if a.Total != uint64(len(all)) {
		q.rt.Fatalf("%d events in all, want %d", a.Total, len(all))
	}
	for _, field := range query.Facets() {
		sum := a.Others[field]
		for _, v := range a.Facets[field] {
			sum += v.Count
		}
		if sum != uint64(len(all)) {
			q.rt.Fatalf("%s: the counts add up to %d, want %d", field, sum, len(all))
		}
	}
}

// checkTail compares what a tail from the beginning of the stream delivers: read by
// the filter in SQL, as one that catches up does, and filtered in Go, as one at
// the edge does.
func (q oneFilter) checkTail(all []query.Event) {
	byArrival := slices.Clone(all)
	slices.SortFunc(byArrival, func(a, b query.Event) int { return cmp.Compare(a.StreamSeq, b.StreamSeq) })
	limit := rapid.IntRange(1, 50).Draw(q.rt, "at once")
	caughtUp := q.tail(limit, func(of query.Stretch) ([]query.Event, uint64, error) {
		return q.db.ArrivedOf(context.Background(), q.account, q.filter, of)
	})
	sameJSON(q.rt, "tail that catches up", caughtUp, byArrival)
	everything := q.tail(limit, func(of query.Stretch) ([]query.Event, uint64, error) {
		return q.db.Arrived(context.Background(), []string{q.account}, of)
	})
	live := slices.DeleteFunc(everything, func(e query.Event) bool { return !q.filter.Matches(e) })
	sameJSON(q.rt, "tail at the edge", live, byArrival)
}

// tail reads the stream from its beginning to its end, so many events at once.
func (q oneFilter) tail(limit int, read func(query.Stretch) ([]query.Event, uint64, error)) []query.Event {
	const end = 1 << 20 // beyond what insertAtRandom gives to repeats
	told := []query.Event{}
	for at := uint64(0); at < end; {
		arrived, upTo, err := read(query.Stretch{After: at, UpTo: end, Limit: limit})
		if err != nil || upTo <= at {
			q.rt.Fatalf("tail: from %d to %d, error %v", at, upTo, err)
		}
		news, err := q.db.News(context.Background(), query.TailEdge{}, arrived)
		if err != nil {
			q.rt.Fatalf("news: %v", err)
		}
		told, at = append(told, forgetIngestion(news)...), upTo
	}
	return told
}

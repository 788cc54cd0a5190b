package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

// compareHistogram holds the bars against a plain count, and against the events
// that the same filter lists.
func compareHistogram(rt *rapid.T, db *store.DB, plain *oracle.Oracle, account string, f query.EventFilter) {
	zone, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu"}).Draw(rt, "zone"))
	if err != nil {
		rt.Fatal(err)
	}
	q := query.HistogramQuestion{Filter: f, Interval: rapid.SampledFrom(append(query.Intervals(), "", "")).Draw(rt, "interval"), Zone: zone, Now: epoch}
	want, wantErr := plain.Histogram(account, q)
	h, err := db.Histogram(context.Background(), account, q)
	if invalid := new(query.InvalidError); wantErr != nil && errors.As(err, &invalid) && err.Error() == wantErr.Error() {
		return // too many bars
	}
	if err != nil {
		rt.Fatalf("histogram: %v", err)
	}
	h.Watermark = query.Watermark{}
	sameJSON(rt, "histogram", h, want)
	sum := uint64(0)
	for i, bar := range h.Buckets {
		if !bar.Start.Before(bar.End.Time) || i > 0 && !bar.Start.Equal(h.Buckets[i-1].End.Time) {
			rt.Fatalf("bar %d begins at %s, ends at %s, and does not follow the one before", i, bar.Start, bar.End)
		}
		sum += bar.Total
	}
	if n := len(plain.Events(account, f)); sum != uint64(n) {
		rt.Fatalf("the bars add up to %d, want the %d events", sum, n)
	}
}

// compareFacets holds the facets against a plain count, and against the events
// that the same filter lists.
func compareFacets(rt *rapid.T, db *store.DB, plain *oracle.Oracle, account string, f query.EventFilter) {
	q := query.FacetsQuestion{Filter: f, Fields: query.Facets(), Top: rapid.IntRange(1, 6).Draw(rt, "top")}
	got, err := db.Facets(context.Background(), account, q)
	if err != nil {
		rt.Fatalf("facets: %v", err)
	}
	got.Watermark = query.Watermark{}
	sameJSON(rt, "facets", got, plain.Facets(account, q))
	events := uint64(len(plain.Events(account, f)))
	for _, field := range q.Fields {
		sum := got.Others[field]
		for _, v := range got.Facets[field] {
			sum += v.Count
		}
		if sum != events {
			rt.Fatalf("%s: the counts add up to %d, want the %d events", field, sum, events)
		}
	}
}

func TestHistogramHasAtMostAThousandBarsAndSaysWhichIntervalWouldDo(t *testing.T) {
	db := openDatabase(t)
	q := query.HistogramQuestion{
		Filter:   query.EventFilter{Range: query.TimeRange{Start: epoch.AddDate(-1, 0, 0), End: epoch}},
		Interval: "1h", Zone: time.UTC, Now: epoch,
	}
	_, err := db.reader.Histogram(t.Context(), "acme", q)
	invalid := new(query.InvalidError)
	if !errors.As(err, &invalid) || invalid.Errors[0].Parameter != "interval" || invalid.Errors[0].Allowed != "for this range 12h or longer; or a shorter range" {
		t.Errorf("error %v, want one that names the interval and what would do", err)
	}
	q.Interval = ""
	h, err := db.reader.Histogram(t.Context(), "acme", q)
	if err != nil || h.Interval != "1w" || len(h.Buckets) != 53 {
		t.Errorf("%d bars of %s, error %v; want about 60", len(h.Buckets), h.Interval, err)
	}
}

func TestAnAccountWithoutEventsHasEmptyCounts(t *testing.T) {
	db := openDatabase(t)
	h, err := db.reader.Histogram(t.Context(), "nobody", query.HistogramQuestion{Zone: time.UTC, Now: epoch})
	if err != nil || len(h.Buckets) != 0 {
		t.Errorf("%d bars, error %v; want none", len(h.Buckets), err)
	}
	a, err := db.reader.Facets(t.Context(), "nobody", query.FacetsQuestion{Fields: query.Facets(), Top: 10})
	if err != nil || a.Total != 0 || len(a.Facets) != len(query.Facets()) || len(a.Others) != 0 {
		t.Errorf("facets %+v, error %v; want every field without a value", a, err)
	}
}

func TestRepeatsThatAreNotMergedCountOnce(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "SYSTEM STOP MERGES events")
	events := someEvents("acme", 5, time.Minute)
	for range 3 {
		if err := db.writer.Insert(t.Context(), events); err != nil {
			t.Fatal(err)
		}
	}
	a, err := db.reader.Facets(t.Context(), "acme", query.FacetsQuestion{Fields: []query.Facet{query.FacetOutcome}, Top: 10})
	if err != nil || a.Total != 5 {
		t.Errorf("%d events, error %v; want 5", a.Total, err)
	}
	h, err := db.reader.Histogram(t.Context(), "acme", query.HistogramQuestion{Interval: "1y", Zone: time.UTC, Now: epoch})
	if err != nil || len(h.Buckets) != 1 || h.Buckets[0].Success != 5 {
		t.Errorf("bars %+v, error %v; want one of 5 successes", h.Buckets, err)
	}
}

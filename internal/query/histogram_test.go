package query

import (
	"net/url"
	"slices"
	"testing"
	"time"
	_ "time/tzdata" // the tests need the zones on every machine

	"pgregory.net/rapid"
)

func TestBarsBeginAtTheBoundariesOfTheZonesCalendar(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	for _, test := range []struct {
		interval   Interval
		start, end string
		want       []string
	}{
		{"1h", "2026-11-01T09:20", "2026-11-01T11:30", []string{"2026-11-01T09:20", "2026-11-01T10:00", "2026-11-01T11:00"}},
		{"6h", "2026-11-01T00:00", "2026-11-02T00:00", []string{"2026-11-01T00:00", "2026-11-01T06:00", "2026-11-01T12:00", "2026-11-01T18:00"}},
		{"1w", "2026-11-04T12:00", "2026-11-17T00:00", []string{"2026-11-04T12:00", "2026-11-09T00:00", "2026-11-16T00:00"}},
		{"1mo", "2026-01-31T00:00", "2026-04-01T00:00", []string{"2026-01-31T00:00", "2026-02-01T00:00", "2026-03-01T00:00"}},
		{"3mo", "2026-02-10T00:00", "2026-07-02T00:00", []string{"2026-02-10T00:00", "2026-04-01T00:00", "2026-07-01T00:00"}},
		{"1y", "2025-12-31T23:00", "2026-01-01T01:00", []string{"2025-12-31T23:00", "2026-01-01T00:00"}},
		// The day on which the clock goes forward has 23 hours, and two days later
		// bars begin at midnight again.
		{"12h", "2026-03-29T00:00", "2026-03-31T00:00", []string{"2026-03-29T00:00", "2026-03-29T13:00", "2026-03-30T00:00", "2026-03-30T12:00"}},
		{"1d", "2026-03-28T06:00", "2026-03-31T00:00", []string{"2026-03-28T06:00", "2026-03-29T00:00", "2026-03-30T00:00"}},
	} {
		at := func(s string) time.Time {
			v, err := time.ParseInLocation("2006-01-02T15:04", s, berlin)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		q := HistogramQuestion{Interval: test.interval, Zone: berlin}
		_, starts, err := q.Bars(TimeRange{Start: at(test.start), End: at(test.end)})
		var got []string
		for _, s := range starts {
			got = append(got, s.In(berlin).Format("2006-01-02T15:04"))
		}
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s from %s to %s: bars begin at %v, error %v; want %v", test.interval, test.start, test.end, got, err, test.want)
		}
	}
}

func TestBarsOfAnyRangeFollowOneAnotherAndAreNotTooMany(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo"}
	rapid.Check(t, func(rt *rapid.T) {
		start := time.UnixMicro(rapid.Int64Range(0, 2e15).Draw(rt, "start")).UTC()
		span := time.Duration(rapid.Int64Range(1, int64(20*365*24*time.Hour)).Draw(rt, "span")).Truncate(time.Microsecond)
		r := TimeRange{Start: start, End: start.Add(span + time.Microsecond)}
		q := HistogramQuestion{Zone: zone(rt, rapid.SampledFrom(zones).Draw(rt, "zone"))}
		chosen, starts, err := q.Bars(r)
		if err != nil || len(starts) == 0 || len(starts) > BarsWanted || !slices.Contains(Intervals(), chosen) {
			rt.Fatalf("%d bars of %s, error %v", len(starts), chosen, err)
		}
		if !starts[0].Equal(r.Start) || !slices.IsSortedFunc(starts, time.Time.Compare) || !starts[len(starts)-1].Before(r.End) {
			rt.Fatalf("bars begin at %v, the range is %v", starts, r)
		}
	})
}

func TestParametersOfCountsAreChecked(t *testing.T) {
	asked := Asked{Account: "acme", Now: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	for query, parameter := range map[string]string{
		"interval=2h": "interval", "interval=": "interval", "limit=5": "limit", "cursor=x": "cursor", "order=asc": "order",
		"status=99": "status", "fields=status": "fields",
	} {
		v, _ := url.ParseQuery(query)
		_, err := ParseHistogram(v, asked)
		wantParameter(t, "histogram?"+query, err, parameter)
	}
	for query, parameter := range map[string]string{
		"fields=color": "fields", "top=0": "top", "top=101": "top", "top=1&top=2": "top", "interval=1h": "interval",
	} {
		v, _ := url.ParseQuery(query)
		_, err := ParseFacets(v, asked)
		wantParameter(t, "facets?"+query, err, parameter)
	}
	v, _ := url.ParseQuery("fields=ip&fields=status&top=3&outcome=failure&tz=Europe/Berlin")
	q, err := ParseFacets(v, asked)
	if err != nil || q.Top != 3 || !slices.Equal(q.Fields, []Facet{FacetIP, FacetStatus}) || len(q.Filter.Outcomes) != 1 {
		t.Errorf("asked is %+v, error %v", q, err)
	}
}

func wantParameter(t *testing.T, what string, err error, parameter string) {
	t.Helper()
	invalid, ok := err.(*InvalidError) //nolint:errorlint // the parsers promise this very type
	if !ok || len(invalid.Errors) != 1 || invalid.Errors[0].Parameter != parameter {
		t.Errorf("%s: error %v, want one about %s", what, err, parameter)
	}
}

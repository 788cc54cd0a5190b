package query

import (
	"fmt"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// Interval is the length of a histogram's bars. Bars begin at the zone's own
// midnights, Mondays, and first days of a month.
type Interval string

// intervalSteps are the intervals, the shortest first, by what they add: a
// duration within a day, or days and months.
var intervalSteps = []struct {
	name         Interval
	within       time.Duration
	days, months int
}{
	{name: "1s", within: time.Second}, {name: "10s", within: 10 * time.Second},
	{name: "1m", within: time.Minute}, {name: "5m", within: 5 * time.Minute}, {name: "15m", within: 15 * time.Minute}, {name: "30m", within: 30 * time.Minute},
	{name: "1h", within: time.Hour}, {name: "3h", within: 3 * time.Hour}, {name: "6h", within: 6 * time.Hour}, {name: "12h", within: 12 * time.Hour},
	{name: "1d", days: 1}, {name: "1w", days: 7},
	{name: "1mo", months: 1}, {name: "3mo", months: 3}, {name: "1y", months: 12},
}

// Intervals lists the intervals, the shortest first.
func Intervals() []Interval {
	all := make([]Interval, len(intervalSteps))
	for i, s := range intervalSteps {
		all[i] = s.name
	}
	return all
}

// The numbers of bars: about how many are chosen, and the most that may be asked
// for.
const (
	BarsWanted = 60
	MaxBars    = 1000
)

// next is where the bar ends that t is in.
func (i Interval) next(t time.Time, zone *time.Location) time.Time {
	local := t.In(zone)
	y, m, d := local.Date()
	for _, s := range intervalSteps {
		switch {
		case s.name != i:
		case s.months > 0:
			first := int(m) - 1 - (int(m)-1)%s.months
			return time.Date(y, time.Month(first+1+s.months), 1, 0, 0, 0, 0, zone)
		case s.days == 7:
			sinceMonday := (int(local.Weekday()) + 6) % 7
			return time.Date(y, m, d-sinceMonday+7, 0, 0, 0, 0, zone)
		case s.days > 0:
			return time.Date(y, m, d+1, 0, 0, 0, 0, zone)
		default:
			midnight := time.Date(y, m, d, 0, 0, 0, 0, zone)
			end := midnight.Add(t.Sub(midnight).Truncate(s.within) + s.within)
			// Where the clock changes, the day's last bar is shorter.
			if tomorrow := time.Date(y, m, d+1, 0, 0, 0, 0, zone); end.After(tomorrow) {
				return tomorrow
			}
			return end
		}
	}
	return t.AddDate(100, 0, 0)
}

// cut gives where the bars of a range begin; nil when they are more than most.
func (i Interval) cut(r TimeRange, zone *time.Location, most int) []time.Time {
	var starts []time.Time
	for at := r.Start; at.Before(r.End); {
		if len(starts) == most {
			return nil
		}
		starts = append(starts, at.UTC())
		next := i.next(at, zone)
		if !next.After(at) { // a midnight that the zone's clock skips
			next = at.Add(time.Hour)
		}
		at = next
	}
	return starts
}

// HistogramQuestion asks for the number of events over time.
type HistogramQuestion struct {
	// Filter says which; its order and page do not matter.
	Filter EventFilter
	// Interval is the length of the bars; "" has one chosen.
	Interval Interval
	// Zone is whose midnights the bars begin at.
	Zone *time.Location
	// Now is where a range without an end ends, unless an event is later.
	Now time.Time
}

// Bars cuts a closed range into bars: the interval, and where each begins. It
// gives an [*InvalidError] where the interval that was asked for makes too many.
func (q HistogramQuestion) Bars(r TimeRange) (Interval, []time.Time, error) {
	if q.Interval != "" {
		starts := q.Interval.cut(r, q.Zone, MaxBars)
		if starts == nil && r.Start.Before(r.End) {
			chosen, _ := choose(r, q.Zone, MaxBars)
			return "", nil, &InvalidError{Errors: []ParameterError{{
				Parameter: "interval",
				Detail:    fmt.Sprintf("%s makes more than %d bars of this range", q.Interval, MaxBars),
				Allowed:   "for this range " + string(chosen) + " or longer; or a shorter range",
			}}}
		}
		return q.Interval, starts, nil
	}
	chosen, starts := choose(r, q.Zone, BarsWanted)
	return chosen, starts, nil
}

// choose takes the shortest interval that makes at most so many bars.
func choose(r TimeRange, zone *time.Location, most int) (chosen Interval, starts []time.Time) {
	for _, s := range intervalSteps {
		if starts := s.name.cut(r, zone, most); starts != nil {
			return s.name, starts
		}
	}
	last := intervalSteps[len(intervalSteps)-1].name
	return last, last.cut(r, zone, MaxBars)
}

// Bar is one bar: the events at Start or later and before End.
type Bar struct {
	Start   Timestamp `json:"start"`
	End     Timestamp `json:"end"`
	Total   uint64    `json:"total"`
	Success uint64    `json:"success"`
	Failure uint64    `json:"failure"`
	Pending uint64    `json:"pending"`
}

// Add counts n events of an outcome.
func (b *Bar) Add(o event.Outcome, n uint64) {
	b.Total += n
	switch o {
	case event.OutcomeSuccess:
		b.Success += n
	case event.OutcomeFailure:
		b.Failure += n
	case event.OutcomePending:
		b.Pending += n
	}
}

// Histogram is the number of events over time. The bars follow one another
// without a gap over the range that was asked for; those without events are
// there too.
type Histogram struct {
	Interval  Interval  `json:"interval"`
	Buckets   []Bar     `json:"buckets"`
	Watermark Watermark `json:"watermark"`
}

// NewBars are the empty bars that begin at starts and end with the range.
func NewBars(starts []time.Time, end time.Time) []Bar {
	bars := make([]Bar, len(starts))
	for i, start := range starts {
		bars[i].Start, bars[i].End = At(start), At(end)
		if i+1 < len(starts) {
			bars[i].End = At(starts[i+1])
		}
	}
	return bars
}

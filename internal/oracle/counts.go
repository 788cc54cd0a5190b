package oracle

import (
	"slices"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Histogram counts the events that the filter lets through, one by one.
func (o *Oracle) Histogram(account string, q query.HistogramQuestion) (query.Histogram, error) {
	events := o.counted(account, q.Filter)
	span := q.Filter.Range
	if span.End.IsZero() {
		span.End = q.Now
		if n := len(events); n > 0 && !events[n-1].OccurredAt.Before(q.Now) {
			span.End = events[n-1].OccurredAt.Add(time.Microsecond)
		}
	}
	if span.Start.IsZero() {
		span.Start = span.End
		if len(events) > 0 {
			span.Start = events[0].OccurredAt.Time
		}
	}
	interval, starts, err := q.Bars(span)
	if err != nil {
		return query.Histogram{}, err
	}
	h := query.Histogram{Interval: interval, Buckets: query.NewBars(starts, span.End)}
	for _, e := range events {
		at := slices.IndexFunc(h.Buckets, func(b query.Bar) bool {
			return !e.OccurredAt.Before(b.Start.Time) && e.OccurredAt.Before(b.End.Time)
		})
		h.Buckets[at].Add(e.Outcome, 1)
	}
	return h, nil
}

// Facets counts the events that the filter lets through, one by one.
func (o *Oracle) Facets(account string, q query.FacetsQuestion) query.FacetAnswer {
	events := o.counted(account, q.Filter)
	a := query.FacetAnswer{Facets: make(map[query.Facet][]query.FacetValue), Total: uint64(len(events))}
	for _, field := range q.Fields {
		a.Facets[field] = nil
		for _, e := range events {
			v := valueOf(e, field)
			at := slices.IndexFunc(a.Facets[field], func(have query.FacetValue) bool { return have.Value == v.Value })
			if at < 0 {
				at = len(a.Facets[field])
				a.Facets[field] = append(a.Facets[field], v)
			}
			a.Facets[field][at].Count++
		}
	}
	a.Cut(q.Top)
	return a
}

// counted are the events that a filter lets through, oldest first.
func (o *Oracle) counted(account string, f query.EventFilter) []query.Event {
	f.Order = query.Ascending
	return o.Events(account, f)
}

func valueOf(e query.Event, field query.Facet) query.FacetValue {
	switch field {
	case query.FacetStatus:
		return query.FacetValue{Value: e.Status, Name: e.StatusName}
	case query.FacetEntry:
		return query.FacetValue{Value: e.Entry, Name: e.EntryName}
	case query.FacetKind:
		return query.FacetValue{Value: string(e.Kind)}
	case query.FacetOutcome:
		return query.FacetValue{Value: string(e.Outcome)}
	case query.FacetUsername:
		return text(present(e.Username))
	case query.FacetIP:
		return text(e.IP)
	case query.FacetService:
		return text(e.Service)
	case query.FacetMFAMethod:
		return text(e.MFAMethod)
	case query.FacetUserAgent:
		return text(e.UserAgent)
	}
	return query.FacetValue{}
}

func text[S ~string](s *S) query.FacetValue {
	if s == nil {
		return query.FacetValue{}
	}
	return query.FacetValue{Value: string(*s)}
}

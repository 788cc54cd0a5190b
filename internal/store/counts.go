package store

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// factsOf is the table whose key serves the filter. FINAL counts every event
// once, however often its row stands there unmerged. Repeats have one content,
// so that they lie in one partition and no filter tells them apart: the reader's
// profile has FINAL merge each partition by itself.
func factsOf(f query.EventFilter) string {
	table := "events"
	if f.Username != nil {
		table = "events_by_user"
	}
	return table + " FINAL"
}

// Histogram counts the events that the filter lets through over time.
func (db *DB) Histogram(ctx context.Context, account string, q query.HistogramQuestion) (query.Histogram, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.Histogram{}, err
	}
	span, err := db.spanOf(ctx, account, q)
	if err != nil {
		return query.Histogram{}, err
	}
	interval, starts, err := q.Bars(span)
	if err != nil {
		return query.Histogram{}, err
	}
	h := query.Histogram{Interval: interval, Buckets: query.NewBars(starts, span.End), Watermark: mark}
	if len(starts) == 0 {
		return h, nil
	}
	return h, db.countBars(ctx, account, q.Filter, starts, h.Buckets)
}

// spanOf closes an open range: it begins with the first event that the filter
// lets through and ends now, or behind the last of them.
func (db *DB) spanOf(ctx context.Context, account string, q query.HistogramQuestion) (query.TimeRange, error) {
	r := q.Filter.Range
	if !r.Start.IsZero() && !r.End.IsZero() {
		return r, nil
	}
	c := filterEvents(account, q.Filter)
	from := strings.TrimSuffix(factsOf(q.Filter), " FINAL") // repeats change neither
	s := statement{
		name:   "span",
		sql:    `SELECT count(), min(occurred_at), max(occurred_at) FROM ` + from + ` WHERE ` + c.String(),
		params: c.params,
	}
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var n uint64
		var first, last time.Time
		if err := rows.Scan(&n, &first, &last); err != nil {
			return err
		}
		if r.End.IsZero() {
			r.End = q.Now
			if n > 0 && !last.Before(q.Now) {
				r.End = last.Add(time.Microsecond)
			}
		}
		if r.Start.IsZero() {
			r.Start = first
			if n == 0 {
				r.Start = r.End // no bars
			}
		}
		return nil
	})
	return r, err
}

// countBars adds the events to the bars that begin at starts.
func (db *DB) countBars(ctx context.Context, account string, f query.EventFilter, starts []time.Time, bars []query.Bar) error {
	edges := make([]string, len(starts))
	index := make(map[int64]int, len(starts))
	for i, start := range starts {
		edges[i] = strconv.FormatInt(start.UnixMicro(), 10)
		index[start.UnixMicro()] = i
	}
	f.Range = query.TimeRange{Start: starts[0], End: bars[len(bars)-1].End.Time}
	c := filterEvents(account, f)
	s := statement{
		name: "histogram",
		sql: `SELECT toInt64(roundDown(toUnixTimestamp64Micro(occurred_at), [` + strings.Join(edges, ", ") + `]::Array(Int64))) AS bar, status, count()
			FROM ` + factsOf(f) + ` WHERE ` + c.String() + ` GROUP BY bar, status`,
		params: c.params,
	}
	return db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var start int64
		var status uint8
		var n uint64
		if err := rows.Scan(&start, &status, &n); err != nil {
			return err
		}
		i, ok := index[start]
		if !ok {
			return fmt.Errorf("count bars: no bar begins at %d", start)
		}
		bars[i].Add(event.Status(status).Outcome(), n)
		return nil
	})
}

// facetColumns are the columns that events are counted by, and how their values
// are told as text, once they are counted; kind and outcome follow from the status.
var facetColumns = map[query.Facet]struct{ column, text string }{
	query.FacetStatus:    {"status", "toString(status)"},
	query.FacetEntry:     {"entry", "toString(entry)"},
	query.FacetUsername:  {"username", "username"},
	query.FacetIP:        {"ip", "if(isNull(ip), '', hex(reinterpretAsFixedString(assumeNotNull(ip))))"},
	query.FacetService:   {"service", "toString(service)"},
	query.FacetMFAMethod: {"mfa_method", "toString(mfa_method)"},
	query.FacetUserAgent: {"user_agent", "toString(user_agent)"},
}

// Facets counts the events that the filter lets through by the values of fields.
func (db *DB) Facets(ctx context.Context, account string, q query.FacetsQuestion) (query.FacetAnswer, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.FacetAnswer{}, err
	}
	a := query.FacetAnswer{Facets: make(map[query.Facet][]query.FacetValue), Watermark: mark}
	counted := []query.Facet{query.FacetStatus} // always: it gives the total, too
	for _, field := range q.Fields {
		a.Facets[field] = nil
		if _, ok := facetColumns[field]; ok && field != query.FacetStatus {
			counted = append(counted, field)
		}
	}
	statuses := make(map[event.Status]uint64)
	err = db.countFacets(ctx, account, q, counted, func(field query.Facet, value string, n uint64) error {
		if field == query.FacetStatus {
			code, err := strconv.ParseUint(value, 10, 8)
			statuses[event.Status(code)] = n
			a.Total += n
			return err
		}
		v, err := facetValue(field, value, n)
		a.Facets[field] = append(a.Facets[field], v)
		return err
	})
	if err != nil {
		return query.FacetAnswer{}, err
	}
	ofStatuses(a.Facets, statuses)
	a.Cut(q.Top)
	return a, nil
}

// ofStatuses fills in the facets that follow from the statuses.
func ofStatuses(facets map[query.Facet][]query.FacetValue, statuses map[event.Status]uint64) {
	kinds, outcomes := make(map[event.Kind]uint64), make(map[event.Outcome]uint64)
	for s, n := range statuses {
		kinds[s.Kind()] += n
		outcomes[s.Outcome()] += n
	}
	add := func(field query.Facet, v query.FacetValue) {
		if _, ok := facets[field]; ok && v.Count > 0 {
			facets[field] = append(facets[field], v)
		}
	}
	for _, s := range event.Statuses() {
		add(query.FacetStatus, query.FacetValue{Value: s, Name: s.Name(), Count: statuses[s]})
	}
	for _, k := range event.Kinds() {
		add(query.FacetKind, query.FacetValue{Value: string(k), Count: kinds[k]})
	}
	for _, o := range event.Outcomes() {
		add(query.FacetOutcome, query.FacetValue{Value: string(o), Count: outcomes[o]})
	}
}

func facetValue(field query.Facet, value string, n uint64) (query.FacetValue, error) {
	switch {
	case field == query.FacetEntry:
		code, err := strconv.ParseUint(value, 10, 8)
		entry := event.Entry(code)
		return query.FacetValue{Value: entry, Name: entry.Name(), Count: n}, err
	case value == "":
		return query.FacetValue{Count: n}, nil
	case field == query.FacetIP:
		b, err := hex.DecodeString(value)
		ip, ok := netip.AddrFromSlice(b)
		if err != nil || !ok {
			return query.FacetValue{}, fmt.Errorf("address of %d digits", len(value))
		}
		value = ip.Unmap().String()
	}
	return query.FacetValue{Value: value, Count: n}, nil
}

// countFacets counts by several fields in one reading. Of each field but the
// status the values with the most events come, q.Top of them.
func (db *DB) countFacets(ctx context.Context, account string, q query.FacetsQuestion, fields []query.Facet, add func(query.Facet, string, uint64) error) error {
	sets, chosen := make([]string, len(fields)), make([]string, len(fields))
	for i, field := range fields {
		f := facetColumns[field]
		sets[i] = "(" + f.column + ")"
		chosen[i] = fmt.Sprintf("grouping(%s) = 0, (%d, %s)", f.column, i, f.text)
	}
	c := filterEvents(account, q.Filter)
	c.params["top"] = uint64(max(q.Top, len(event.Statuses())))
	s := statement{
		name: "facets",
		sql: `SELECT toUInt8(facet.1) AS field, toString(facet.2) AS value, n FROM (
				SELECT multiIf(` + strings.Join(chosen, ", ") + `, (0, '')) AS facet, count() AS n
				FROM ` + factsOf(q.Filter) + ` WHERE ` + c.String() + `
				GROUP BY GROUPING SETS (` + strings.Join(sets, ", ") + `)
			) ORDER BY field, n DESC, value = '', value LIMIT {top:UInt64} BY field`,
		params: c.params,
	}
	return db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var field uint8
		var value string
		var n uint64
		if err := rows.Scan(&field, &value, &n); err != nil {
			return err
		}
		return add(fields[field], value, n)
	})
}

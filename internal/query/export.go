package query

import (
	"maps"
	"net/url"
)

// ExportFormat is the form in which events are taken away.
type ExportFormat string

// The formats of an export.
const (
	// ExportNDJSON is one event a line, as in the lists.
	ExportNDJSON ExportFormat = "ndjson"
	// ExportCSV is RFC 4180.
	ExportCSV ExportFormat = "csv"
	// ExportParquet is Apache Parquet.
	ExportParquet ExportFormat = "parquet"
	// ExportOCSF is one event a line in the Open Cybersecurity Schema Framework.
	ExportOCSF ExportFormat = "ocsf"
)

// ExportFormats lists them.
func ExportFormats() []ExportFormat {
	return []ExportFormat{ExportNDJSON, ExportCSV, ExportParquet, ExportOCSF}
}

// ExportQuestion asks for all events that a filter lets through.
type ExportQuestion struct {
	Format ExportFormat
	// Filter says which, and in which order; it has no Limit and no After.
	Filter EventFilter
}

// pageParameters are refused by an export, which has no pages.
var pageParameters = []string{"limit", "cursor"}

// ParseExport reads the parameters of GET /export.
func ParseExport(v url.Values, a Asked) (ExportQuestion, error) {
	all := maps.Clone(v)
	for _, name := range pageParameters {
		delete(all, name)
	}
	in := open(exportRoute, all, a)
	for _, name := range pageParameters {
		if v.Has(name) {
			in.failAllowed(name, "an export has no pages: it is everything that matches, in one answer", exportRoute.allowed())
		}
	}
	q := ExportQuestion{Format: choice(in, "format", ExportFormats(), ExportNDJSON), Filter: in.events()}
	q.Filter.Order = choice(in, "order", orders(), Descending)
	return q, in.err()
}

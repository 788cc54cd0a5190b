package query

import (
	"cmp"
	"slices"

	"github.com/loginaudit/loginaudit/event"
)

// Facet is a field by whose values events are counted.
type Facet string

// The facets, in the order in which they are listed.
const (
	FacetStatus    Facet = "status"
	FacetEntry     Facet = "entry"
	FacetKind      Facet = "kind"
	FacetOutcome   Facet = "outcome"
	FacetUsername  Facet = "username"
	FacetIP        Facet = "ip"
	FacetService   Facet = "service"
	FacetMFAMethod Facet = "mfa_method"
	FacetUserAgent Facet = "user_agent"
)

// Facets lists all of them.
func Facets() []Facet {
	return []Facet{
		FacetStatus, FacetEntry, FacetKind, FacetOutcome, FacetUsername, FacetIP, FacetService, FacetMFAMethod, FacetUserAgent,
	}
}

// The numbers of values of a facet that are told.
const (
	DefaultTop = 10
	MaxTop     = 100
)

// FacetsQuestion asks how many events have which value.
type FacetsQuestion struct {
	// Filter says which; its order and page do not matter.
	Filter EventFilter
	Fields []Facet
	// Top is how many values of each field are told, those with the most events
	// first.
	Top int
}

// FacetValue is a value and its number of events.
type FacetValue struct {
	// Value is a number for codes and a text for all else; nil is absent.
	Value any `json:"value"`
	// Name is that of a code.
	Name  string `json:"name,omitempty"`
	Count uint64 `json:"count"`
}

// FacetAnswer is how many events have which value. The counts of a field and its
// Others add up to Total.
type FacetAnswer struct {
	Facets map[Facet][]FacetValue `json:"facets"`
	// Others counts, by field, the events whose value is not told; a field of
	// which all values are told is not in it.
	Others    map[Facet]uint64 `json:"others,omitempty"`
	Total     uint64           `json:"total"`
	Watermark Watermark        `json:"watermark"`
}

// Cut keeps of each field the values with the most events; of as many, those
// that compare lower, the absent last.
func (a *FacetAnswer) Cut(top int) {
	for field, values := range a.Facets {
		slices.SortFunc(values, func(x, y FacetValue) int {
			return cmp.Or(cmp.Compare(y.Count, x.Count), compareValues(x.Value, y.Value))
		})
		told := uint64(0)
		values = values[:min(top, len(values))]
		for _, v := range values {
			told += v.Count
		}
		a.Facets[field] = values
		if told < a.Total {
			if a.Others == nil {
				a.Others = make(map[Facet]uint64)
			}
			a.Others[field] = a.Total - told
		}
	}
}

func compareValues(x, y any) int {
	switch x := x.(type) {
	case event.Status:
		return cmp.Compare(x, y.(event.Status)) //nolint:forcetypeassert // values of a field have one type
	case event.Entry:
		return cmp.Compare(x, y.(event.Entry)) //nolint:forcetypeassert // see above
	case string:
		if y, ok := y.(string); ok {
			return cmp.Compare(x, y)
		}
		return -1
	}
	return 1
}

package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// form is the filters of a list: one GET form, and links that change one thing.
type form struct {
	// Action is the path of the list; Hidden what the form keeps of the address.
	Action string
	Hidden []pair
	// Presets are ranges to choose by one click.
	Presets []preset
	// Fields are always seen, More when it is opened.
	Fields, More []field
	MoreOpen     bool
	// Chips are the filters in effect, each with the address without it.
	Chips []chip
	// Clear is the list without filters; AllTime without its range, "" where it
	// has none.
	Clear, AllTime string
}

type pair struct{ Name, Value string }

type preset struct {
	Label, Href string
	Current     bool
}

type chip struct{ Label, Value, Href string }

// fieldKind tells how a field is filled in.
type fieldKind string

const (
	textField   fieldKind = "text"
	timeField   fieldKind = "time"
	selectField fieldKind = "select"
	manyField   fieldKind = "many"
	checkField  fieldKind = "check"
)

// field is one input of the form.
type field struct {
	Name, Label string
	Kind        fieldKind
	Placeholder string
	Help        string
	// Suggestions are values that may be picked instead of typed.
	Suggestions []string
	Options     []option
	// wide fields take two columns; quiet ones change how rows are shown, not
	// which, and have no chip.
	Wide  bool
	quiet bool

	// Value is what is filled in; Chosen how many options are.
	Value  string
	Chosen int
	// Error is what is wrong with it.
	Error string
}

// option is a value that can be chosen.
type option struct {
	Value, Label string
	Selected     bool
}

// listAddress is what a list was asked, in three forms.
type listAddress struct {
	path string
	// base is the address's parameters without the page that was reached: what
	// links start from.
	base url.Values
	// asked is what the parameters mean, for the query package.
	asked url.Values
	// ranged lists have Start and End.
	ranged bool
}

// pageOnly are the parameters that the API does not know.
func pageOnly() []string { return []string{"view", "name", "unnamed"} }

// defaultStart is where the range of a list starts unless the address says
// something else. An empty start is no bound.
const defaultStart = "-30d"

func newListAddress(path string, v url.Values, ranged bool) listAddress {
	a := listAddress{path: path, base: query.WithoutBlank(v), ranged: ranged}
	if ranged && (v.Has("start") || v.Has("end")) && !a.base.Has("start") {
		a.base.Set("start", "")
	}
	a.asked = query.WithoutBlank(a.base)
	for _, name := range pageOnly() {
		a.asked.Del(name)
	}
	if v.Get("unnamed") != "" {
		a.asked.Add("username", "") // what the API takes for events without one
	}
	if ranged && !a.base.Has("start") {
		a.asked.Set("start", defaultStart)
	}
	a.base.Del("cursor")
	return a
}

// href is the list with other parameters.
func (a listAddress) href(v url.Values) string { return address(a.path, v) }

// next is the page after this one; "" on the last.
func (a listAddress) next(cursor *string) string {
	if cursor == nil {
		return ""
	}
	return a.href(with(a.base, "cursor", *cursor))
}

// form fills in the fields.
func (a listAddress) form(fields, more []field, keep ...string) *form {
	f := &form{Action: a.path, Clear: a.href(a.only("view", "name", "tz", "limit"))}
	for _, name := range append(keep, "view", "name") {
		if value := a.base.Get(name); value != "" {
			f.Hidden = append(f.Hidden, pair{name, value})
		}
	}
	for i := range fields {
		a.fill(&fields[i])
		f.Chips = append(f.Chips, a.chips(fields[i])...)
	}
	for i := range more {
		a.fill(&more[i])
		chips := a.chips(more[i])
		f.Chips = append(f.Chips, chips...)
		f.MoreOpen = f.MoreOpen || len(chips) > 0
	}
	f.Fields, f.More = fields, more
	if a.ranged {
		f.Presets = a.presets()
		f.AllTime = a.href(a.allTime())
	}
	return f
}

// only is the base with nothing but the named parameters.
func (a listAddress) only(names ...string) url.Values {
	v := url.Values{}
	for _, name := range names {
		if a.base.Has(name) {
			v[name] = a.base[name]
		}
	}
	return v
}

// allTime is the base without a range.
func (a listAddress) allTime() url.Values {
	v := with(a.base, "end", "")
	v.Set("start", "")
	return v
}

func (a listAddress) presets() []preset {
	var all []preset
	for _, p := range []struct{ label, start string }{
		{"24 hours", "-24h"}, {"7 days", "-7d"}, {"30 days", "-30d"}, {"All time", ""},
	} {
		v := a.allTime()
		v.Set("start", p.start)
		all = append(all, preset{
			Label: p.label, Href: a.href(v), Current: a.asked.Get("start") == p.start && !a.asked.Has("end"),
		})
	}
	return all
}

// fill puts in what was asked.
func (a listAddress) fill(f *field) {
	values := a.base[f.Name]
	if f.Name == "start" && a.asked.Has("start") {
		values = a.asked["start"]
	}
	if len(values) > 0 {
		f.Value = values[0]
	}
	for i := range f.Options {
		o := &f.Options[i]
		if o.Selected = slices.Contains(values, o.Value); o.Selected && o.Value != "" {
			f.Chosen++
		}
	}
	if f.Name == "limit" && f.Value == "" {
		f.Value = strconv.Itoa(query.DefaultLimit)
	}
	if f.Kind == selectField && f.Value != "" && !slices.ContainsFunc(f.Options, func(o option) bool { return o.Value == f.Value }) {
		f.Options = append(f.Options, option{Value: f.Value, Label: plain(f.Value)})
	}
	if f.Kind == selectField {
		for i := range f.Options {
			f.Options[i].Selected = f.Options[i].Value == f.Value
		}
	}
}

// chips are those of the values of one field.
func (a listAddress) chips(f field) []chip {
	if f.quiet {
		return nil
	}
	if f.Name == "start" {
		if a.base.Get("start") == "" {
			return nil
		}
		v := clone(a.base)
		v.Set("start", "")
		return []chip{{f.Label, plain(f.Value), a.href(v)}}
	}
	var chips []chip
	for _, value := range a.base[f.Name] {
		if value == "" {
			continue
		}
		shown := plain(value)
		for _, o := range f.Options {
			if o.Value == value {
				shown = o.Label
			}
		}
		if f.Kind == checkField {
			shown = ""
		}
		chips = append(chips, chip{f.Label, shown, a.href(without(a.base, f.Name, value))})
	}
	return chips
}

// blame puts what is wrong at the fields, and gives back what no field has.
func (f *form) blame(errors []query.ParameterError) (rest []query.ParameterError) {
	byName := map[string]*field{}
	for i := range f.Fields {
		byName[f.Fields[i].Name] = &f.Fields[i]
	}
	for i := range f.More {
		byName[f.More[i].Name] = &f.More[i]
	}
	for _, e := range errors {
		blamed, ok := byName[e.Parameter]
		if !ok {
			rest = append(rest, e)
			continue
		}
		blamed.Error = e.Detail
		f.MoreOpen = f.MoreOpen || slices.ContainsFunc(f.More, func(m field) bool { return m.Error != "" })
	}
	return rest
}

// The fields that several lists share.

func startField() field {
	return field{Name: "start", Label: "Start", Kind: timeField, Placeholder: "no bound", Suggestions: suggestedTimes()}
}

func endField() field {
	return field{Name: "end", Label: "End", Kind: timeField, Placeholder: "now", Suggestions: suggestedTimes()}
}

func suggestedTimes() []string { return []string{"-1h", "-24h", "-7d", "-30d", "-90d", "now"} }

func zoneField() field {
	return field{
		Name: "tz", Label: "Time zone", Kind: textField, Placeholder: "UTC", quiet: true,
		Suggestions: []string{
			"UTC", "Europe/London", "Europe/Berlin", "Europe/Helsinki", "America/New_York", "America/Chicago",
			"America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Dubai", "Asia/Kolkata",
			"Asia/Singapore", "Asia/Tokyo", "Australia/Sydney",
		},
	}
}

func limitField() field {
	return field{Name: "limit", Label: "Rows", Kind: selectField, quiet: true, Options: choices("50", "100", "200", "500", "1000")}
}

func asOfField() field {
	return field{
		Name: "as_of", Label: "As of", Kind: timeField, Placeholder: "now",
		Help: "The answer as if nothing later had happened.",
	}
}

func ipField() field {
	return field{Name: "ip", Label: "IP address or range", Kind: textField, Placeholder: "192.0.2.0/24"}
}

func statusField() field {
	f := field{Name: "status", Label: "Status", Kind: manyField}
	for _, s := range event.Statuses() {
		code := strconv.Itoa(int(s))
		f.Options = append(f.Options, option{Value: code, Label: code + " " + s.Name()})
	}
	return f
}

func entryField() field {
	f := field{Name: "entry", Label: "Entry", Kind: manyField}
	for _, e := range event.Entries() {
		code := strconv.Itoa(int(e))
		f.Options = append(f.Options, option{Value: code, Label: code + " " + e.Name()})
	}
	return f
}

func outcomeField() field {
	return field{Name: "outcome", Label: "Outcome", Kind: manyField, Options: choices(event.Outcomes()...)}
}

func yesNoField(name, label string) field {
	return field{Name: name, Label: label, Kind: selectField, Options: []option{
		{Value: "", Label: "any"}, {Value: "true", Label: "yes"}, {Value: "false", Label: "no"},
	}}
}

func choices[T ~string](values ...T) []option {
	all := make([]option, len(values))
	for i, v := range values {
		all[i] = option{Value: string(v), Label: strings.ReplaceAll(string(v), "_", " ")}
	}
	return all
}

package event

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/loginaudit/loginaudit/schema"
)

// property is what the test reads of a property of the schema.
type property struct {
	Type                 any
	MinLength, MaxLength int
	MaxProperties        int
	PropertyNames        *property
	AdditionalProperties *property
	Enum                 []any
	OneOf                []struct {
		Const int
		Title string
	}
	AnyOf []property
}

type eventSchema struct {
	Type                 string
	Required             []string
	AdditionalProperties bool
	Properties           map[string]property
	Then                 struct{ Properties map[string]property }
}

func readSchema(t *testing.T) eventSchema {
	t.Helper()
	var s eventSchema
	if err := json.Unmarshal(schema.EventV1, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaNamesTheFieldsOfTheCode(t *testing.T) {
	s := readSchema(t)
	if got, want := slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(slices.Values(fieldNames[:])); !slices.Equal(got, want) {
		t.Errorf("properties %q, the code has %q", got, want)
	}
	if want := fieldNames[fieldID : fieldStatus+1]; !slices.Equal(s.Required, want) {
		t.Errorf("required %q, the code has %q", s.Required, want)
	}
	if s.Type != "object" || !s.AdditionalProperties {
		t.Error("the schema refuses members that the contract does not name")
	}
}

func TestSchemaHasTheLimitsOfTheCode(t *testing.T) {
	s := readSchema(t)
	for f, limit := range map[field]int{
		fieldID: MaxID, fieldAccount: MaxAccount, fieldUsername: MaxUsername, fieldSessionID: MaxSessionID,
		fieldUserAgent: MaxUserAgent, fieldService: MaxService, fieldDeviceID: MaxDeviceID, fieldRequestID: MaxRequestID,
		fieldReason: MaxReason,
	} {
		if got := s.Properties[f.String()].MaxLength; got != limit {
			t.Errorf("%s: at most %d, the code says %d", f, got, limit)
		}
		optional := slices.Equal([]any{"string", "null"}, asList(s.Properties[f.String()].Type))
		if optional == slices.Contains(s.Required, f.String()) {
			t.Errorf("%s: null is allowed: %v", f, optional)
		}
	}
	forms := s.Properties[fieldAttributes.String()].AnyOf
	pairs := forms[len(forms)-1]
	if pairs.MaxProperties != MaxAttributes || pairs.PropertyNames.MaxLength != MaxAttributeKey ||
		pairs.AdditionalProperties.MaxLength != MaxAttributeValue {
		t.Errorf("attributes: %+v", pairs)
	}
}

func asList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func TestSchemaHasTheTablesOfTheCode(t *testing.T) {
	s := readSchema(t)
	entries, statuses := map[int]string{}, map[int]string{}
	for _, e := range Entries() {
		entries[int(e)] = e.Name()
	}
	var empty []any
	for _, status := range Statuses() {
		statuses[int(status)] = status.Name()
		if status.AllowsEmptyUsername() {
			empty = append(empty, float64(status))
		}
	}
	for name, want := range map[string]map[int]string{"entry": entries, "status": statuses} {
		got := map[int]string{}
		for _, code := range s.Properties[name].OneOf {
			got[code.Const] = code.Title
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, the code has %v", name, got, want)
		}
	}
	if got := s.Then.Properties["status"].Enum; !slices.Equal(got, empty) {
		t.Errorf("empty usernames with %v, the code says %v", got, empty)
	}
	methods := []any{"", nil}
	for _, m := range MFAMethods() {
		methods = append(methods, string(m))
	}
	got := s.Properties["mfa_method"].Enum
	if len(got) != len(methods) || slices.ContainsFunc(methods, func(m any) bool { return !slices.Contains(got, m) }) {
		t.Errorf("mfa_method: %v, the code has %v", got, methods)
	}
}

// beyondSchema are the rules that JSON Schema cannot express; and the messages
// of testdata that break another rule in a way that it cannot see, because it
// counts characters and knows no time zones.
func beyondSchema(name string, reason Reason) bool {
	return slices.Contains([]Reason{
		ReasonTooLarge, ReasonInvalidUTF8, ReasonNotJSON, ReasonTrailingData, ReasonTooDeep,
		ReasonLoneSurrogate, ReasonBadNumber, ReasonDuplicateMember,
	}, reason) || slices.Contains([]string{
		"too_long_username_bytes", "bad_time_year_10000", "too_early", "too_early_by_offset",
	}, name)
}

func TestSchemaJudgesMessagesAsTheCodeDoes(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema.EventV1))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("event.v1.schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("event.v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	judge := func(t *testing.T, body []byte, golden string) {
		_, _, refused := Decode(body)
		if refused != nil && beyondSchema(strings.TrimSuffix(filepath.Base(golden), ".golden"), asReason(t, refused).Reason) {
			return
		}
		message, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(message); (err == nil) != (refused == nil) {
			t.Errorf("the schema says %v, the code %v", err, refused)
		}
	}
	eachMessage(t, "valid", judge)
	eachMessage(t, "invalid", judge)
	for _, body := range realMessages(t) {
		judge(t, body, "")
	}
}

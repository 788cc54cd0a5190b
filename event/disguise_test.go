package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// disguise writes a valid message in another of the ways that JSON allows:
// members in another order, white space, escapes, other forms of the numbers.
// It reads with the standard library, not with what it is to test.
func disguise(t testing.TB, rng *rand.Rand, body []byte) []byte {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	d := disguiser{rng: rng}
	d.value(value)
	return d.out.Bytes()
}

type disguiser struct {
	rng *rand.Rand
	out bytes.Buffer
}

func (d *disguiser) space() {
	for d.rng.IntN(3) == 0 {
		d.out.WriteByte(" \t\r\n"[d.rng.IntN(4)])
	}
}

func (d *disguiser) value(v any) {
	d.space()
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		d.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		d.list('{', '}', len(names), func(i int) {
			d.value(names[i])
			d.out.WriteByte(':')
			d.value(v[names[i]])
		})
	case []any:
		d.list('[', ']', len(v), func(i int) { d.value(v[i]) })
	case string:
		d.text(v)
	case json.Number:
		d.number(v.String())
	default:
		fmt.Fprint(&d.out, map[any]string{nil: "null", true: "true", false: "false"}[v])
	}
	d.space()
}

func (d *disguiser) list(open, end byte, n int, item func(i int)) {
	d.out.WriteByte(open)
	d.space()
	for i := range n {
		if i > 0 {
			d.out.WriteByte(',')
		}
		item(i)
	}
	d.out.WriteByte(end)
}

func (d *disguiser) number(text string) {
	switch {
	case strings.ContainsAny(text, ".eE"):
		text = strings.NewReplacer("e", "E", "E", "e").Replace(text)
	case d.rng.IntN(3) == 0:
		text += []string{".0", "e0", ".00E+0", "0E-1"}[d.rng.IntN(4)]
	}
	if text == "00E-1" { // zero has no second digit
		text = "0"
	}
	d.out.WriteString(strings.Replace(text, "-00", "-0", 1))
}

func (d *disguiser) text(s string) {
	d.out.WriteByte('"')
	for _, r := range s {
		short := strings.IndexRune("\"\\/\b\f\n\r\t", r)
		switch {
		case short >= 0 && (r == '"' || r == '\\' || d.rng.IntN(2) == 0):
			d.out.WriteByte('\\')
			d.out.WriteByte("\"\\/bfnrt"[short])
		case r < ' ' || d.rng.IntN(4) == 0:
			d.escape(r)
		default:
			d.out.WriteRune(r)
		}
	}
	d.out.WriteByte('"')
}

func (d *disguiser) escape(r rune) {
	for _, unit := range utf16.Encode([]rune{r}) {
		fmt.Fprintf(&d.out, []string{`\u%04x`, `\u%04X`}[d.rng.IntN(2)], unit)
	}
}

// sameEvent compares two events; unknown members are the same when their
// canonical forms are.
func sameEvent(t testing.TB, a, b Event) bool {
	t.Helper()
	a.Unknown, b.Unknown = canonicalMembers(t, a.Unknown), canonicalMembers(t, b.Unknown)
	return reflect.DeepEqual(a, b)
}

func canonicalMembers(t testing.TB, unknown map[string]json.RawMessage) map[string]json.RawMessage {
	t.Helper()
	if unknown == nil {
		return nil
	}
	all := map[string]json.RawMessage{}
	for name, value := range unknown {
		d, err := scanText(string(value), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := canonicalWriter{document: &d}
		if err := w.value(0); err != nil {
			t.Fatal(err)
		}
		all[name] = w.out
	}
	return all
}

// checkRoundTrip demands that a decoded event is what Encode makes of it. Only
// the size may keep it from being encoded: the canonical form of a number can
// be longer than its text.
func checkRoundTrip(t testing.TB, e Event) {
	t.Helper()
	body, err := Encode(e)
	if err != nil {
		if asReason(t, err).Reason != ReasonTooLarge {
			t.Fatalf("a decoded event is not valid: %v\n%+v", err, e)
		}
		return
	}
	again, hash, err := Decode(body)
	if err != nil || !sameEvent(t, e, again) {
		t.Fatalf("%s\n got %+v, %v\nwant %+v", body, again, err, e)
	}
	if sum(body) != hash {
		t.Fatalf("Encode did not write the canonical form: %s", body)
	}
}

var letters = append([]rune("abcXYZ019_-.@ \"\\/\b\f\n\r\t\x00\x1f\x7f"), 'é', '€', 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x1F600, utf8.MaxRune)

// anyValue draws a JSON value of a member that the contract does not name.
func anyValue(depth int) *rapid.Generator[any] {
	text := rapid.StringOfN(rapid.SampledFrom(letters), 0, 8, -1)
	leaves := []*rapid.Generator[any]{
		text.AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil),
		rapid.Map(rapid.Float64(), func(f float64) any { return f }),
		rapid.Map(rapid.Int(), func(n int) any { return n }),
	}
	if depth > 0 {
		inner := anyValue(depth - 1)
		leaves = append(leaves,
			rapid.Map(rapid.SliceOfN(inner, 0, 4), func(v []any) any { return v }),
			rapid.Map(rapid.MapOfN(text, inner, 0, 4), func(v map[string]any) any { return v }))
	}
	return rapid.OneOf(leaves...)
}

// anyMessage draws the members of a valid message.
func anyMessage(t *rapid.T) map[string]any {
	text := rapid.StringOfN(rapid.SampledFrom(letters), 1, 16, 64)
	m := map[string]any{}
	for name, value := range rapid.MapOfN(text, anyValue(3), 0, 4).Draw(t, "unknown") {
		if fieldOf(name) == fieldUnknown {
			m[name] = value
		}
	}
	for _, f := range []field{fieldUsername, fieldSessionID, fieldUserAgent, fieldService, fieldDeviceID, fieldRequestID, fieldReason} {
		if f == fieldUsername || rapid.Bool().Draw(t, "has "+f.String()) {
			m[f.String()] = text.Draw(t, f.String())
		}
	}
	if rapid.Bool().Draw(t, "has attributes") {
		m["attributes"] = rapid.MapOfN(text, text, 0, 4).Draw(t, "attributes")
	}
	m["id"] = rapid.StringMatching(`[!-~]{1,20}`).Draw(t, "id")
	m["account"] = rapid.StringMatching(`[A-Za-z0-9_-]{1,20}`).Draw(t, "account")
	m["entry"] = rapid.SampledFrom(Entries()).Draw(t, "entry")
	m["status"] = rapid.SampledFrom(Statuses()).Draw(t, "status")
	m["occurred_at"] = rapid.SampledFrom([]string{"2026-11-01T08:30:00Z", "1990-01-01T01:00:00.1234567+01:00"}).Draw(t, "occurred_at")
	m["ip"] = rapid.SampledFrom([]any{nil, "", "10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"}).Draw(t, "ip")
	return m
}

func TestIdentityDoesNotDependOnOrderSpaceAndEscapes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		body, err := json.Marshal(anyMessage(r))
		if err != nil {
			r.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		e, hash, err := Decode(body)
		if err != nil {
			r.Fatalf("%s: %v", body, err)
		}
		other := disguise(t, rng, body)
		again, otherHash, err := Decode(other)
		if err != nil || otherHash != hash || !sameEvent(t, e, again) {
			r.Fatalf("%s\n%s\n%s %s, %v", body, other, hash, otherHash, err)
		}
		checkRoundTrip(t, e)
	})
}

func TestIdentityDependsOnEveryValue(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := anyMessage(r)
		before, err := json.Marshal(m)
		if err != nil {
			r.Fatal(err)
		}
		name := rapid.SampledFrom([]string{"username", "reason", "session_id", "service", "x"}).Draw(r, "changed")
		if m[name], _ = m[name].(string); rapid.Bool().Draw(r, "or added") {
			m[name] = "+"
		} else {
			m[name] = fmt.Sprint(m[name], "+")
		}
		after, err := json.Marshal(m)
		if err != nil {
			r.Fatal(err)
		}
		a, errA := ContentHash(before)
		b, errB := ContentHash(after)
		if errA != nil || errB != nil || (a == b) != bytes.Equal(before, after) {
			r.Fatalf("%s\n%s\n%s %v, %s %v", before, after, a, errA, b, errB)
		}
	})
}

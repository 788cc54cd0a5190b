package event

import (
	"math"
	"slices"
	"strconv"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// The samples of RFC 8785 appendix B, but for NaN and Infinity, which JSON
// cannot write.
func TestNumbersAreWrittenAsRFC8785AppendixB(t *testing.T) {
	for _, tc := range []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
	} {
		if got := string(appendNumber(nil, math.Float64frombits(tc.bits))); got != tc.want {
			t.Errorf("%016x: %s, want %s", tc.bits, got, tc.want)
		}
	}
}

// The samples of RFC 8785 §3.2.2 and §3.2.3, and what they leave out.
func TestCanonicalFormsAreThoseOfRFC8785(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{
			"primitive values", `{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}`, `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		},
		{
			"order of members", `{
  "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
  "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O With Diaeresis"
}`, `{"\r":"Carriage Return","1":"One","` + "\u0080" + `":"Control","ö":"Latin Small Letter O With Diaeresis",` +
				`"€":"Euro Sign","😀":"Emoji: Grinning Face","` + "\ufb33" + `":"Hebrew Letter Dalet With Dagesh"}`,
		},
		{"escapes", `{"a":"\u0000\u0008\u0009\u000A\u000b\u000C\u000d\u001f\u007f\u2028\u00e9\ud834\udd1e"}`,
			`{"a":"\u0000\b\t\n\u000b\f\r\u001f` + "\x7f\u2028é𝄞" + `"}`},
		{"escapes that stay", `{"\"":"\\","a":"\b\f\n\r\t\u000b"}`, `{"\"":"\\","a":"\b\f\n\r\t\u000b"}`},
		{"numbers", `{"a":[-0,-0.0,0e9,1e-400,100,1e2,1E+2,-1.50,1e20,1e21,1e-6,1e-7,9007199254740993,0.1]}`,
			`{"a":[0,0,0,0,100,100,100,-1.5,100000000000000000000,1e+21,0.000001,1e-7,9007199254740992,0.1]}`},
		{"nested", ` { "b" : { "z" : [ { "y" : 1 , "x" : { } } , [ ] ] , "a" : null } , "a" : "" } `,
			`{"a":"","b":{"a":null,"z":[{"x":{},"y":1},[]]}}`},
		{"empty", "{ }", "{}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Canonical([]byte(tc.in))
			if err != nil || string(got) != tc.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, tc.want)
			}
			hash, err := ContentHash([]byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			checkAgreement(t, []byte(tc.in), hash)
		})
	}
}

func TestCanonicalAndContentHashRefuseWhatIsNoMessage(t *testing.T) {
	for in, want := range map[string]Reason{
		`[]`: ReasonNotObject, `{} {}`: ReasonTrailingData, `{"a":1,"a":1}`: ReasonDuplicateMember, `{`: ReasonNotJSON,
	} {
		out, err := Canonical([]byte(in))
		if got := asReason(t, err).Reason; got != want || out != nil {
			t.Errorf("Canonical(%s): %s, want %s", in, got, want)
		}
		hash, err := ContentHash([]byte(in))
		if got := asReason(t, err).Reason; got != want || hash != (Hash{}) {
			t.Errorf("ContentHash(%s): %s, want %s", in, got, want)
		}
	}
}

func TestNumbersReadBackAsTheSameDouble(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.Float64().Draw(t, "f")
		text := string(appendNumber(nil, f))
		back, err := strconv.ParseFloat(text, 64)
		if err != nil || back != f || len(text) > maxNumber {
			t.Fatalf("%v is written %s and read %v, %v", f, text, back, err)
		}
	})
}

func TestNamesAreOrderedByUTF16CodeUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letter := rapid.SampledFrom([]rune{'a', 'b', 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFB33, 0xFFFF, 0x10000, 0x1F600, 0x10FFFF})
		names := rapid.SliceOfN(rapid.StringOfN(letter, 0, 4, -1), 2, 2).Draw(t, "names")
		want := slices.Compare(utf16.Encode([]rune(names[0])), utf16.Encode([]rune(names[1])))
		got := compareUTF16(names[0], names[1])
		if (got < 0) != (want < 0) || (got > 0) != (want > 0) {
			t.Fatalf("%q and %q: %d, want %d", names[0], names[1], got, want)
		}
	})
}

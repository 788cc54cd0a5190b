package event

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimesAreReadToTheMicrosecondInUTC(t *testing.T) {
	for in, want := range map[string]string{
		"2026-11-01T08:30:00Z":                "2026-11-01T08:30:00.000000Z",
		"2026-11-01t08:30:00z":                "2026-11-01T08:30:00.000000Z",
		"2026-11-01T08:30:00.1Z":              "2026-11-01T08:30:00.100000Z",
		"2026-11-01T08:30:00.1234569Z":        "2026-11-01T08:30:00.123456Z",
		"2026-11-01T08:30:00.9999999999Z":     "2026-11-01T08:30:00.999999Z",
		"2026-11-01T00:15:00+05:45":           "2026-10-31T18:30:00.000000Z",
		"2026-12-31T23:59:59-00:01":           "2027-01-01T00:00:59.000000Z",
		"2026-11-01T08:30:00+00:00":           "2026-11-01T08:30:00.000000Z",
		"2026-11-01T08:30:00-00:00":           "2026-11-01T08:30:00.000000Z",
		"2000-02-29T00:00:00+23:59":           "2000-02-28T00:01:00.000000Z",
		"9999-12-31T23:59:59.999999999+00:00": "9999-12-31T23:59:59.999999Z",
		"0000-01-01T00:00:00Z":                "0000-01-01T00:00:00.000000Z",
	} {
		got, err := parseTime(in)
		if err != nil || got.Format(timeLayout) != want || got.Location() != time.UTC {
			t.Errorf("%s: %v, %v; want %s", in, got, err, want)
		}
		checkTimeAgainstStandardLibrary(t, in)
	}
}

func TestTimesThatAreNotRFC3339AreRefused(t *testing.T) {
	for _, in := range []string{
		"", "Z", "2026", "2026-11-01", "2026-11-01T", "2026-11-01T08:30Z", "2026-11-01T08:30:00", "2026-11-01 08:30:00Z",
		"2026-11-01T08:30:00 Z", " 2026-11-01T08:30:00Z", "2026-11-01T08:30:00Z0", "2026-11-01T08:30:00.Z", "2026-11-01T08:30:00,1Z",
		"2026-11-01T08:30:00+1:00", "2026-11-01T08:30:00+01", "2026-11-01T08:30:00+0100", "2026-11-01T08:30:00+01:", "2026-11-01T08:30:00*01:00",
		"2026-11-01T08:30:00+24:00", "2026-11-01T08:30:00+00:60", "2026-00-01T08:30:00Z", "2026-13-01T08:30:00Z", "2026-11-00T08:30:00Z",
		"2026-11-31T08:30:00Z", "2026-02-29T08:30:00Z", "1900-02-29T08:30:00Z", "2026-11-01T24:00:00Z", "2026-11-01T08:60:00Z",
		"2026-11-01T08:30:61Z", "+2026-11-01T08:30:00Z", "-026-11-01T08:30:00Z", "20261101T083000Z", "2026-W44-7T08:30:00Z", "2026-11-01Т08:30:00Z",
	} {
		if at, err := parseTime(in); err == nil || err.Reason != ReasonBadTime {
			t.Errorf("%q: %v, %v", in, at, err)
		}
	}
	for _, in := range []string{"2016-12-31T23:59:60Z", "2026-11-01T08:30:60.5+02:00"} {
		if at, err := parseTime(in); err == nil || err.Reason != ReasonLeapSecond {
			t.Errorf("%q: %v, %v", in, at, err)
		}
	}
}

func TestTimesAgreeWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringMatching(`[0-9]{4}-[01][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])`).Draw(t, "in")
		checkTimeAgainstStandardLibrary(t, in)
	})
}

// checkTimeAgainstStandardLibrary demands that what is accepted means what the
// standard library says, and that what it accepts in the form of RFC 3339 is
// accepted. The standard library wants the letters in upper case.
func checkTimeAgainstStandardLibrary(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, in string) {
	t.Helper()
	got, refused := parseTime(in)
	want, err := time.Parse(time.RFC3339Nano, strings.ToUpper(in))
	if refused == nil {
		if err != nil || !got.Equal(want.Truncate(time.Microsecond)) {
			t.Fatalf("%q: %v; the standard library says %v, %v", in, got, want, err)
		}
		return
	}
	// The standard library takes more than RFC 3339: a comma, an hour of one
	// digit, an offset of 24:60.
	if err == nil && rfc3339Form.MatchString(in) {
		t.Fatalf("%q: %v; the standard library says %v", in, refused, want)
	}
}

var rfc3339Form = regexp.MustCompile(`^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

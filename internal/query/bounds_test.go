package query

import (
	"net/url"
	"testing"
	"time"
)

func TestARangeThatNoEventCanLieInIsNoWrongRange(t *testing.T) {
	for _, v := range []url.Values{
		{"start": {"1950-01-01"}, "end": {"1960-01-01"}},
		{"start": {"2300-01-01"}, "end": {"2301-01-01"}},
	} {
		f, _, err := ParseEvents(v, Asked{Account: "a", Now: time.Now()})
		if err != nil || f.Range.Start.IsZero() || f.Range.Start.Before(f.Range.End) {
			t.Errorf("%v: range %v, error %v; want one that holds nothing", v, f.Range, err)
		}
	}
}

func TestZonesThatAreNoZonesAreRefused(t *testing.T) {
	for _, zone := range []string{"Local", "localtime", "posixrules", "right/UTC", "posix/UTC", "Factory", "../UTC"} {
		_, _, err := ParseEvents(url.Values{"tz": {zone}}, Asked{Account: "a", Now: time.Now()})
		wantErrors(t, err, "tz")
	}
}

func TestParseEventChoosesAVersionByItsSequence(t *testing.T) {
	now := time.Now()
	q, err := ParseEvent(url.Values{"stream_seq": {"17"}}, "id", Asked{Account: "a", Now: now})
	if err != nil || q != (EventQuestion{ID: "id", StreamSeq: 17, Now: now}) {
		t.Errorf("%+v, %v", q, err)
	}
	for _, wrong := range []string{"0", "-1", "x", "", "1e3"} {
		_, err := ParseEvent(url.Values{"stream_seq": {wrong}}, "id", Asked{Account: "a", Now: now})
		wantErrors(t, err, "stream_seq")
	}
	_, err = ParseEvent(url.Values{"limit": {"1"}}, "id", Asked{Account: "a", Now: now})
	wantErrors(t, err, "limit")
}

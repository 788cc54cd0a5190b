package query_test

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

func parseStream(t testing.TB, parameters, header string) (query.TailQuestion, error) {
	t.Helper()
	v, err := url.ParseQuery(parameters)
	if err != nil {
		t.Fatal(err)
	}
	return query.ParseStream(v, header, query.Asked{Account: "acme", Now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)})
}

func TestAStreamTakesTheFiltersOfEventsAndAPlace(t *testing.T) {
	seq := func(n uint64) *uint64 { return &n }
	empty := ""
	for _, c := range []struct {
		parameters, header string
		want               query.TailQuestion
	}{
		{"", "", query.TailQuestion{}},
		{"status=1&status=26&tz=Europe/Berlin&q=x&service=", "", query.TailQuestion{Filter: query.EventFilter{Statuses: []event.Status{1, 26}, Text: "x", Service: &empty}}},
		{"last_event_id=7", "", query.TailQuestion{After: seq(7)}},
		{"", "0", query.TailQuestion{After: seq(0)}},
		{"last_event_id=7", "9223372036854775807", query.TailQuestion{After: seq(9223372036854775807)}},
	} {
		got, err := parseStream(t, c.parameters, c.header)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q, %q: %+v, %v; want %+v", c.parameters, c.header, got, err, c.want)
		}
	}
}

func TestAStreamThatIsAskedForInAWrongWayNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ parameters, header, want string }{
		{"start=now", "", "start"},
		{"end=now&limit=5&cursor=x&order=asc", "", "end order limit cursor"},
		{"start=&x=1&status=4", "", "start x status"},
		{"last_event_id=", "", "last_event_id"},
		{"last_event_id=1&last_event_id=2", "", "last_event_id"},
		{"last_event_id=-1", "", "last_event_id"},
		{"last_event_id=07", "", "last_event_id"},
		{"last_event_id=x", "1.5", "last_event_id Last-Event-ID"},
		{"", "9223372036854775808", "Last-Event-ID"},
		{"", "\xff", "Last-Event-ID"},
	} {
		_, err := parseStream(t, c.parameters, c.header)
		var invalid *query.InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("%q, %q: %v", c.parameters, c.header, err)
			continue
		}
		var names []string
		for _, e := range invalid.Errors {
			names = append(names, e.Parameter)
			if e.Detail == "" || e.Allowed == "" {
				t.Errorf("%+v does not say what is wrong and what is allowed", e)
			}
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%q, %q: names %s, want %s", c.parameters, c.header, got, c.want)
		}
	}
}

func TestAnArrivalIsWrittenOnceForAll(t *testing.T) {
	a := &query.Arrival{Event: query.Event{ID: "x"}}
	asked := 0
	write := func(e query.Event) ([]byte, error) { asked++; return []byte(e.ID), nil }
	for range 3 {
		if form, err := a.Form(write); string(form) != "x" || err != nil {
			t.Errorf("%q, %v", form, err)
		}
	}
	if asked != 1 {
		t.Errorf("it was written %d times", asked)
	}
}

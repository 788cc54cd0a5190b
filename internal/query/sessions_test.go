package query

import (
	"net/url"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func sessionFilter(t testing.TB, s string) SessionFilter {
	t.Helper()
	f, _, err := ParseSessions(values(t, s), asked())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSessionsWithoutParametersAreTheNewestHundredAsOfNow(t *testing.T) {
	if f, want := sessionFilter(t, ""), (SessionFilter{AsOf: noon, Order: Descending, Limit: 100}); !reflect.DeepEqual(f, want) {
		t.Errorf("the filter is %+v, want %+v", f, want)
	}
}

func TestSessionsTakeEveryFilterOfTheContract(t *testing.T) {
	f := sessionFilter(t, "state=closed&state=expired&as_of=2026-11-05&username=%20Bob&start=2026-11-01&end=2026-11-01&tz=Europe/Berlin&limit=7&order=asc")
	want := SessionFilter{
		AsOf: day(5).Add(23*time.Hour - time.Microsecond), Username: new(" Bob"),
		Range:  TimeRange{day(1).Add(-time.Hour), day(2).Add(-time.Hour)},
		States: []State{StateClosed, StateExpired}, Order: Ascending, Limit: 7,
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("the filter is\n%+v, want\n%+v", f, want)
	}
}

func TestSessionsAtAMomentAreThoseOpenThenUnlessStatesAreNamed(t *testing.T) {
	for q, want := range map[string]SessionFilter{
		"at=2026-11-01T01:00:00Z":        {AsOf: day(1).Add(time.Hour), States: []State{StateOpen}},
		"at=-1h":                         {AsOf: noon.Add(-time.Hour), States: []State{StateOpen}},
		"at=2026-11-01&tz=Europe/Berlin": {AsOf: day(2).Add(-time.Hour - time.Microsecond), States: []State{StateOpen}},
		"at=2026-11-01T01:00:00Z&state=closed&state=open": {AsOf: day(1).Add(time.Hour), States: []State{StateClosed, StateOpen}},
		"as_of=2026-11-01T01:00:00Z":                      {AsOf: day(1).Add(time.Hour)},
		"as_of=2026-11-01T01:00:00Z&state=open&username=": {AsOf: day(1).Add(time.Hour), States: []State{StateOpen}, Username: new("")},
	} {
		want.Order, want.Limit = Descending, 100
		if f := sessionFilter(t, q); !reflect.DeepEqual(f, want) {
			t.Errorf("%s: the filter is\n%+v, want\n%+v", q, f, want)
		}
	}
}

func TestSessionsThatContradictThemselvesAreRefusedByName(t *testing.T) {
	for q, name := range map[string]string{
		"at=now&as_of=now":                "at",
		"at=now&as_of=-1h&state=open":     "at",
		"state=none":                      "state",
		"at=now&state=none":               "state",
		"start=2026-11-02&end=2026-11-01": "end",
		"at=2026-11-01&at=2026-11-01":     "at",
		"username=bob&username=bob":       "username",
		"status=1":                        "status",
		"ip=192.0.2.1":                    "ip",
		"q=bob":                           "q",
	} {
		_, _, err := ParseSessions(values(t, q), asked())
		wantErrors(t, err, name)
	}
	_, _, err := ParseSessions(values(t, "state=none"), asked())
	if err == nil || err.(*InvalidError).Errors[0].Allowed != "open, closed, expired" { //nolint:errorlint // its very type
		t.Errorf("%+v does not say which states are allowed", err)
	}
}

func TestCursorOfSessionsComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, a := url.Values{"at": {"-1h"}, "username": {rapid.String().Draw(t, "username")}}, Asked{Account: "acme", Now: drawTime(t, "now")}
		first, cursors, err := ParseSessions(v, a)
		if err != nil {
			t.Fatal(err)
		}
		p := drawPosition(t)
		a.Now = a.Now.Add(time.Hour) // the next page is asked for later
		second, _, err := ParseSessions(with(v, cursors.Event(&p)), a)
		if err != nil {
			t.Fatal(err)
		}
		first.After = &p
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("the next page asks for\n%+v, want\n%+v", second, first)
		}
	})
}

func TestCursorOfSessionsIsRefusedWithAnotherQuestion(t *testing.T) {
	_, cursors, err := ParseSessions(values(t, "at=-1h"), asked())
	if err != nil {
		t.Fatal(err)
	}
	cursor := cursors.Event(somePosition())
	for _, other := range []string{"", "at=-2h", "as_of=-1h", "at=-1h&state=open", "at=-1h&order=asc", "at=-1h&username=bob"} {
		_, _, err := ParseSessions(with(values(t, other), cursor), asked())
		wantErrors(t, err, "cursor")
	}
	_, _, err = ParseEvents(with(nil, cursor), asked())
	wantErrors(t, err, "cursor")
}

// TestSessionsMayOnlyHaveOpenedWhereTheirStateAllows: the store reads no
// opening outside of that range.
func TestSessionsMayOnlyHaveOpenedWhereTheirStateAllows(t *testing.T) {
	const limit = 24 * time.Hour
	behind, oldest := noon.Add(time.Microsecond), noon.Add(-limit)
	for name, c := range map[string]struct {
		filter   SessionFilter
		want     TimeRange
		possible bool
	}{
		"any state":               {SessionFilter{}, TimeRange{time.Time{}, behind}, true},
		"closed":                  {SessionFilter{States: []State{StateClosed}}, TimeRange{time.Time{}, behind}, true},
		"open":                    {SessionFilter{States: []State{StateOpen}}, TimeRange{oldest, behind}, true},
		"expired":                 {SessionFilter{States: []State{StateExpired}}, TimeRange{time.Time{}, oldest}, true},
		"open or expired":         {SessionFilter{States: []State{StateExpired, StateOpen}}, TimeRange{time.Time{}, behind}, true},
		"open, of a narrow range": {SessionFilter{States: []State{StateOpen}, Range: TimeRange{noon.Add(-time.Hour), noon}}, TimeRange{noon.Add(-time.Hour), noon}, true},
		"open, too long ago":      {SessionFilter{States: []State{StateOpen}, Range: TimeRange{End: oldest}}, TimeRange{oldest, oldest}, false},
		"expired, too lately":     {SessionFilter{States: []State{StateExpired}, Range: TimeRange{Start: oldest}}, TimeRange{oldest, oldest}, false},
		"later than the answer":   {SessionFilter{Range: TimeRange{Start: behind}}, TimeRange{behind, behind}, false},
	} {
		c.filter.AsOf = noon
		if got, possible := c.filter.Openings(limit); possible != c.possible || got != c.want {
			t.Errorf("%s: %v %v, want %v %v", name, got, possible, c.want, c.possible)
		}
	}
}

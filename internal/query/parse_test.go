package query

import (
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

func asked() Asked { return Asked{Account: "acme", Now: noon} }

func values(t testing.TB, s string) url.Values {
	t.Helper()
	v, err := url.ParseQuery(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func day(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }

func TestEventsWithoutParametersAreTheNewestHundred(t *testing.T) {
	f, _, err := ParseEvents(nil, asked())
	if err != nil {
		t.Fatal(err)
	}
	if want := (EventFilter{Order: Descending, Limit: 100}); !reflect.DeepEqual(f, want) {
		t.Errorf("the filter is %+v, want %+v", f, want)
	}
}

func TestEventsTakeEveryFilterOfTheContract(t *testing.T) {
	f, _, err := ParseEvents(values(t, "start=2026-11-01&end=2026-11-02&status=1&status=26&status=1&entry=8&kind=mfa&kind=login"+
		"&outcome=failure&username=%20Bob%00%2F&ip=192.0.2.77/24&session_id=s&service=&mfa_method=totp&q=100%25_&limit=1000&order=asc"), asked())
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) *string { return &s }
	want := EventFilter{
		Range:    TimeRange{day(1), day(3)},
		Statuses: []event.Status{1, 26}, Entries: []event.Entry{8},
		Kinds: []event.Kind{event.KindMFA, event.KindLogin}, Outcomes: []event.Outcome{event.OutcomeFailure},
		Username: text(" Bob\x00/"), SessionID: text("s"), Service: text(""), MFAMethod: text("totp"),
		IP: netip.MustParsePrefix("192.0.2.0/24"), Text: "100%_", Order: Ascending, Limit: 1000,
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("the filter is\n%+v, want\n%+v", f, want)
	}
}

func TestEventsWithAnEmptyExactFilterAskForWhatIsAbsent(t *testing.T) {
	f, _, err := ParseEvents(values(t, "username=&session_id=&service=&mfa_method=&q="), asked())
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]*string{"username": f.Username, "session_id": f.SessionID, "service": f.Service, "mfa_method": f.MFAMethod} {
		if got == nil || *got != "" {
			t.Errorf("%s does not ask for what is absent", name)
		}
	}
	if f.Text != "" {
		t.Error("an empty q seeks something")
	}
}

func TestEventsOfAUserAreThoseOfThePath(t *testing.T) {
	a, name := asked(), "bob"
	a.Username = &name
	f, _, err := ParseEvents(nil, a)
	if err != nil || f.Username == nil || *f.Username != "bob" {
		t.Errorf("the filter is %+v, %v", f, err)
	}
	_, _, err = ParseEvents(url.Values{"username": {"eve"}}, a)
	wantErrors(t, err, "username")
}

func TestUsersTakeEveryFilterOfTheContract(t *testing.T) {
	f, _, err := ParseUsers(values(t, "q=b&status=1&status=5&entry=1&logged_in=true&last_login_after=2026-11-01&last_login_before=2026-11-01"+
		"&never_logged_in=false&sort=-last_logout&as_of=2026-11-05&tz=Europe/Berlin&limit=1"), asked())
	if err != nil {
		t.Fatal(err)
	}
	yes, no := true, false
	want := UserFilter{
		AsOf: day(5).Add(23*time.Hour - time.Microsecond), Text: "b",
		Statuses: []event.Status{1, 5}, Entries: []event.Entry{1}, LoggedIn: &yes, NeverLoggedIn: &no,
		LastLogin: TimeRange{day(1).Add(-time.Hour), day(2).Add(-time.Hour)},
		Sort:      SortLastLogout, Descending: true, Limit: 1,
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("the filter is\n%+v, want\n%+v", f, want)
	}
}

func TestUsersWithoutParametersAreSortedByNameAsOfNow(t *testing.T) {
	f, _, err := ParseUsers(nil, asked())
	if err != nil {
		t.Fatal(err)
	}
	if want := (UserFilter{AsOf: noon, Sort: SortUsername, Limit: 100}); !reflect.DeepEqual(f, want) {
		t.Errorf("the filter is %+v, want %+v", f, want)
	}
}

func TestUserIsAsOfNowUnlessAskedOtherwise(t *testing.T) {
	got, err := ParseUser(nil, asked())
	if err != nil || !got.Equal(noon) {
		t.Errorf("as of %s, %v", got, err)
	}
	got, err = ParseUser(values(t, "as_of=2026-11-05T01:00&tz=Europe/Berlin"), asked())
	if err != nil || !got.Equal(day(5)) {
		t.Errorf("as of %s, %v", got, err)
	}
	_, err = ParseUser(values(t, "start=2026-11-05"), asked())
	wantErrors(t, err, "start")
}

func TestAttemptsTakeEveryFilterOfTheContract(t *testing.T) {
	a, name := asked(), "bob"
	a.Username = &name
	f, _, err := ParseAttempts(values(t, "start=-1d&end=now&status=2&entry=3&outcome=success&state=open&state=none&ip=2001:db8::7&as_of=-1h&limit=5&order=asc"), a)
	if err != nil {
		t.Fatal(err)
	}
	want := AttemptFilter{
		AsOf: noon.Add(-time.Hour), Username: "bob", Range: TimeRange{noon.AddDate(0, 0, -1), noon},
		Statuses: []event.Status{2}, Entries: []event.Entry{3}, Outcomes: []event.Outcome{event.OutcomeSuccess},
		States: []State{StateOpen, StateNone}, IP: netip.MustParsePrefix("2001:db8::7/128"), Order: Ascending, Limit: 5,
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("the filter is\n%+v, want\n%+v", f, want)
	}
}

func TestRangesThatHoldNothingAreRefused(t *testing.T) {
	for _, q := range []string{
		"start=2026-11-02&end=2026-11-01", "start=now&end=now", "start=now&end=-1h",
		"start=2026-11-01T00:00:00Z&end=2026-11-01T00:00:00Z", "start=2026-11-01T01:00:00%2B01:00&end=2026-11-01T00:00:00Z",
		"start=2011-12-30&end=2011-12-30&tz=Pacific/Apia",
	} {
		_, _, err := ParseEvents(values(t, q), asked())
		wantErrors(t, err, "end")
		_, _, err = ParseAttempts(values(t, q), asked())
		wantErrors(t, err, "end")
	}
	_, _, err := ParseUsers(values(t, "last_login_after=2026-11-02&last_login_before=2026-11-01"), asked())
	wantErrors(t, err, "last_login_before")
}

func TestRangesOfOneDayAreThatDay(t *testing.T) {
	f, _, err := ParseEvents(values(t, "start=2026-11-01&end=2026-11-01"), asked())
	if err != nil {
		t.Fatal(err)
	}
	if want := (TimeRange{day(1), day(2)}); f.Range != want {
		t.Errorf("the range is %v, want %v", f.Range, want)
	}
}

func TestRangesOpenAtOneEndStayOpen(t *testing.T) {
	f, _, err := ParseEvents(values(t, "start=2026-11-01"), asked())
	if err != nil || !f.Range.End.IsZero() || !f.Range.Start.Equal(day(1)) {
		t.Errorf("the range is %v, %v", f.Range, err)
	}
}

func TestAddressesAreReadAsRangesOfOneFamily(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7":               "192.0.2.7/32",
		"192.0.2.77/24":           "192.0.2.0/24",
		"0.0.0.0/0":               "0.0.0.0/0",
		"2001:DB8::7":             "2001:db8::7/128",
		"2001:db8:1:2:3::/32":     "2001:db8::/32",
		"::ffff:192.0.2.7":        "192.0.2.7/32",
		"::ffff:c000:207":         "192.0.2.7/32",
		"::ffff:192.0.2.77/120":   "192.0.2.0/24",
		"::ffff:0:0/96":           "0.0.0.0/0",
		"::ffff:192.0.2.7/95":     "::fffe:0:0/95",
		"::/0":                    "::/0",
		"::":                      "::/128",
		"64:ff9b::192.0.2.33/128": "64:ff9b::c000:221/128",
	} {
		f, _, err := ParseEvents(url.Values{"ip": {in}}, asked())
		if err != nil || f.IP.String() != want {
			t.Errorf("%s is %s, %v; want %s", in, f.IP, err, want)
		}
	}
	for _, in := range []string{
		"", "x", "192.0.2", "192.0.2.7/33", "192.0.2.7/-1", "192.0.2.7/+8", "192.0.2.7/08", "192.0.2.7/", "/8", "192.0.2.7/8/8",
		"192.0.2.007", "2001:db8::/129", "fe80::1%eth0", "fe80::1%eth0/64", "[::1]", "192.0.2.7:80", " 192.0.2.7",
	} {
		_, _, err := ParseEvents(url.Values{"ip": {in}}, asked())
		wantErrors(t, err, "ip")
	}
}

func TestParametersWithAWrongValueAreNamed(t *testing.T) {
	wrong := map[string][]string{
		"start": {"", "x"}, "end": {"", "x"}, "as_of": {"", "x"}, "at": {"", "x"}, "last_login_after": {"x"}, "last_login_before": {"x"},
		"tz":     {"", "Local", "Mars/Base", "../etc/passwd", "europe berlin", "UTC\x00"},
		"status": {"", "0", "4", "27", "256", "-1", "+1", "01", "1,2", "Active", "1 "},
		"entry":  {"", "0", "9", "257"}, "kind": {"", "Login", "x"}, "outcome": {"", "ok"}, "state": {"", "opened"},
		"mfa_method": {"pigeon", "TOTP"}, "logged_in": {"", "1", "yes", "True"}, "never_logged_in": {"", "0"},
		"sort": {"", "name", "--username", "+username"}, "format": {"", "xml", "NDJSON"}, "order": {"", "DESC", "up"},
		"limit": {"", "0", "1001", "-1", "1e2", "010", "+5", "99999999999999999999"}, "cursor": {"", "x"}, "ip": {"x"},
		"username": {"\xff"}, "q": {"a\xff"}, "session_id": {"\xff"}, "service": {"\xff"},
	}
	routes := []struct {
		route
		parse func(url.Values) error
	}{
		{usersRoute, func(v url.Values) error { _, _, err := ParseUsers(v, asked()); return err }},
		{userRoute, func(v url.Values) error { _, err := ParseUser(v, asked()); return err }},
		{attemptsRoute, func(v url.Values) error { _, _, err := ParseAttempts(v, asked()); return err }},
		{eventsRoute, func(v url.Values) error { _, _, err := ParseEvents(v, asked()); return err }},
		{userEventsRoute, func(v url.Values) error {
			a, name := asked(), "bob"
			a.Username = &name
			_, _, err := ParseEvents(v, a)
			return err
		}},
		{sessionsRoute, func(v url.Values) error { _, _, err := ParseSessions(v, asked()); return err }},
		{exportRoute, func(v url.Values) error { _, err := ParseExport(v, asked()); return err }},
		{noParameters, ParseNone},
	}
	for _, r := range routes {
		for name := range parameters {
			t.Run(r.name+" "+name, func(t *testing.T) {
				if !r.takes(name) {
					wantErrors(t, r.parse(url.Values{name: {"x"}}), name)
					return
				}
				if len(wrong[name]) == 0 {
					t.Fatal("no wrong value is tried")
				}
				for _, value := range append(wrong[name], "\xff") {
					wantErrors(t, r.parse(url.Values{name: {value}}), name)
				}
				if !parameters[name].many {
					wantErrors(t, r.parse(url.Values{name: {"1", "1"}}), name)
				}
			})
		}
	}
}

func TestParametersThatAreUnknownAreNamedWithWhatIsAllowed(t *testing.T) {
	_, _, err := ParseEvents(url.Values{"usernam": {"bob"}, "Status": {"1"}, "": {""}}, asked())
	wantErrors(t, err, "usernam", "Status", "")
	if !strings.Contains(err.(*InvalidError).Errors[0].Allowed, "username") { //nolint:errorlint // its very type
		t.Errorf("%v does not say what is allowed", err)
	}
}

func TestParametersThatAreWrongAreAllTold(t *testing.T) {
	_, _, err := ParseEvents(values(t, "start=x&tz=x&status=99&status=1&entry=0&order=x&limit=0&foo=1&kind=login&ip=x&cursor=x"), asked())
	wantErrors(t, err, "start", "tz", "status", "entry", "order", "limit", "foo", "ip", "cursor")
}

func TestParametersThatAreWrongByTheThousandGetAShortAnswer(t *testing.T) {
	v := url.Values{}
	for i := range 5000 {
		v.Set(strings.Repeat("x", i%300)+string(rune('a'+i%26)), "1")
		v.Add("status", strings.Repeat("9", i))
	}
	_, _, err := ParseEvents(v, asked())
	if got := len(err.Error()); got > 10000 {
		t.Errorf("the answer has %d bytes", got)
	}
}

func TestBlankFieldsOfAFormAreDropped(t *testing.T) {
	got := WithoutBlank(values(t, "start=&q=&status=1&status=&username=bob"))
	if want := values(t, "status=1&username=bob"); !reflect.DeepEqual(got, want) {
		t.Errorf("%v is left, want %v", got, want)
	}
}

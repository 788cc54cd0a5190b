package e2e

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// asked is a question in the words of the API, and what it means.
type asked[F any] struct {
	values string
	means  F
}

// TestEveryFilterAndSortOfTheListsMeansWhatTheContractSays asks them one by one, and
// some together, and compares with a plain fold by filters that are written out.
func TestEveryFilterAndSortOfTheListsMeansWhatTheContractSays(t *testing.T) {
	system := testsystem.Serve(t, "loginaudit", t.TempDir(), "--engine-memory", "1GiB")
	now := time.Now().Truncate(time.Second)
	c := comparison{asker: asker{system, "acme"}, now: now}
	made := history(c.account, now)
	if r := system.Run(t, ndjson(t, made), "import", "--wait", "-"); r.Status != 0 {
		t.Fatalf("import: %+v", r)
	}
	c.plain = foldOf(t, made)
	t.Run("users", c.users)
	t.Run("absent is last", c.absentIsLast)
	t.Run("user", c.user)
	t.Run("attempts", c.attempts)
	t.Run("sessions", c.sessions)
	t.Run("events", c.events)
	system.Stop(t)
}

// foldOf folds events as they are published.
func foldOf(t *testing.T, made []event.Event) *oracle.Oracle {
	t.Helper()
	var stored []event.Stored
	for _, e := range made {
		body, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		decoded, hash, err := event.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, event.Stored{Event: decoded, Hash: hash, Raw: body})
	}
	return oracle.New(stored, 24*time.Hour)
}

type comparison struct {
	asker
	plain *oracle.Oracle
	now   time.Time
}

// ago is a moment as the API takes it.
func (c comparison) ago(d time.Duration) string { return c.now.Add(-d).UTC().Format(time.RFC3339) }

// parse reads what stands behind the question mark.
func parse(t *testing.T, text string) url.Values {
	t.Helper()
	values, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// some fails where a question tells nothing, because it has no answer.
func some[T any](t *testing.T, what string, got []T) []T {
	t.Helper()
	if len(got) == 0 {
		t.Errorf("%s has no rows: nothing is shown", what)
	}
	return got
}

func (c comparison) users(t *testing.T) {
	hour := time.Hour
	for _, a := range []asked[query.UserFilter]{
		{"", query.UserFilter{}},
		{"sort=username", query.UserFilter{Sort: query.SortUsername}},
		{"sort=-username", query.UserFilter{Sort: query.SortUsername, Descending: true}},
		{"sort=last_login", query.UserFilter{Sort: query.SortLastLogin}},
		{"sort=-last_login", query.UserFilter{Sort: query.SortLastLogin, Descending: true}},
		{"sort=last_logout", query.UserFilter{Sort: query.SortLastLogout}},
		{"sort=-last_logout", query.UserFilter{Sort: query.SortLastLogout, Descending: true}},
		{"q=%25", query.UserFilter{Text: "%"}},
		{"q=_", query.UserFilter{Text: "_"}},
		{"q=ANN", query.UserFilter{Text: "ann"}},
		{"q=%C3%BCnal", query.UserFilter{Text: "Ünal"}},
		{"status=2&status=22", query.UserFilter{Statuses: []event.Status{2, 22}}},
		{"entry=1&entry=2&entry=3&entry=4", query.UserFilter{Entries: []event.Entry{1, 2, 3, 4}}},
		{"logged_in=true", query.UserFilter{LoggedIn: new(true)}},
		{"logged_in=false", query.UserFilter{LoggedIn: new(false)}},
		{"logged_in=true&as_of=" + c.ago(43*hour), query.UserFilter{LoggedIn: new(true), AsOf: c.now.Add(-43 * hour)}},
		{"never_logged_in=true", query.UserFilter{NeverLoggedIn: new(true)}},
		{"never_logged_in=false&sort=-last_login", query.UserFilter{NeverLoggedIn: new(false), Sort: query.SortLastLogin, Descending: true}},
		{"last_login_before=" + c.ago(29*hour), query.UserFilter{LastLogin: query.TimeRange{End: c.now.Add(-29 * hour)}}}, // dormant
		{"last_login_before=-29h&never_logged_in=true", query.UserFilter{LastLogin: query.TimeRange{End: c.now.Add(-29 * hour)}, NeverLoggedIn: new(true)}},
		{"last_login_after=-3h&last_login_before=now", query.UserFilter{LastLogin: query.TimeRange{Start: c.now.Add(-3 * hour), End: c.now}}},
		{"as_of=" + c.ago(60*hour) + "&sort=last_login", query.UserFilter{AsOf: c.now.Add(-60 * hour), Sort: query.SortLastLogin}},
		{"as_of=" + c.now.AddDate(0, 0, -1).Format(time.DateOnly) + "&tz=Asia/Kathmandu&logged_in=false", query.UserFilter{AsOf: c.endOfDay(t, 1), LoggedIn: new(false)}},
	} {
		if a.means.AsOf.IsZero() {
			a.means.AsOf = c.now
		}
		got := list[query.User](t, c.system, accountPath(c.account)+"/users", "users", with(parse(t, a.values), "limit", "3"))
		same(t, "users?"+a.values, some(t, a.values, got), c.plain.Users(c.account, a.means))
	}
}

// endOfDay is the last instant of the day so many days ago in Asia/Kathmandu, which
// is 5 hours and 45 minutes ahead.
func (c comparison) endOfDay(t *testing.T, ago int) time.Time {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Kathmandu")
	if err != nil {
		t.Fatal(err)
	}
	y, m, d := c.now.AddDate(0, 0, -ago).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, zone).Add(-time.Microsecond)
}

// absentIsLast holds the sorts against the contract's words, without any fold.
func (c comparison) absentIsLast(t *testing.T) {
	for _, sort := range []string{"last_login", "-last_login", "last_logout", "-last_logout"} {
		asOf := c.ago(66 * time.Hour) // when few had logged in or out
		users := list[query.User](t, c.system, accountPath(c.account)+"/users", "users", url.Values{"sort": {sort}, "as_of": {asOf}, "limit": {"4"}})
		absent, name := 0, ""
		var last time.Time
		for i, u := range users {
			at := u.LastLogin
			if strings.HasSuffix(sort, "logout") {
				at = u.LastLogout
			}
			switch {
			case at == nil:
				if absent++; absent > 1 && u.Username <= name {
					t.Errorf("%s: %q stands behind %q", sort, u.Username, name)
				}
				name = u.Username
			case absent > 0:
				t.Errorf("%s: %q stands behind one without", sort, u.Username)
			case i > 0 && at.At.Before(last) != strings.HasPrefix(sort, "-") && !at.At.Equal(last):
				t.Errorf("%s: %s stands behind %s", sort, at.At, last)
			default:
				last = at.At.Time
			}
		}
		if strings.HasSuffix(sort, "logout") && (absent == 0 || absent == len(users)) {
			t.Errorf("%s: %d of %d have none: nothing is shown", sort, absent, len(users))
		}
	}
}

func (c comparison) user(t *testing.T) {
	for _, asOf := range []time.Duration{0, 43 * time.Hour, 67 * time.Hour} {
		for _, name := range people {
			want, known := c.plain.User(c.account, name, c.now.Add(-asOf))
			if !known {
				continue
			}
			var got query.UserDetail
			c.decode(t, "/users/"+url.PathEscape(name), url.Values{"as_of": {c.ago(asOf)}}, &got)
			same(t, name, got.User, want)
			open := c.plain.Sessions(c.account, query.SessionFilter{AsOf: c.now.Add(-asOf), Username: &name, States: []query.State{query.StateOpen}})
			if len(got.Sessions) != len(open) {
				t.Errorf("%s: %d sessions, want %d", name, len(got.Sessions), len(open))
			}
		}
	}
}

func (c comparison) attempts(t *testing.T) {
	day := c.now.AddDate(0, 0, -1).Format(time.DateOnly)
	hour := time.Hour
	for _, a := range []asked[query.AttemptFilter]{
		{"", query.AttemptFilter{}},
		{"order=asc", query.AttemptFilter{Order: query.Ascending}},
		{"start=" + day + "&end=" + day + "&tz=Asia/Kathmandu", query.AttemptFilter{Range: c.day(t, 1)}},
		{"start=-46h&end=-6h", query.AttemptFilter{Range: query.TimeRange{Start: c.now.Add(-46 * hour), End: c.now.Add(-6 * hour)}}},
		{"status=21&status=5", query.AttemptFilter{Statuses: []event.Status{21, 5}}},
		{"entry=1&entry=3&entry=5&entry=7", query.AttemptFilter{Entries: []event.Entry{1, 3, 5, 7}}},
		{"outcome=failure", query.AttemptFilter{Outcomes: []event.Outcome{event.OutcomeFailure}}},
		{"state=open", query.AttemptFilter{States: []query.State{query.StateOpen}}},
		{"state=closed", query.AttemptFilter{States: []query.State{query.StateClosed}}},
		{"state=expired", query.AttemptFilter{States: []query.State{query.StateExpired}}},
		{"state=none&state=open", query.AttemptFilter{States: []query.State{query.StateNone, query.StateOpen}}},
		{"state=open&as_of=" + c.ago(26*hour), query.AttemptFilter{AsOf: c.now.Add(-26 * hour), States: []query.State{query.StateOpen}}},
	} {
		c.compareAttempts(t, "ann", a)
	}
	for values, ip := range map[string]string{
		"ip=10.0.0.0/16": "10.0.0.0/16", "ip=::ffff:10.0.0.0/111": "10.0.0.0/15", "ip=2001:db8::/32": "2001:db8::/32", "ip=::/0": "::/0", "ip=0.0.0.0/0": "0.0.0.0/0",
	} {
		found := 0
		for _, name := range people {
			found += c.compareAttempts(t, name, asked[query.AttemptFilter]{values, query.AttemptFilter{IP: netip.MustParsePrefix(ip)}})
		}
		if found == 0 {
			t.Errorf("%s has no rows: nothing is shown", values)
		}
	}
}

// day is the day so many days ago in Asia/Kathmandu.
func (c comparison) day(t *testing.T, ago int) query.TimeRange {
	t.Helper()
	return query.TimeRange{Start: c.endOfDay(t, ago+1).Add(time.Microsecond), End: c.endOfDay(t, ago).Add(time.Microsecond)}
}

func (c comparison) compareAttempts(t *testing.T, name string, a asked[query.AttemptFilter]) int {
	t.Helper()
	a.means.Username = name
	if a.means.AsOf.IsZero() {
		a.means.AsOf = c.now
	}
	got := list[query.Attempt](t, c.system, accountPath(c.account)+"/users/"+url.PathEscape(name)+"/attempts", "attempts", with(parse(t, a.values), "limit", "2"))
	if !a.means.IP.IsValid() {
		some(t, a.values, got)
	}
	same(t, name+" attempts?"+a.values, got, c.plain.Attempts(c.account, a.means))
	return len(got)
}

func (c comparison) sessions(t *testing.T) {
	hour := time.Hour
	open := []query.State{query.StateOpen}
	day := c.now.AddDate(0, 0, -1).Format(time.DateOnly)
	for _, a := range []asked[query.SessionFilter]{
		{"", query.SessionFilter{}},
		{"order=asc", query.SessionFilter{Order: query.Ascending}},
		{"state=open", query.SessionFilter{States: open}},
		{"state=closed&order=asc", query.SessionFilter{States: []query.State{query.StateClosed}, Order: query.Ascending}},
		{"state=expired", query.SessionFilter{States: []query.State{query.StateExpired}}},
		{"state=expired&state=open", query.SessionFilter{States: []query.State{query.StateExpired, query.StateOpen}}},
		{"username=100%25", query.SessionFilter{Username: new("100%")}},
		{"username=100%25&state=open", query.SessionFilter{Username: new("100%"), States: open}},
		{"at=" + c.ago(19*hour), query.SessionFilter{AsOf: c.now.Add(-19 * hour), States: open}},
		{"at=-19h&order=asc", query.SessionFilter{AsOf: c.now.Add(-19 * hour), States: open, Order: query.Ascending}},
		{"at=-40h&state=closed", query.SessionFilter{AsOf: c.now.Add(-40 * hour), States: []query.State{query.StateClosed}}},
		{"at=-19h&state=expired", query.SessionFilter{AsOf: c.now.Add(-19 * hour), States: []query.State{query.StateExpired}}},
		{"at=" + day + "&tz=Asia/Kathmandu", query.SessionFilter{AsOf: c.endOfDay(t, 1), States: open}},
		{"as_of=-19h", query.SessionFilter{AsOf: c.now.Add(-19 * hour)}},
		{"start=-46h&end=-19h", query.SessionFilter{Range: query.TimeRange{Start: c.now.Add(-46 * hour), End: c.now.Add(-19 * hour)}}},
		{"start=" + day + "&end=" + day + "&tz=Asia/Kathmandu", query.SessionFilter{Range: c.day(t, 1)}},
	} {
		if a.means.AsOf.IsZero() {
			a.means.AsOf = c.now
		}
		got := list[query.Session](t, c.system, accountPath(c.account)+"/sessions", "sessions", with(parse(t, a.values), "limit", "4"))
		same(t, "sessions?"+a.values, some(t, a.values, got), c.plain.Sessions(c.account, a.means))
	}
}

func (c comparison) events(t *testing.T) {
	hour := time.Hour
	for _, a := range []asked[query.EventFilter]{
		{"order=asc", query.EventFilter{Order: query.Ascending}},
		{"start=-46h&end=-6h", query.EventFilter{Range: query.TimeRange{Start: c.now.Add(-46 * hour), End: c.now.Add(-6 * hour)}}},
		{"status=21&entry=1&entry=2", query.EventFilter{Statuses: []event.Status{21}, Entries: []event.Entry{1, 2}}},
		{"kind=mfa&outcome=failure", query.EventFilter{Kinds: []event.Kind{event.KindMFA}, Outcomes: []event.Outcome{event.OutcomeFailure}}},
		{"ip=::ffff:10.0.0.1", query.EventFilter{IP: netip.MustParsePrefix("10.0.0.1/32")}},
		{"ip=10.0.0.0/15", query.EventFilter{IP: netip.MustParsePrefix("10.0.0.0/15")}},
		{"ip=::/64", query.EventFilter{IP: netip.MustParsePrefix("::/64")}},
		{"q=100%25", query.EventFilter{Text: "100%"}},
		{"q=_B", query.EventFilter{Text: "_b"}},
		{"username=&service=", query.EventFilter{Username: new(""), Service: new("")}},
		{"session_id=s-0-0", query.EventFilter{SessionID: new("s-0-0")}},
		{"mfa_method=push&service=api", query.EventFilter{MFAMethod: new("push"), Service: new("api")}},
	} {
		got := list[query.Event](t, c.system, accountPath(c.account)+"/events", "events", with(parse(t, a.values), "limit", "30"))
		want := c.plain.Events(c.account, a.means)
		if a.values != "username=&service=" {
			some(t, a.values, got)
		}
		same(t, "events?"+a.values, forgetStream(got), want)
	}
}

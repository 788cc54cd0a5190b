package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

const acmePages = "/accounts/acme/security"

// smallStore holds a few people of acme: ann is logged in since 10 minutes,
// bob failed an hour ago, cy logged out 40 days ago.
func smallStore(t testing.TB) *plainStore {
	t.Helper()
	in := eventAt(10*time.Minute, "in", "ann", 1)
	in.SessionID = "s-1"
	old := eventAt(40*24*time.Hour, "old-in", "cy", 1)
	old.SessionID = "s-2"
	out := eventAt(40*24*time.Hour-time.Hour, "old-out", "cy", 2)
	out.SessionID = "s-2"
	wrong := eventAt(time.Hour, "wrong", "bob", 5)
	wrong.Entry, wrong.Reason = 7, "third try"
	return newPlainStore(stored(t, old, out, wrong, in)...)
}

func TestPageOfUsersShowsLatestActivityEntryStatusAndWhoIsLoggedIn(t *testing.T) {
	p := visit(t, smallStore(t), acmePages)
	if got := p.texts(t, ".rows tbody th a.row"); !slices.Equal(got, []string{"ann", "bob", "cy"}) {
		t.Fatalf("users %q", got)
	}
	rows := p.texts(t, ".rows tbody tr")
	for i, want := range []string{
		"ann success 2026-11-23 11:50:00 10 min ago never Entry 1, Membership login Status 1, Active Yes",
		"bob failure 2026-11-23 11:00:00 1 h 00 min ago never Entry 7, Mobile Login Status 5, Invalid password No",
		"cy success 2026-10-14 12:00:00 40 d 0 h ago success 2026-10-14 13:00:00 39 d 23 h ago Entry 1, Membership login Status 2, Completed session No",
	} {
		if rows[i] != want {
			t.Errorf("row %d:\n%s, want\n%s", i, rows[i], want)
		}
	}
	if got := p.text(t, ".fresh"); got != "Complete to 11:59:59 UTC, 0.4 s behind" {
		t.Errorf("freshness %q", got)
	}
	for _, selector := range []string{"table.rows caption", "thead th[scope=col][aria-sort=ascending]", ".rows tbody th[scope=row]", "main h1", "html[lang=en]"} {
		if !p.has(t, selector) {
			t.Errorf("no %s", selector)
		}
	}
}

func TestPageSortsByLinksInBothDirections(t *testing.T) {
	s := smallStore(t)
	p := visit(t, s, acmePages)
	logins := ".rows thead th:nth-child(2)"
	for _, want := range []struct{ sort, first string }{{"descending", "ann"}, {"ascending", "cy"}, {"descending", "ann"}} {
		p = visit(t, s, p.href(t, logins+" a"))
		if got := attribute(p.one(t, logins), "aria-sort"); got != want.sort {
			t.Errorf("aria-sort %q, want %q", got, want.sort)
		}
		if got := p.texts(t, ".rows tbody a.row")[0]; got != want.first {
			t.Errorf("%s: first is %s", want.sort, got)
		}
	}
}

func TestPageTurnsToTheNextRowsAndBackToTheFirst(t *testing.T) {
	s := smallStore(t)
	p := visit(t, s, acmePages+"?limit=2&q=")
	if p.has(t, ".pages a[rel=first]") {
		t.Error("the first page leads to itself")
	}
	p = visit(t, s, p.href(t, ".pages a[rel=next]"))
	if got := p.texts(t, ".rows tbody a.row"); !slices.Equal(got, []string{"cy"}) || p.has(t, ".pages a[rel=next]") {
		t.Errorf("the second page has %q", got)
	}
	p = visit(t, s, p.href(t, ".pages a[rel=first]"))
	if got := p.texts(t, ".rows tbody a.row"); !slices.Equal(got, []string{"ann", "bob"}) {
		t.Errorf("the first page has %q", got)
	}
	events := visit(t, s, acmePages+"/events?limit=1&start=")
	seen := 0
	for ; ; seen++ {
		next := events.all(t, ".pages a[rel=next]")
		if len(next) == 0 {
			break
		}
		events = visit(t, s, attribute(next[0], "href"))
	}
	if seen != 3 {
		t.Errorf("%d pages after the first hold 4 events", seen)
	}
}

func TestPageShowsEveryFilterAsAChipThatRemovesIt(t *testing.T) {
	s := smallStore(t)
	p := visit(t, s, acmePages+"?q=b&status=5&status=1&logged_in=false&tz=Europe/Berlin")
	chips := p.texts(t, ".filter-chip")
	if want := []string{"Username contains b", "Status 5 Invalid password", "Status 1 Active", "Logged in no"}; !slices.Equal(chips, want) {
		t.Fatalf("chips %q, want %q", chips, want)
	}
	u, err := url.Parse(attribute(p.all(t, ".filter-chip")[1], "href"))
	if err != nil || u.Query().Encode() != "logged_in=false&q=b&status=1&tz=Europe%2FBerlin" {
		t.Errorf("without status 5: %s, %v", u, err)
	}
	if got := p.href(t, ".clear"); got != acmePages+"?tz=Europe%2FBerlin" {
		t.Errorf("without filters: %s", got)
	}
	for _, selector := range []string{"#f-q[value=b]", "input[name=status][value='5'][checked]", "#f-logged_in option[value=false][selected]"} {
		if !p.has(t, selector) {
			t.Errorf("the form lost %s", selector)
		}
	}
}

// submit is the address that a browser without scripts sends for the form.
func submit(t testing.TB, p shownPage, change url.Values) string {
	t.Helper()
	v := url.Values{}
	for _, n := range p.all(t, "form.filters input") {
		if name := attribute(n, "name"); attribute(n, "type") != "checkbox" || attribute(n, "checked") != "" || hasAttribute(n, "checked") {
			v.Add(name, attribute(n, "value"))
		}
	}
	for _, n := range p.all(t, "form.filters select") {
		v.Add(attribute(n, "name"), "")
	}
	for _, n := range p.all(t, "form.filters option[selected]") {
		for parent := n.Parent; parent != nil; parent = parent.Parent {
			if parent.Data == "select" {
				v.Set(attribute(parent, "name"), attribute(n, "value"))
			}
		}
	}
	for name, values := range change {
		v[name] = values
	}
	return attribute(p.one(t, "form.filters[method=get]"), "action") + "?" + v.Encode()
}

func hasAttribute(n *htmlNode, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func TestPageFormsWorkAsABrowserWithoutScriptsSendsThem(t *testing.T) {
	s := smallStore(t)
	for _, path := range []string{"", "/events", "/users/bob", "/users/bob?view=events", "/users/bob?view=events&order=asc&tz=Asia/Tokyo"} {
		p := visit(t, s, acmePages+path)
		again := visit(t, s, submit(t, p, nil))
		if again.Status != http.StatusOK || !slices.Equal(again.texts(t, ".rows tbody tr"), p.texts(t, ".rows tbody tr")) {
			t.Errorf("%q sent as it is: %d, %q", path, again.Status, again.texts(t, ".rows tbody tr"))
		}
	}
	p := visit(t, s, acmePages+"/users/cy")
	if p.has(t, "table.rows") {
		t.Fatal("cy's attempt is within 30 days")
	}
	p = visit(t, s, submit(t, p, url.Values{"start": {"2026-10-14"}, "end": {"2026-10-14"}}))
	if got := len(p.all(t, ".rows tbody tr")); got != 1 {
		t.Errorf("%d attempts of cy on the day", got)
	}
	p = visit(t, s, submit(t, p, url.Values{"start": {""}, "end": {""}}))
	if got := len(p.all(t, ".rows tbody tr")); got != 1 {
		t.Errorf("%d attempts of cy without a range", got)
	}
}

func TestPageOfAHistoryIsOfThirtyDaysUnlessAskedAndSaysSo(t *testing.T) {
	s := smallStore(t)
	p := visit(t, s, acmePages+"/users/ann")
	if got := p.text(t, ".range"); !strings.HasPrefix(got, "The last 30 days, as no other range was asked for: from 2026-10-24 12:00:00 until now, times in UTC.") {
		t.Errorf("range %q", got)
	}
	if p.has(t, ".filter-chip") || attribute(p.one(t, "#f-start"), "value") != "-30d" {
		t.Error("the default range is not shown as such")
	}
	p = visit(t, s, acmePages+"/users/cy")
	if got := p.text(t, ".empty"); !strings.Contains(got, "No attempts") || !strings.Contains(got, "Older ones may exist") {
		t.Errorf("empty %q", got)
	}
	p = visit(t, s, p.href(t, ".empty .button"))
	if got := p.text(t, ".rows tbody tr"); got != "success 2026-10-14 12:00:00 Status 2, Completed session Entry 1, Membership login 12:00:00 13:00:00 1 h 00 min closed 192.0.2.7 Firefox 2" {
		t.Errorf("all time: %q", got)
	}
	if got := p.href(t, ".rows tbody a.row"); got != acmePages+"/events/old-out" {
		t.Errorf("the attempt leads to %s", got)
	}
	if p := visit(t, s, acmePages+"/users/cy?end=2026-10-31"); len(p.all(t, ".rows tbody tr")) != 1 {
		t.Error("an end alone has a start")
	}
}

func TestPageOfAHistorySwitchesToSingleEventsAndKeepsTheRange(t *testing.T) {
	s := smallStore(t)
	p := visit(t, s, acmePages+"/users/cy?start=2026-10-14&state=closed&entry=1")
	p = visit(t, s, p.href(t, ".tabs a:not([aria-current])"))
	if got := p.texts(t, ".rows tbody a.row"); len(got) != 2 || !strings.Contains(got[0], "13:00:00") {
		t.Errorf("events %q", got)
	}
	if attribute(p.one(t, "#f-start"), "value") != "2026-10-14" || !p.has(t, "input[name=entry][value='1'][checked]") {
		t.Error("the range or the entry is lost")
	}
	p = visit(t, s, p.href(t, ".tabs a:not([aria-current])"))
	if got := len(p.all(t, ".rows tbody tr")); got != 1 {
		t.Errorf("%d attempts on the way back", got)
	}
}

func TestPageShowsTheSameRowsAsTheAPI(t *testing.T) {
	s := trafficStore(t)
	for _, filter := range []string{"", "status=5&status=22", "outcome=failure&kind=mfa", "ip=203.0.113.0/24&order=asc", "q=wrong", "entry=7&limit=7"} {
		filter := filter + "&start=-7d"
		var answer struct{ Events []query.Event }
		if err := json.Unmarshal([]byte(visit(t, s, "/api/v1/accounts/acme/events?"+strings.TrimPrefix(filter, "&")).Body), &answer); err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, e := range answer.Events {
			want = append(want, links{account: "acme"}.Event(e.ID))
		}
		for _, n := range visit(t, s, acmePages+"/events?"+filter).all(t, ".rows tbody a.row") {
			got = append(got, attribute(n, "href"))
		}
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: page %d rows, API %d", filter, len(got), len(want))
		}
	}
}

func TestPageWithWrongValuesSaysWhichAtTheFieldAndKeepsTheForm(t *testing.T) {
	s := smallStore(t)
	for path, want := range map[string]struct{ field, label string }{
		"?last_login_after=tomorrow":                {"last_login_after", "Last log-in from"},
		"?limit=0":                                  {"limit", "Rows"},
		"?tz=Mars/Base":                             {"tz", "Time zone"},
		"/events?ip=192.0.2.7/99":                   {"ip", "IP address or range"},
		"/events?start=2026-11-02&end=2026-11-01":   {"end", "End"},
		"/users/bob?start=2026-13-01":               {"start", "Start"},
		"/users/bob?view=events&mfa_method=pigeon":  {"mfa_method", "MFA method"},
		"/users/bob?as_of=never":                    {"as_of", "As of"},
		"/users/bob?status=4":                       {"status", "Status"},
		"/events?username=ann&username=bob&start=1": {"username", "Username, exactly"},
	} {
		p := visit(t, s, acmePages+path)
		if p.Status != http.StatusBadRequest || p.has(t, "table.rows") {
			t.Errorf("%s: status %d", path, p.Status)
		}
		if got := p.texts(t, "#e-"+want.field); len(got) != 1 || got[0] == "" {
			t.Errorf("%s: at the field: %q", path, got)
		}
		if !slices.Contains(p.texts(t, ".problem[role=alert] li a"), want.label) {
			t.Errorf("%s: in the summary: %q", path, p.texts(t, ".problem li"))
		}
	}
	p := visit(t, s, acmePages+"/events?colour=red&cursor=x")
	if got := p.texts(t, ".problem li b"); p.Status != http.StatusBadRequest || !slices.Equal(got, []string{"colour", "cursor"}) {
		t.Errorf("what has no field: %d %q", p.Status, got)
	}
	if p := visit(t, s, acmePages+"/users/bob?view=cards"); p.Status != http.StatusBadRequest || !p.has(t, ".facts") {
		t.Errorf("unknown view: %d", p.Status)
	}
	if p := visit(t, s, acmePages+"/events/in?x=1"); p.Status != http.StatusBadRequest {
		t.Errorf("details with a parameter: %d", p.Status)
	}
	if p := visit(t, s, acmePages+"/events/in?tz=Mars"); p.Status != http.StatusBadRequest {
		t.Errorf("details in an unknown zone: %d", p.Status)
	}
}

func TestPageShowsTimesInTheZoneAskedForAndLinksKeepIt(t *testing.T) {
	s := smallStore(t)
	p := visit(t, s, acmePages+"?tz=Asia/Kolkata")
	if got := p.texts(t, ".rows tbody time")[0]; got != "2026-11-23 17:20:00 +05:30" {
		t.Errorf("time %q", got)
	}
	if got := attribute(p.all(t, ".rows tbody time")[0], "datetime"); got != "2026-11-23T11:50:00.000000Z" {
		t.Errorf("datetime %q", got)
	}
	for _, n := range p.all(t, ".rows tbody a, nav a") {
		if href := attribute(n, "href"); !strings.Contains(href, "tz=Asia%2FKolkata") {
			t.Errorf("%s lost the zone", href)
		}
	}
	p = visit(t, s, acmePages+"/events/in?tz=Asia/Kolkata")
	if got := p.text(t, ".sentence"); !strings.Contains(got, "on 2026-11-23 at 17:20:00 +05:30") {
		t.Errorf("sentence %q", got)
	}
}

func TestPageFindsNamesAndIDsOfAnyBytes(t *testing.T) {
	names := []string{"a/b", ".", "..", "...", "%2e", "%2E%2E", "a b", "?x=1", "#", `\`, "é", "a+b", "a&b=c;d", "'\"<>", "\u202e", "x\ty\n"}
	var events []event.Event
	for i, name := range names {
		e := eventAt(time.Duration(i+1)*time.Minute, fmt.Sprint("e", i), name, 5)
		if !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			e.ID = name
		}
		events = append(events, e)
	}
	s := newPlainStore(stored(t, events...)...)
	list := visit(t, s, acmePages)
	rows := list.all(t, ".rows tbody a.row")
	if len(rows) != len(names) {
		t.Fatalf("%d users", len(rows))
	}
	for _, n := range rows {
		// The browser resolves the address first, and takes dots as steps.
		u, err := url.Parse("http://host" + attribute(n, "href"))
		if err != nil || strings.Contains(u.EscapedPath(), "/../") || strings.HasSuffix(u.EscapedPath(), "/..") {
			t.Fatalf("%s: %v", attribute(n, "href"), err)
		}
		p := visit(t, s, attribute(n, "href"))
		if p.Status != http.StatusOK || p.text(t, "h1") != textOf(n) {
			t.Errorf("%s: %d, %q is not %q", attribute(n, "href"), p.Status, p.texts(t, "h1"), textOf(n))
			continue
		}
		again := visit(t, s, submit(t, p, nil))
		if again.Status != http.StatusOK || again.text(t, "h1") != textOf(n) {
			t.Errorf("%q: Refresh leads to %d %q", textOf(n), again.Status, again.texts(t, "h1"))
		}
		details := visit(t, s, p.href(t, ".rows tbody a.row"))
		if details.Status != http.StatusOK || details.text(t, ".fields-list dd.who") != textOf(n) {
			t.Errorf("%q: details %d", textOf(n), details.Status)
		}
	}
}

func TestPageOfEventsFindsThoseWithoutAUsername(t *testing.T) {
	s := newPlainStore(stored(t, eventAt(time.Minute, "a", "", 13), eventAt(time.Hour, "b", "bob", 5))...)
	p := visit(t, s, acmePages+"/events?unnamed=true")
	if got := p.texts(t, ".rows tbody td.who"); !slices.Equal(got, []string{"no username"}) {
		t.Errorf("rows %q", got)
	}
	p = visit(t, s, p.href(t, ".filter-chip"))
	if got := len(p.all(t, ".rows tbody tr")); got != 2 {
		t.Errorf("%d rows without the filter", got)
	}
	p = visit(t, s, acmePages+"/events/a")
	if got := p.text(t, ".sentence strong:first-of-type"); got != "Somebody without a username" {
		t.Errorf("sentence %q", got)
	}
}

func TestPageAtTheStartListsTheAccountsOrGoesToTheOnlyOne(t *testing.T) {
	if p := visit(t, smallStore(t), "/"); p.Status != http.StatusSeeOther || p.Header.Get("Location") != acmePages {
		t.Errorf("one account: %d %s", p.Status, p.Header.Get("Location"))
	}
	other := eventAt(time.Minute, "x", "eve", 1)
	other.Account = "other-corp"
	p := visit(t, newPlainStore(stored(t, other, eventAt(time.Minute, "y", "ann", 1))...), "/")
	if got := p.texts(t, ".accounts a"); !slices.Equal(got, []string{"acme", "other-corp"}) {
		t.Errorf("accounts %q", got)
	}
	if p := visit(t, newPlainStore(), "/"); !strings.Contains(p.text(t, ".empty"), "no accounts with events yet") {
		t.Errorf("no account: %s", p.Body)
	}
	if p := visit(t, newPlainStore(), acmePages); p.Status != http.StatusOK || !strings.Contains(p.text(t, ".empty"), "as far as the list is complete: the top of the page says up to when") {
		t.Errorf("an account without events: %d %q", p.Status, p.text(t, ".empty"))
	}
	if p := visit(t, smallStore(t), acmePages+"?q=nobody"); !strings.Contains(p.text(t, ".empty"), "match these filters") {
		t.Errorf("no user matches: %q", p.text(t, ".empty"))
	}
}

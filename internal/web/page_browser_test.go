package web

import (
	"flag"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/uitest"
)

// Pictures of every page: go test ./internal/web -run Browser -args -shots DIR
var shots = flag.String("shots", "", "write pictures of the pages into this directory")

// browse serves a month of made-up log-ins and opens a browser.
func browse(t testing.TB) (b *uitest.Browser, server *httptest.Server, token string) {
	t.Helper()
	s := trafficStore(t)
	hostileEvents := make([]event.Event, 0, len(hostile()))
	for i, text := range hostile() {
		e := eventAt(0, "hostile-"+string(rune('a'+i)), text, 13)
		e.Account, e.Reason, e.UserAgent = "hostile", text, text
		hostileEvents = append(hostileEvents, e)
	}
	handler, token := pageServer(t, newPlainStore(append(s.stored, stored(t, hostileEvents...)...)...))
	server = httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return uitest.Open(t), server, token
}

// signIn goes through the form, as a person does, to where it leads.
func signIn(t testing.TB, tab *uitest.Tab, server *httptest.Server, token, path string) {
	t.Helper()
	tab.Go(server.URL + path)
	if !strings.Contains(tab.Address(), "/sign-in?next=") {
		t.Fatalf("not asked to sign in but at %s", tab.Address())
	}
	tab.Fill("#token", token)
	if status := tab.Follow("main button"); status != 200 || tab.Address() != server.URL+path {
		t.Fatalf("signed in: %d at %s", status, tab.Address())
	}
}

func wantNoProblems(t testing.TB, tab *uitest.Tab) {
	t.Helper()
	for _, problem := range tab.Problems() {
		t.Errorf("at %s: %s", tab.Address(), problem)
	}
}

// journey is the mission: users, a user's history, Start and End, Refresh,
// a row, its details. openRow opens the first row of a list.
func journey(t *testing.T, tab *uitest.Tab, openRow func(within string)) {
	t.Helper()
	openRow(".rows tbody tr:has(a[href$='/users/admin'])")
	if got := tab.Text("h1"); got != "admin" {
		t.Fatalf("history of %q", got)
	}
	before := uitest.Eval[int](tab, `document.querySelectorAll(".rows tbody tr").length`)
	tab.Fill("#f-start", "2026-11-16")
	tab.Fill("#f-end", "2026-11-17")
	tab.Click("#f-outcome summary")
	tab.Click("#f-outcome input[value=success]")
	tab.Follow("#refresh")
	days := uitest.Eval[[]string](tab, `[...document.querySelectorAll(".rows tbody th time")].map((t) => t.dateTime.slice(0, 10))`)
	if len(days) == 0 || len(days) >= before || slices.ContainsFunc(days, func(d string) bool { return d != "2026-11-16" && d != "2026-11-17" }) {
		t.Fatalf("of %d rows these are left: %q", before, days)
	}
	query, err := url.Parse(tab.Address())
	if err != nil || query.Query().Get("start") != "2026-11-16" || query.Query().Get("end") != "2026-11-17" || query.Query().Get("outcome") != "success" {
		t.Errorf("the address is %s", tab.Address())
	}
	started := uitest.Eval[string](tab, `document.querySelector(".rows tbody th time").innerText`)
	openRow(".rows tbody tr:first-child")
	if got := tab.Text("h1"); got != "Security details" || !strings.Contains(tab.Address(), "/events/") {
		t.Fatalf("the row leads to %s, %q", tab.Address(), got)
	}
	if got := tab.Text("main"); !strings.Contains(got, "admin") || !strings.Contains(got, started) {
		t.Errorf("the details do not name admin and %s", started)
	}
}

func TestBrowserGoesFromUsersToHistoryToDetailsByClicksOnRows(t *testing.T) {
	b, server, token := browse(t)
	tab := b.Tab(t, uitest.Options{})
	signIn(t, tab, server, token, acmePages)
	journey(t, tab, func(row string) { tab.FollowAt(row + " td:last-child") })
	wantNoProblems(t, tab)
}

func TestBrowserWithoutJavaScriptMakesTheSameJourneyByLinks(t *testing.T) {
	b, server, token := browse(t)
	tab := b.Tab(t, uitest.Options{NoScript: true})
	signIn(t, tab, server, token, acmePages)
	journey(t, tab, func(row string) { tab.Follow(row + " a.row") })
	tab.Follow(".out button")
	if !strings.HasSuffix(tab.Address(), "/sign-in") {
		t.Errorf("signed out to %s", tab.Address())
	}
	tab.Go(server.URL + acmePages)
	if !strings.Contains(tab.Address(), "/sign-in") {
		t.Error("still signed in")
	}
}

func TestBrowserShowsTheNameOfACodeOnHoverAndFocusUntilEscape(t *testing.T) {
	b, server, token := browse(t)
	tab := b.Tab(t, uitest.Options{})
	signIn(t, tab, server, token, acmePages)
	const code = ".rows tbody tr:nth-child(2) td:nth-child(5) "
	name := event.Status(uitest.Eval[int](tab, `+document.querySelector("`+code+`.chip").childNodes[1].textContent`)).Name()
	shown := func() bool { return tab.Seen(code + ".tip") }
	if shown() {
		t.Fatal("the name is there before anything")
	}
	tab.Hover(code + ".chip")
	if !shown() || tab.Text(code+".tip") != name {
		t.Fatalf("hovering shows %q, want %q", tab.Text(code+".tip"), name)
	}
	tab.Hover(code + ".tip")
	if !shown() {
		t.Error("the name vanishes under the pointer")
	}
	tab.Press(uitest.Escape)
	if shown() {
		t.Error("Escape does not hide it from the pointer")
	}
	tab.Leave()
	tab.Hover(code + ".chip")
	if !shown() {
		t.Error("it does not come back")
	}
	tab.Leave()
	if shown() {
		t.Error("it stays after the pointer left")
	}
	tab.Focus(".rows tbody tr:nth-child(2) td:nth-child(4) .chip")
	tab.Press(uitest.Tabulator)
	if !shown() {
		t.Fatal("the keyboard does not show it")
	}
	tab.Press(uitest.Escape)
	if shown() || !uitest.Eval[bool](tab, `document.activeElement.matches("`+code+`.chip")`) {
		t.Error("Escape does not hide it, or takes the focus away")
	}
	wantNoProblems(t, tab)
}

func TestBrowserMarksRefreshWhileTheRowsDoNotMatchTheForm(t *testing.T) {
	b, server, token := browse(t)
	tab := b.Tab(t, uitest.Options{TimeZone: "Asia/Tokyo"})
	signIn(t, tab, server, token, acmePages+"/users/admin?start=-7d")
	if tab.Seen("#refresh .changed") {
		t.Fatal("marked from the start")
	}
	tab.Fill("#f-start", "-3d")
	if !tab.Seen("#refresh .changed") {
		t.Error("not marked after a change")
	}
	tab.Fill("#f-start", "-7d")
	if tab.Seen("#refresh .changed") {
		t.Error("still marked after the change was taken back")
	}
	tab.Click("#f-status summary")
	tab.Click("#f-status input[value='5']")
	if got := tab.Text("#s-status"); got != "1 chosen" || !tab.Seen("#refresh .changed") {
		t.Errorf("a choice shows %q", got)
	}
	tab.Press(uitest.Escape)
	if uitest.Eval[bool](tab, `document.querySelector("#f-status").open`) {
		t.Error("Escape leaves the choices open")
	}
	tab.Click(".more summary")
	tab.Click("[data-zone]")
	tab.Press(uitest.Enter)
	tab.Follow("#refresh")
	if got := tab.Address(); !strings.Contains(got, "tz=Asia%2FTokyo") || strings.Contains(got, "ip=") || strings.Contains(got, "end=") {
		t.Errorf("the address is %s", got)
	}
	tab.Fill("#f-start", "")
	tab.Follow("#refresh")
	if !strings.Contains(tab.Text(".range"), "From the beginning") {
		t.Errorf("without a start: %s", tab.Text(".range"))
	}
	wantNoProblems(t, tab)
}

func TestBrowserReachesUsersWhoseNamesAreStepsOnAPath(t *testing.T) {
	b, server, token := browse(t)
	tab := b.Tab(t, uitest.Options{})
	signIn(t, tab, server, token, "/accounts/hostile/security?q=.")
	for _, name := range []string{".", ".."} {
		tab.Go(server.URL + "/accounts/hostile/security?q=.")
		tab.Follow("a.row[href$='name=" + name + "']")
		if got := tab.Text("h1"); got != name {
			t.Errorf("the history of %s is headed %s", name, got)
		}
		tab.Follow("#refresh")
		if got := tab.Text("h1"); got != name || !tab.Seen(".rows tbody tr") {
			t.Errorf("after Refresh it is headed %s", got)
		}
	}
	wantNoProblems(t, tab)
}

// everyPage is an address of each kind of page and state.
func everyPage(t testing.TB, tab *uitest.Tab, server *httptest.Server) map[string]string {
	t.Helper()
	tab.Go(server.URL + acmePages + "/events?outcome=failure&status=22&start=")
	details := uitest.Eval[string](tab, `document.querySelectorAll("a.row")[1].getAttribute("href")`)
	const hostilePages = "/accounts/hostile/security"
	return map[string]string{
		"accounts": "/", "users": acmePages + "?sort=-last_login", "history": acmePages + "/users/tariq.tanaka@example.com",
		"single": acmePages + "/users/admin?view=events&limit=50", "events": acmePages + "/events?limit=50", "details": details,
		"filtered": acmePages + "/events?status=5&status=22&outcome=failure&start=-7d", "empty": acmePages + "/events?ip=192.0.2.1",
		"hostile-users": hostilePages, "hostile-events": hostilePages + "/events", "hostile-details": hostilePages + "/events/hostile-l",
	}
}

func TestBrowserFindsNoViolationAndNoOverflowOnAnyPageOfAnyWidth(t *testing.T) {
	b, server, token := browse(t)
	tab := b.Tab(t, uitest.Options{})
	signIn(t, tab, server, token, acmePages)
	for page, path := range everyPage(t, tab, server) {
		if status := tab.Go(server.URL + path); status != 200 {
			t.Fatalf("%s: %d", page, status)
		}
		for name, o := range map[string]uitest.Options{
			"wide": {Width: 1360, Height: 820}, "dark": {Width: 1360, Height: 820, Dark: true},
			"middle": {Width: 800, Height: 800}, "narrow": {Width: 360, Height: 740}, "huge": {Width: 3840, Height: 2160},
		} {
			tab.Resize(o)
			if wide := uitest.Eval[int](tab, `document.documentElement.scrollWidth - innerWidth`); wide > 0 {
				t.Errorf("%s %s is %d px too wide", name, page, wide)
			}
			if small := uitest.Eval[[]string](tab, smallTargets); len(small) > 0 {
				t.Errorf("%s %s has targets under 24 px: %q", name, page, small)
			}
			if *shots != "" {
				tab.Screenshot(filepath.Join(*shots, page+"-"+name+".png"), false)
			}
		}
		wantNoProblems(t, tab)
	}
}

func TestBrowserKeepsRefreshBesideTheFieldsOfEveryForm(t *testing.T) {
	b, server, token := browse(t)
	tab := b.Tab(t, uitest.Options{})
	signIn(t, tab, server, token, acmePages)
	for _, path := range []string{"", "/users/admin", "/users/admin?view=events", "/events"} {
		tab.Go(server.URL + acmePages + path)
		for _, width := range []int{800, 1024, 1280, 1360, 1920} {
			tab.Resize(uitest.Options{Width: width, Height: 800})
			if below := uitest.Eval[bool](tab, `Math.min(...[...document.querySelectorAll(".ask .field")].map((e) => e.getBoundingClientRect().bottom)) <
				document.querySelector("#refresh").getBoundingClientRect().top`); below {
				t.Errorf("%s at %d px: Refresh is below the fields", path, width)
			}
			lines := uitest.Eval[int](tab, `new Set([...document.querySelectorAll(".ask .field")].map((e) => Math.round(e.getBoundingClientRect().top))).size`)
			if width >= 1280 && lines != 1 {
				t.Errorf("%s at %d px: the fields take %d lines", path, width, lines)
			}
		}
	}
}

// smallTargets lists some of what is too small to be hit, but for links in
// sentences (WCAG 2.5.8).
const smallTargets = `[...document.querySelectorAll("a, button, input, select, summary")]
	.filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.matches(".skip, p a, dd a, li a, td.who a, label input"))
	.filter((e) => { const r = e.getBoundingClientRect(); return r.height < 23.5 || r.width < 23.5; })
	.map((e) => e.outerHTML.slice(0, 80)).slice(0, 3)`

package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

func TestPageOfDetailsTellsWhatHappenedAndEveryField(t *testing.T) {
	asked := eventAt(62*time.Second, "asked", "ann", 25)
	asked.SessionID = "s-1"
	in := eventAt(time.Minute, "in", "ann", 21)
	in.SessionID, in.MFAMethod, in.DeviceID, in.RequestID = "s-1", "totp", "dev-1", "req-1"
	in.Reason, in.Attributes = "code was right", map[string]string{"risk": "low"}
	in.Unknown = map[string]json.RawMessage{"x_flag": json.RawMessage(`{"deep":[1]}`)}
	near := eventAt(2*time.Minute, "near", "bob", 5)
	s := newPlainStore(stored(t, near, asked, in)...)
	p := visit(t, s, acmePages+"/events/in")

	if got := p.text(t, ".sentence"); got != "success ann logged in, on 2026-11-23 at 11:59:00 UTC, by Membership login, from 192.0.2.7, second factor totp." {
		t.Errorf("sentence %q", got)
	}
	fields := strings.Join(p.texts(t, "#s-fields ~ dl dt, #s-fields ~ dl dd"), "|")
	for _, want := range []string{
		"Event id|in", "Account|acme", "Username|ann", "Occurred|2026-11-23 11:59:00.000000 UTC 1 min ago",
		"Status|Status 21, Login successful MFA Login successful MFA", "Entry|Entry 1, Membership login Membership login",
		"Kind|mfa", "Outcome|success", "IP address|192.0.2.7", "Client|Firefox", "Service|web-login", "Session id|s-1",
		"MFA method|totp", "Device id|dev-1", "Request id|req-1", "Reason|code was right",
		"risk attribute|low", `x_flag not in the contract|{"deep":[1]}`,
	} {
		if !strings.Contains(fields, want) {
			t.Errorf("no %q in %s", want, fields)
		}
	}
	way := strings.Join(p.texts(t, "#s-way ~ dl dd"), "|")
	if want := "2026-11-23 11:59:00.000000 UTC|2026-11-23 11:59:00.090000 UTC|2026-11-23 11:59:00.210000 UTC 210 ms after it occurred|3|" + s.stored[2].Hash.String(); way != want {
		t.Errorf("way %q, want %q", way, want)
	}
	if got := p.texts(t, "#rows-steps ~ div tbody th"); len(got) != 2 || !strings.Contains(got[0], "11:58:58") || !strings.Contains(got[1], "11:59:00") {
		t.Errorf("steps %q", got)
	}
	if got := p.href(t, "tr[aria-current] a.row"); got != acmePages+"/events/in" {
		t.Errorf("current step leads to %s", got)
	}
	if got := p.texts(t, "#rows-near ~ div tbody td.who"); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("neighbours of %q", got)
	}
	if got := p.text(t, "#s-user ~ ul.sessions"); got != "s-1, since 2026-11-23 11:59:00, from 192.0.2.7" {
		t.Errorf("sessions %q", got)
	}
	if got := p.text(t, "pre.exact"); got != strings.Join(strings.Fields(string(s.stored[2].Raw)), " ") {
		t.Errorf("raw %q", got)
	}
}

func TestPageOfDetailsLeadsOnToTheSameUserSessionAndAddress(t *testing.T) {
	in := eventAt(time.Hour, "in", "ann", 1)
	in.SessionID = "s-1"
	out := eventAt(time.Minute, "out", "ann", 2)
	out.SessionID = "s-1"
	other := eventAt(30*time.Minute, "other", "bob", 5)
	far := eventAt(80*time.Hour, "far", "ann", 5)
	s := newPlainStore(stored(t, far, in, other, out)...)
	p := visit(t, s, acmePages+"/events/out")
	for link, want := range map[string][]string{
		"Same user, a day before and after":       {"out", "in"},
		"Same session":                            {"out", "in"},
		"Same IP address, a day before and after": {"out", "other", "in"},
	} {
		i := slices.Index(p.texts(t, ".on a"), link)
		if i < 0 {
			t.Fatalf("no link %q", link)
		}
		var got []string
		for _, n := range visit(t, s, attribute(p.all(t, ".on a")[i], "href")).all(t, ".rows tbody a.row") {
			got = append(got, strings.TrimPrefix(attribute(n, "href"), acmePages+"/events/"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", link, got, want)
		}
	}
	i := slices.Index(p.texts(t, ".on a"), "All of this as JSON")
	if got := visit(t, s, attribute(p.all(t, ".on a")[i], "href")); got.Status != http.StatusOK || !json.Valid([]byte(got.Body)) {
		t.Errorf("as JSON: %d", got.Status)
	}
}

func TestPageOfDetailsShowsEveryVersionOfAConflict(t *testing.T) {
	s := newPlainStore(stored(t, eventAt(time.Hour, "same", "ann", 1), eventAt(time.Minute, "same", "mallory", 5))...)
	p := visit(t, s, acmePages+"/events/same")
	if got := p.text(t, ".conflicting h2"); got != "Conflict: this id names 2 different events" {
		t.Errorf("heading %q", got)
	}
	versions := p.texts(t, ".conflicting ol > li")
	if len(versions) != 2 || !strings.Contains(versions[0], "mallory") || !strings.Contains(versions[1], "ann") ||
		!strings.Contains(versions[1], s.stored[0].Hash.String()) || !strings.Contains(versions[1], `"status": 1`) {
		t.Errorf("versions %q", versions)
	}
	if p := visit(t, s, acmePages+"/events"); len(p.all(t, ".rows .conflict")) != 2 {
		t.Error("the list does not mark both")
	}
	if p := visit(t, smallStore(t), acmePages+"/events/in"); p.has(t, ".conflicting") {
		t.Error("an event without a twin is marked")
	}
}

func TestPageSaysInWordsWhatEveryStatusMeans(t *testing.T) {
	words := map[event.Status]string{
		1: "logged in", 2: "logged out", 5: "could not log in: Invalid password", 6: "was logged out: Idle timeout",
		7: "was logged out: Session ended by new login", 8: "was refused, which ends the session: IP conflict",
		14: "could not reset the password: Missing email", 15: "reset the password",
		17: "changed how the second factor is used: MFA Enabled", 21: "logged in",
		22: "could not log in: Login failed MFA", 24: "was asked for a second factor: Login requested MFA",
	}
	for _, status := range event.Statuses() {
		p := visit(t, newPlainStore(stored(t, eventAt(time.Minute, "e", "ann", status))...), acmePages+"/events/e")
		got := p.text(t, ".sentence")
		if want := words[status]; !strings.HasPrefix(got, string(status.Outcome())+" ann "+want) || strings.Contains(got, "  ") {
			t.Errorf("status %d: %q", status, got)
		}
		if p.one(t, ".sentence."+string(status.Outcome())) == nil || !p.has(t, ".fields-list .chip."+string(status.Outcome())) {
			t.Errorf("status %d: no mark", status)
		}
	}
}

func TestCodesHaveTheirNamesForEyesAndForAssistiveTechnology(t *testing.T) {
	p := visit(t, trafficStore(t), acmePages+"/events?limit=1000")
	for _, code := range p.all(t, ".rows .code") {
		button, tip := "", ""
		for c := range code.ChildNodes() {
			switch c.Data {
			case "button":
				button = textOf(c)
				if attribute(c, "type") != "button" {
					t.Fatal("a code submits")
				}
			case "span":
				tip = c.FirstChild.Data
			}
		}
		if tip == "" || !strings.HasSuffix(button, ", "+tip) {
			t.Fatalf("button %q, tip %q", button, tip)
		}
	}
	legend := p.text(t, "details.legend")
	for _, s := range event.Statuses() {
		if !strings.Contains(legend, s.Name()) {
			t.Errorf("no %s in the legend", s.Name())
		}
	}
	for _, e := range event.Entries() {
		if !strings.Contains(legend, e.Name()) {
			t.Errorf("no %s in the legend", e.Name())
		}
	}
}

func TestPageOfDetailsLeadsBackToTheUser(t *testing.T) {
	s := newPlainStore(stored(t, eventAt(time.Minute, "named", "a/b", 1), eventAt(time.Minute, "nameless", "", 13))...)
	p := visit(t, s, acmePages+"/events/named")
	if got := p.texts(t, ".crumbs li"); !slices.Equal(got, []string{"Users", "a/b", "Security details"}) {
		t.Errorf("the way here is %q", got)
	}
	if users, user := p.href(t, ".crumbs li:first-child a"), p.href(t, ".crumbs li.who a"); users != acmePages || user != acmePages+"/users/a%2Fb" {
		t.Errorf("it leads to %s and %s", users, user)
	}
	p = visit(t, s, acmePages+"/events/nameless")
	if got := p.texts(t, ".crumbs li"); !slices.Equal(got, []string{"Events", "Security details"}) || p.href(t, ".crumbs a") != acmePages+"/events" {
		t.Errorf("without a username the way here is %q", got)
	}
}

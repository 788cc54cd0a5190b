package app_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

var update = flag.Bool("update", false, "write the golden files anew")

// hostileNames are usernames that people or attackers typed.
func hostileNames() []string {
	return []string{
		"ann", "evil\x1b[31mred\x1b]0;title\x07", "\u202egnp.exe", "\u200binvisible\u3164", "日本語のユーザー名", "zalgo" + strings.Repeat("\u0301", 12),
		".", "..", "a/b%2F?#&=", "=HYPERLINK(\"x\")", "'quoted", "-dash", "tab\there", "line\nbreak", " edge ", "c1\u009b31m",
		strings.Repeat("x", 80), "👨‍👩‍👧 family", "e\u0301clair", `a,b;"c"`,
	}
}

// asked is a serve with an account of hostile names: each logged in at one time,
// and logged out except the first; the second event of ann's id is somebody else's.
func asked(t testing.TB) system {
	t.Helper()
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	var lines []string
	add := func(e map[string]any) {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(text))
	}
	for i, name := range hostileNames() {
		e := map[string]any{
			"id": fmt.Sprintf("in-%d", i), "account": "acme", "username": name, "occurred_at": fmt.Sprintf("2026-03-10T09:%02d:00.5Z", i), "entry": 1 + i%8, "status": 1,
			"session_id": fmt.Sprintf("s-%d", i), "ip": "198.51.100.7", "user_agent": "Mozilla/5.0 \x1b]8;;http://x\x07 and so on, and so on", "reason": "=why",
		}
		add(e)
		if i > 0 {
			e["id"], e["status"], e["occurred_at"] = fmt.Sprintf("out-%d", i), 2, fmt.Sprintf("2026-03-10T10:%02d:00Z", i)
			delete(e, "user_agent")
			add(e)
		}
	}
	add(map[string]any{"id": "in-0", "account": "acme", "username": "mallory", "occurred_at": "2026-03-10T11:00:00Z", "entry": 2, "status": 5, "attributes": map[string]string{"a\x1b": "\u202eb"}, "more": "\u009b"})
	add(map[string]any{"id": "nobody", "account": "acme", "username": "", "occurred_at": "2026-03-10T11:01:00Z", "entry": 2, "status": 13})
	for i := range 2300 {
		lines = append(lines, fmt.Sprintf(`{"id":"m-%d","account":"many","username":"u%d","occurred_at":"2026-03-10T09:00:00.%06dZ","entry":1,"status":5}`, i, i, i))
	}
	if r := s.Run(t, strings.Join(lines, "\n"), "import", "-", "--wait"); r.Status != 0 {
		t.Fatalf("%+v", r)
	}
	return s
}

// ask runs a command in the zone UTC, and fails the test unless the exit status is as
// wanted.
func (s system) ask(t testing.TB, status int, args ...string) testsystem.Result {
	t.Helper()
	cmd := command(t, []string{"TZ=UTC"}, "loginaudit", append([]string{args[0], "--data-dir", s.Dir}, args[1:]...)...)
	r := testsystem.Run(t, cmd)
	if r.Status != status {
		t.Fatalf("%q: status %d, want %d\n%s%s", args, r.Status, status, r.Out, r.Err)
	}
	return r
}

// untold replaces what depends on when and how a test runs.
func untold(text string) string {
	for _, r := range []struct{ what, by string }{
		{`(received_at|ingested_at|time)": "[^"]*"`, `$1": "…"`},
		{`(received_at|ingested_at|time)":"[^"]*"`, `$1":"…"`},
		{`(lag_ms|stream_seq)":( ?)\d+`, `$1":${2}0`},
		{`next_cursor": "[^"]*"`, `next_cursor": "…"`},
		{`(received at|ingested at) .*`, "$1  …"},
		{`complete up to .* behind`, "complete up to …"},
		{`\d{4}-[^,]*Z,\d{4}-[^,]*Z,\d+,(true|false)`, "…,$1"},
		{`(?m)^\d+ +(2026-)`, "N  $1"},
		{`Message of sequence \d+`, "Message of sequence N"},
	} {
		text = regexp.MustCompile(r.what).ReplaceAllString(text, r.by)
	}
	return text
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	got = untold(got)
	file := filepath.Join("testdata", "ask", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%v; -update writes %s anew:\n%s", err, file, got)
	}
}

func TestAsk(t *testing.T) {
	s := asked(t)
	asOf := []string{"--as-of", "2026-03-10T12:00"}
	questions := map[string][]string{
		"users":    append([]string{"users", "acme"}, asOf...),
		"user":     append([]string{"user", "acme", "ann"}, asOf...),
		"history":  append([]string{"history", "acme", hostileNames()[1]}, asOf...),
		"events":   {"events", "acme", "--end", "2026-03-10"},
		"sessions": append([]string{"sessions", "acme"}, asOf...),
		"event":    {"event", "acme", "out-1"},
		"conflict": {"event", "acme", "in-0"},
	}

	t.Run("tables are as the golden files have them, and nothing in them acts on a terminal", func(t *testing.T) {
		for name, args := range questions {
			r := s.ask(t, 0, args...)
			golden(t, name+".txt", r.Out+"-- beside it:\n"+r.Err)
			unprintable(t, name, r.Out+r.Err)
		}
	})
	t.Run("machine forms are as the golden files have them, and JSON is safe for a terminal", func(t *testing.T) {
		for name, args := range questions {
			for _, form := range []string{"json", "ndjson", "csv"} {
				r := s.ask(t, 0, append(args, "--output", form)...)
				if form == "csv" { // exact, so it holds what the file must not
					r.Out = strings.ReplaceAll(app.Printable(r.Out), `\x0a`, "\n")
				}
				unprintable(t, name+"."+form, r.Out)
				if form == "csv" || name == "user" || name == "history" || name == "event" {
					golden(t, name+"."+form, r.Out)
				}
			}
		}
	})
	t.Run("JSON is the API's own document", func(t *testing.T) { askJSON(t, s) })
	t.Run("CSV has every value exactly, behind the guard", func(t *testing.T) { askCSV(t, s) })
	t.Run("names of any bytes are asked for", func(t *testing.T) { askNames(t, s) })
	t.Run("filters are the API's, and codes have names", func(t *testing.T) { askFilters(t, s) })
	t.Run("rows are counted over all pages", func(t *testing.T) { askPages(t, s) })
	t.Run("errors name the flags and what is allowed", func(t *testing.T) { askErrors(t, s) })
	t.Run("the administrator's token goes to its own server only", func(t *testing.T) { askElsewhere(t, s) })
	t.Run("a terminal gets colours unless it wants none", func(t *testing.T) { askTerminal(t, s) })
}

// unprintable fails the test for a rune that does anything but show itself.
func unprintable(t testing.TB, what, text string) {
	t.Helper()
	for _, r := range text {
		if r != '\n' && (!unicode.IsPrint(r) || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)) {
			t.Errorf("%s: %U reaches the terminal", what, r)
		}
	}
}

func askJSON(t *testing.T, s system) {
	var list client.UserList
	r := s.ask(t, 0, "users", "acme", "--output", "json", "--sort", "username")
	d := json.NewDecoder(strings.NewReader(r.Out))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil || d.More() || list.NextCursor != nil || list.Watermark.StreamSeq == 0 {
		t.Fatalf("%v: %+v", err, list)
	}
	var names []string
	for _, u := range list.Users {
		names = append(names, u.Username)
	}
	want := append(hostileNames(), "mallory")
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("users %q\nwant %q", names, want)
	}
	if r := s.ask(t, 0, "users", "nobody", "--output", "json"); !strings.HasPrefix(r.Out, "{\n  \"users\": [],\n  \"next_cursor\": null,\n  \"watermark\": {") {
		t.Errorf("no users: %s", r.Out)
	}
	if r := s.ask(t, 0, "users", "nobody"); r.Out != "nothing matches\n" {
		t.Errorf("no users: %s", r.Out)
	}
}

func askCSV(t *testing.T, s system) {
	r := s.ask(t, 0, "events", "acme", "--output", "csv", "--status", "active", "--order", "asc")
	records, err := csv.NewReader(strings.NewReader(r.Out)).ReadAll()
	if err != nil || strings.Count(r.Out, "\r\n") != len(records) {
		t.Fatal(err, r.Out)
	}
	column, reason := slices.Index(records[0], "username"), slices.Index(records[0], "reason")
	for i, name := range hostileNames() {
		got := records[i+1][column]
		if got != name && strings.ContainsAny(name[:1], "='-") {
			got = strings.TrimPrefix(got, "'")
		}
		if got != name || records[i+1][reason] != "'=why" {
			t.Errorf("%q is %q because of %q", name, records[i+1][column], records[i+1][reason])
		}
	}
	empty := s.ask(t, 0, "users", "nobody", "--output", "csv").Out
	full, _, _ := strings.Cut(s.ask(t, 0, "users", "acme", "--output", "csv").Out, "\n")
	if empty != full+"\n" {
		t.Errorf("without rows the header is\n%s\n%s", empty, full)
	}
}

func askNames(t *testing.T, s system) {
	for i, name := range hostileNames() {
		var u client.UserDetail
		if err := json.Unmarshal([]byte(s.ask(t, 0, "user", "--output", "json", "--", "acme", name).Out), &u); err != nil || u.Username != name {
			t.Errorf("%q: %q, %v", name, u.Username, err)
		}
		var a client.Attempt
		if err := json.Unmarshal([]byte(s.ask(t, 0, "history", "--output", "ndjson", "--", "acme", name).Out), &a); err != nil || a.EventIDs[0] != fmt.Sprintf("in-%d", i) {
			t.Errorf("%q: %+v, %v", name, a, err)
		}
	}
	if r := s.ask(t, 0, "events", "acme", "--username", "", "--output", "ndjson"); strings.Count(r.Out, "\n") != 1 || !strings.Contains(r.Out, `"id":"nobody"`) {
		t.Errorf("the empty username: %s", r.Out)
	}
}

func askFilters(t *testing.T, s system) {
	for _, q := range []struct {
		rows int
		args []string
	}{
		{20, []string{"events", "acme", "--status", "Active"}},
		{20, []string{"events", "acme", "--status", "1,invalid pass", "--outcome", "success"}},
		{3, []string{"events", "acme", "--entry", "report", "--status", "1"}},
		{2, []string{"events", "acme", "--kind", "login", "--outcome", "failure", "--start", "2026-03-10", "--end", "2026-03-10"}},
		{1, []string{"events", "acme", "--mfa-method", "", "--service", "", "--session-id", "", "--q", "MALLORY"}},
		{39, []string{"events", "acme", "--ip", "198.51.100.0/24"}},
		{1, []string{"history", "acme", "..", "--state", "closed", "--entry", "8"}},
		{0, []string{"history", "acme", "..", "--as-of", "2026-03-10T10:00", "--state", "closed"}},
		{20, []string{"sessions", "acme", "--at", "2026-03-10T09:59"}},
		{1, []string{"sessions", "acme", "--state", "expired"}},
		{1, []string{"sessions", "acme", "--username", "..", "--order", "asc"}},
		{1, []string{"users", "acme", "--logged-in", "--as-of", "2026-03-10T12:00"}},
		{20, []string{"users", "acme", "--logged-in=false", "--as-of", "2026-03-10T12:00"}},
		{1, []string{"users", "acme", "--never-logged-in"}},
		{2, []string{"users", "acme", "--last-login-before", "2026-03-10T09:01:30"}},
	} {
		r := s.ask(t, 0, append(q.args, "--output", "ndjson")...)
		if n := strings.Count(r.Out, "\n"); n != q.rows {
			t.Errorf("%q: %d rows, want %d\n%s", q.args, n, q.rows, r.Out)
		}
	}
	// A date is the day of the zone, and times are shown in it.
	if r := s.ask(t, 0, "events", "acme", "--tz", "Asia/Tokyo", "--start", "2026-03-10T18:00", "--end", "2026-03-10T18:01"); !strings.Contains(r.Out, "2026-03-10 18:00:00+09:00  ann") || strings.Count(r.Out, "\n") != 2 {
		t.Errorf("in Tokyo: %s", r.Out)
	}
	if r := testsystem.Run(t, command(t, []string{"TZ=:America/New_York"}, "loginaudit", "users", "acme", "--q", "ann", "--data-dir", s.Dir)); !strings.Contains(r.Out, "2026-03-10 05:00:00-04:00 success") {
		t.Errorf("in this machine's zone: %+v", r)
	}
}

func askPages(t *testing.T, s system) {
	for args, want := range map[string]int{"": 100, "--limit 7": 7, "--limit 1500": 1500, "--limit 2300": 2300, "--limit 0": 2300, "--limit 5000": 2300} {
		r := s.ask(t, 0, append([]string{"events", "many", "--output", "ndjson"}, strings.Fields(args)...)...)
		ids := map[string]bool{}
		for line := range strings.Lines(r.Out) {
			var e client.Event
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			ids[e.ID] = true
		}
		if more := strings.Contains(r.Err, "more: --limit 0 for all"); len(ids) != want || more != (want < 2300) {
			t.Errorf("%q: %d rows, %q", args, len(ids), r.Err)
		}
	}
	var first, second client.UserList
	if err := json.Unmarshal([]byte(s.ask(t, 0, "users", "many", "--limit", "2", "--output", "json").Out), &first); err != nil || len(first.Users) != 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := json.Unmarshal([]byte(s.ask(t, 0, "users", "many", "--limit", "2", "--output", "json", "--cursor", *first.NextCursor).Out), &second); err != nil || second.Users[0].Username <= first.Users[1].Username {
		t.Errorf("behind the cursor: %+v, %v", second.Users, err)
	}
}

func askErrors(t *testing.T, s system) {
	r := s.ask(t, 1, "events", "acme", "--start", "yes\x1b[2Jterday", "--status", "4", "--mfa-method", "fax", "--limit", "5")
	for _, want := range []string{"Invalid parameter (400, request ", "\n  --start: ", `yes\x1b[2Jterday`, "allowed: RFC 3339", "\n  --status: ", "allowed: a status code", "\n  --mfa-method: "} {
		if !strings.Contains(r.Err, want) {
			t.Errorf("the errors have no %q:\n%s", want, r.Err)
		}
	}
	unprintable(t, "errors", r.Err)
	for want, args := range map[string][]string{
		"Not found (404): no event of this account up to": {"user", "acme", "no\x1bbody"},
		"no event of this account has this id":            {"event", "acme", "none"},
		"and this stream_seq":                             {"event", "acme", "in-0", "--stream-seq", "999999"},
		"account: is not the name of an account":          {"users", "no account"},
	} {
		if r := s.ask(t, 1, args...); !strings.Contains(r.Err, want) {
			t.Errorf("%q: %s", args, r.Err)
		}
	}
	wrong := fileWith(t, "la_admin_"+strings.Repeat("x", 64))
	if r := s.ask(t, 1, "users", "acme", "--token-file", wrong); !strings.Contains(r.Err, "Unauthorized (401)") || strings.Contains(r.Err, "xxx") || !strings.Contains(r.Err, "--token-file") {
		t.Errorf("a wrong token: %s", r.Err)
	}
}

func askElsewhere(t *testing.T, s system) {
	var leaked string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked += r.Header.Get("Authorization")
		fmt.Fprint(w, "<html>")
	}))
	defer other.Close()
	if r := s.ask(t, 1, "users", "acme", "--server", other.URL); leaked != "" || !strings.Contains(r.Err, "there is no token: give --token-file FILE or LOGINAUDIT_TOKEN") {
		t.Errorf("%q was sent: %s", leaked, r.Err)
	}
	given := fileWith(t, "la_admin_"+strings.Repeat("y", 64))
	if r := s.ask(t, 1, "users", "acme", "--server", other.URL, "--token-file", given); !strings.HasSuffix(leaked, "yyy") || !strings.Contains(r.Err, "(look at --server)") {
		t.Errorf("%q was sent: %s", leaked, r.Err)
	}
	s.ask(t, 0, "users", "acme", "--server", s.URL()+"/")
	cmd := command(t, []string{"LOGINAUDIT_TOKEN=" + s.Token, "LOGINAUDIT_SERVER=" + s.URL()}, "loginaudit", "users", "acme", "--data-dir", t.TempDir())
	if r := testsystem.Run(t, cmd); r.Status != 0 || !strings.Contains(r.Out, "mallory") {
		t.Errorf("from the environment: %+v", r)
	}
}

func askTerminal(t *testing.T, s system) {
	for env, colours := range map[string]bool{"TERM=xterm": true, "NO_COLOR=1": false, "TERM=dumb": false} {
		out := onTerminal(t, command(t, []string{"TERM=xterm", env}, "loginaudit", "users", "acme", "--data-dir", s.Dir))
		if strings.Contains(out, "\x1b[32m") != colours || !strings.Contains(out, `evil\x1b[31mred`) || strings.Contains(out, "\x1b]0;") {
			t.Errorf("%s:\n%q", env, out)
		}
	}
	out := onTerminal(t, command(t, nil, "loginaudit", "users", "acme", "--data-dir", s.Dir, "--output", "csv"))
	if strings.Contains(out, "\x1b") || !strings.Contains(out, `evil\x1b[31mred`) || strings.Contains(out, "\u202e") {
		t.Errorf("CSV on a terminal:\n%q", out)
	}
}

func TestAskIsCalledWronglyWithStatus2(t *testing.T) {
	for want, args := range map[string][]string{
		"accepts 1 arg(s)":                             {"users"},
		"accepts 2 arg(s)":                             {"history", "acme"},
		`output: "xml" is not allowed; one of table`:   {"users", "acme", "--output", "xml"},
		`tz: "Berlin" is no time zone`:                 {"events", "acme", "--tz", "Berlin"},
		`tz: "Local" is no time zone`:                  {"events", "acme", "--tz", "Local"},
		"limit: -1 is not allowed":                     {"sessions", "acme", "--limit", "-1"},
		`status: "mfa" may be each of these: 16 MFA D`: {"events", "acme", "--status", "mfa"},
		`entry: "x" is no code and no name: 1 Member`:  {"users", "acme", "--entry", "x"},
		`status: "999" is no code`:                     {"history", "acme", "ann", "--status", "999"},
		`logged-in: "maybe" is neither true nor`:       {"users", "acme", "--logged-in=maybe"},
		`never-logged-in: "2" is neither`:              {"users", "acme", "--never-logged-in=2"},
		"stream-seq: it is negative":                   {"event", "acme", "x", "--stream-seq", "-1"},
		`format: "xml" is not allowed; one of ndjson`:  {"export", "acme", "--format", "xml"},
		"use ndjson":                              {"tail", "acme", "--output", "json"},
		`last-event-id: "x" is no sequence`:       {"tail", "acme", "--last-event-id", "x"},
		"tls-cert and tls-key are given together": {"users", "acme", "--tls-cert", "x"},
		"the base URL begins with neither":        {"users", "acme", "--server", "x", "--token-file", tokenIn(t)},
		"the name is empty: \"loginaudit events":  {"user", "acme", "", "--server", "http://127.0.0.1:1", "--token-file", tokenIn(t)},
	} {
		if r := run(t, "", "loginaudit", args...); r.Status != 2 || !strings.Contains(r.Err, want) {
			t.Errorf("%q: status %d, want %q\n%s", args, r.Status, want, r.Err)
		}
	}
	if r := run(t, "", "loginaudit", "users", "acme", "--data-dir", t.TempDir()); r.Status != 1 || !strings.Contains(r.Err, "nothing runs") || !strings.Contains(r.Err, "--server") {
		t.Errorf("without a server: %+v", r)
	}
	if r := run(t, "", "loginaudit", "users", "acme", "--server", "http://127.0.0.1:1", "--token-file", tokenIn(t)); r.Status != 1 || !strings.Contains(r.Err, "connection refused") {
		t.Errorf("with a server that is not there: %+v", r)
	}
}

func TestShellsCompleteTheValuesOfFlags(t *testing.T) {
	for args, want := range map[string]string{
		"events acme --status ":    "5\tInvalid password\n",
		"users acme --sort ":       "-last_login\n",
		"sessions acme --state ":   "expired\n",
		"export acme --format ":    "parquet\n",
		"tail acme --output ":      "ndjson\n",
		"history acme ann --order": "--order\tdesc: newest first",
		"users ":                   ":4\n", // no files
	} {
		call := append([]string{"__complete"}, strings.Split(args, " ")...)
		if r := run(t, "", "loginaudit", call...); r.Status != 0 || !strings.Contains(r.Out, want) {
			t.Errorf("%q completes to no %q:\n%s", args, want, r.Out)
		}
	}
}

// A page of large events is asked for again with fewer rows.
func TestAskShortensPagesThatAreTooLarge(t *testing.T) {
	var limits []string
	huge := bytes.Repeat([]byte(" "), 1<<20)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		limit := r.URL.Query().Get("limit")
		if limits = append(limits, limit); limit == "100" {
			for range 257 {
				_, _ = w.Write(huge)
			}
		}
		fmt.Fprint(w, `{"users":[{"username":"ann"}],"next_cursor":null}`)
	}))
	defer s.Close()
	r := run(t, "", "loginaudit", "users", "acme", "--server", s.URL, "--token-file", tokenIn(t), "--output", "ndjson")
	if r.Status != 0 || !slices.Equal(limits, []string{"100", "10"}) {
		t.Errorf("limits %v: %+v", limits, r)
	}
}

// Package e2e holds the whole system to the contract from the outside: real
// programs, real engines, real events.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestMain(m *testing.M) {
	engine.MaybeRunChild()
	testsystem.Main(m, testsystem.Programs{
		"loginaudit": func(args []string) int { return app.Execute(app.LoginauditCommand(), args) },
	})
}

// realFiles are log-in events of systems that were really attacked or used.
func realFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testsystem.Root(t), "event/testdata/real/*.ndjson"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files of real events: %v, error %v; want 2", files, err)
	}
	return files
}

// plainEvent is an event as encoding/json reads it: no code of the product
// stands between the file and what the test expects, but the content hash.
type plainEvent struct {
	ID         string            `json:"id"`
	Account    string            `json:"account"`
	Username   string            `json:"username"`
	OccurredAt time.Time         `json:"occurred_at"`
	Entry      event.Entry       `json:"entry"`
	Status     event.Status      `json:"status"`
	SessionID  string            `json:"session_id"`
	IP         netip.Addr        `json:"ip"`
	UserAgent  string            `json:"user_agent"`
	Service    string            `json:"service"`
	MFAMethod  event.MFAMethod   `json:"mfa_method"`
	DeviceID   string            `json:"device_id"`
	RequestID  string            `json:"request_id"`
	Reason     string            `json:"reason"`
	Attributes map[string]string `json:"attributes"`
}

func readEvents(t *testing.T, files []string) (events []event.Stored, distinct int) {
	t.Helper()
	seen := make(map[event.Hash]bool)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var p plainEvent
			if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			hash, err := event.ContentHash(lines.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			seen[hash] = true
			events = append(events, event.Stored{
				Event: event.Event{
					ID: p.ID, Account: p.Account, Username: p.Username, OccurredAt: p.OccurredAt.UTC().Truncate(time.Microsecond),
					Entry: p.Entry, Status: p.Status, SessionID: p.SessionID, IP: p.IP.Unmap(), UserAgent: p.UserAgent,
					Service: p.Service, MFAMethod: p.MFAMethod, DeviceID: p.DeviceID, RequestID: p.RequestID,
					Reason: p.Reason, Attributes: p.Attributes,
				},
				Hash: hash, Raw: slices.Clone(lines.Bytes()),
			})
		}
		if err := lines.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return events, len(seen)
}

// TestRealEventsAreAnsweredAsAPlainFoldSays imports the files with the
// operator's tool and compares every answer about every user and every event
// with a fold over the same files, for now and for a moment of the past.
func TestRealEventsAreAnsweredAsAPlainFoldSays(t *testing.T) {
	files := realFiles(t)
	events, distinct := readEvents(t, files)
	system := testsystem.Serve(t, "loginaudit", t.TempDir())

	imported := system.Run(t, "", append([]string{"import", "--wait"}, files...)...)
	want := fmt.Sprintf("published=%d duplicate=%d rejected=0", distinct, len(events)-distinct)
	if imported.Status != 0 || !strings.Contains(imported.Out, want) {
		t.Fatalf("import: %+v; want %q", imported, want)
	}

	plain := oracle.New(events, 24*time.Hour)
	duringTheAttack := time.Date(2017, 3, 29, 12, 0, 0, 0, time.UTC)
	for _, account := range plain.Accounts() {
		for _, asOf := range []time.Time{time.Now().Truncate(time.Microsecond), duringTheAttack} {
			compareUsers(t, system, plain, account, asOf)
		}
		compareEvents(t, system, plain, account)
	}
	compareDetails(t, system, plain, events)

	imported = system.Run(t, "", append([]string{"import", "--wait"}, files...)...)
	want = fmt.Sprintf("published=0 duplicate=%d rejected=0", len(events))
	if imported.Status != 0 || !strings.Contains(imported.Out, want) {
		t.Errorf("import again: %+v; want %q", imported, want)
	}
	system.Stop(t)
}

func accountPath(account string) string { return "/api/v1/accounts/" + url.PathEscape(account) }

// list asks all pages of a list and joins them.
func list[T any](t *testing.T, system *testsystem.System, path, name string, values url.Values) []T {
	t.Helper()
	joined := []T{}
	for {
		var page map[string]json.RawMessage
		system.Ask(t, path+"?"+values.Encode(), &page)
		var rows []T
		if err := json.Unmarshal(page[name], &rows); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		joined = append(joined, rows...)
		var cursor *string
		if err := json.Unmarshal(page["next_cursor"], &cursor); err != nil {
			t.Fatalf("%s: next_cursor: %v", path, err)
		}
		if cursor == nil {
			return joined
		}
		values.Set("cursor", *cursor)
	}
}

func compareUsers(t *testing.T, system *testsystem.System, plain *oracle.Oracle, account string, asOf time.Time) {
	t.Helper()
	at := asOf.Format(time.RFC3339Nano)
	users := list[query.User](t, system, accountPath(account)+"/users", "users", url.Values{
		"as_of": {at}, "limit": {"7"}, "sort": {"-last_login"},
	})
	want := plain.Users(account, query.UserFilter{AsOf: asOf, Sort: query.SortLastLogin, Descending: true})
	same(t, account+" users as of "+at, users, want)
	for _, user := range want {
		path := accountPath(account) + "/users/" + url.PathEscape(user.Username)
		var one query.UserDetail
		system.Ask(t, path+"?as_of="+url.QueryEscape(at), &one)
		same(t, account+" user", one.User, user)
		attempts := list[query.Attempt](t, system, path+"/attempts", "attempts", url.Values{"as_of": {at}, "limit": {"50"}})
		same(t, account+" attempts", attempts, plain.Attempts(account, query.AttemptFilter{AsOf: asOf, Username: user.Username}))
	}
}

func compareEvents(t *testing.T, system *testsystem.System, plain *oracle.Oracle, account string) {
	t.Helper()
	all := list[query.Event](t, system, accountPath(account)+"/events", "events", url.Values{"limit": {"100"}})
	same(t, account+" events", forgetStream(all), plain.Events(account, query.EventFilter{}))
	for _, user := range plain.Users(account, query.UserFilter{AsOf: time.Now()}) {
		path := accountPath(account) + "/users/" + url.PathEscape(user.Username) + "/events"
		own := list[query.Event](t, system, path, "events", url.Values{"order": {"asc"}, "limit": {"90"}})
		f := query.EventFilter{Username: &user.Username, Order: query.Ascending}
		same(t, account+" events of a user", forgetStream(own), plain.Events(account, f))
	}
}

// compareDetails looks at every event in conflict and at every 40th other one.
func compareDetails(t *testing.T, system *testsystem.System, plain *oracle.Oracle, events []event.Stored) {
	t.Helper()
	conflicts := 0
	for i, e := range events {
		want, _ := plain.Details(e.Account, query.EventQuestion{ID: e.ID, Now: time.Now()})
		if len(want.Versions) > 1 {
			conflicts++
		} else if i%40 != 0 {
			continue
		}
		var got query.EventDetails
		system.Ask(t, accountPath(e.Account)+"/events/"+url.PathEscape(e.ID), &got)
		got.Watermark = query.Watermark{}
		forgetRaw(&got.Event)
		for v := range got.Versions {
			forgetRaw(&got.Versions[v])
		}
		forgetStream(got.AttemptEvents)
		forgetStream(got.Neighbours)
		same(t, e.Account+" details of "+e.ID, got, want)
	}
	if conflicts == 0 {
		t.Error("the files hold no conflict: nothing was shown")
	}
}

// forgetStream clears what the file cannot know: the stream's and the
// database's own words.
func forgetStream(events []query.Event) []query.Event {
	for i := range events {
		events[i].ReceivedAt, events[i].IngestedAt, events[i].StreamSeq = query.Timestamp{}, query.Timestamp{}, 0
	}
	return events
}

func forgetRaw(e *query.RawEvent) {
	e.ReceivedAt, e.IngestedAt, e.StreamSeq = query.Timestamp{}, query.Timestamp{}, 0
}

// same compares two answers as the reader sees them.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	g, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	w, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g, w) {
		t.Fatalf("%s differ\ngot  %s\nwant %s", what, g, w)
	}
}

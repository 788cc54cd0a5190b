package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// TestPagesJoinedAreTheAnswerWhileEventsKeepArriving pages through every list, in
// every direction, while events come through the stream between the pages: new
// ones, late ones from the middle of the range, repeats, other contents under ids
// that are there, and what the listed users do after the moment of the first page.
// What was there before is in the pages joined exactly once, in its order and
// as it was, and nothing is in them twice.
func TestPagesJoinedAreTheAnswerWhileEventsKeepArriving(t *testing.T) {
	system := testsystem.Serve(t, "loginaudit", t.TempDir(), "--engine-memory", "1GiB")
	a := asker{system, "acme"}
	now := time.Now()
	events := history(a.account, now)
	if r := system.Run(t, ndjson(t, events), "import", "--wait", "-"); r.Status != 0 {
		t.Fatalf("import: %+v", r)
	}

	lists := everyList(now)
	for _, l := range lists {
		l.before = a.all(t, l.path, l.list, l.values)
		l.limit = fmt.Sprint(max(1, len(l.before)/5))
	}
	var paged atomic.Bool
	stop := keepPublishing(t, system, events, &paged)
	seen := uint64(0)
	for round := range 5 {
		system.Until(t, "something else arrived", func() error {
			_, _, mark := a.page(t, "/events", "events", url.Values{"limit": {"1"}})
			if mark.StreamSeq <= seen {
				return fmt.Errorf("round %d: the watermark is %d, as before", round, seen)
			}
			seen = mark.StreamSeq
			return nil
		})
		for _, l := range lists {
			l.turn(t, a)
		}
		paged.Store(true) // from now on they do what no first page knows
	}
	if published := stop(); published < 100 {
		t.Errorf("only %d events arrived: nothing was shown", published)
	}
	for _, l := range lists {
		l.limit = "1000"
		for l.turn(t, a) { // a list that is open at its end never ends while events arrive
		}
	}
	for _, l := range lists {
		l.check(t)
	}
	system.Stop(t)
}

// pagedList is a list that is asked for page by page.
type pagedList struct {
	path, list string
	values     url.Values
	// identity tells one row from another: the members that make it.
	identity []string
	// own tells whether a row is of what was there before, by its members.
	own func(row map[string]json.RawMessage, known map[string]bool) bool

	before rows // the answer before anything else arrived
	limit  string
	cursor *string
	pages  int
	got    rows
}

// eventMembers are what an event says itself, which is its identity, without what
// is known of it besides.
var eventMembers = []string{
	"id", "username", "occurred_at", "entry", "status", "session_id", "ip", "user_agent", "service", "mfa_method",
	"device_id", "request_id", "reason", "attributes",
}

// everyList are all lists in all directions.
func everyList(now time.Time) (lists []*pagedList) {
	span := url.Values{"start": {now.Add(-60 * time.Hour).Format(time.RFC3339)}, "end": {now.Add(-time.Hour).Format(time.RFC3339)}}
	known := func(row map[string]json.RawMessage, known map[string]bool) bool { return known[key(row, eventMembers)] }
	ofPeople := func(row map[string]json.RawMessage, _ map[string]bool) bool {
		var username string
		return json.Unmarshal(row["username"], &username) == nil && (slices.Contains(people, username) || username == "locked")
	}
	for _, order := range []string{"desc", "asc"} {
		for _, values := range []url.Values{{}, span} {
			v := with(values, "order", order)
			lists = append(lists,
				&pagedList{path: "/events", list: "events", values: v, identity: eventMembers, own: known},
				&pagedList{path: "/users/ann/events", list: "events", values: v, identity: eventMembers, own: known},
				&pagedList{path: "/users/%C3%9Cnal/attempts", list: "attempts", values: v, identity: []string{"session_id", "event_ids"}, own: ofPeople},
				&pagedList{path: "/sessions", list: "sessions", values: v, identity: []string{"username", "session_id"}, own: ofPeople},
			)
		}
		lists = append(lists, &pagedList{
			path: "/sessions", list: "sessions", values: url.Values{"state": {"open"}, "order": {order}}, identity: []string{"username", "session_id"}, own: ofPeople,
		})
	}
	for _, sort := range []string{"username", "-username", "last_login", "-last_login", "last_logout", "-last_logout"} {
		lists = append(lists, &pagedList{path: "/users", list: "users", values: url.Values{"sort": {sort}}, identity: []string{"username"}, own: ofPeople})
	}
	return lists
}

// turn asks for the next page, and reports whether there is another one.
func (l *pagedList) turn(t *testing.T, a asker) bool {
	if l.pages > 0 && l.cursor == nil {
		return false
	}
	values := with(l.values, "limit", l.limit)
	if l.cursor != nil {
		values.Set("cursor", *l.cursor)
	}
	var found rows
	found, l.cursor, _ = a.page(t, l.path, l.list, values)
	l.got = append(l.got, found...)
	l.pages++
	return l.cursor != nil
}

// check compares the pages joined with the answer before.
func (l *pagedList) check(t *testing.T) {
	what := fmt.Sprintf("%s?%s in %d pages", l.path, l.values.Encode(), l.pages)
	if len(l.before) < 5 || l.pages < 3 {
		t.Errorf("%s of %d rows: nothing was shown", what, len(l.before))
	}
	known, seen := make(map[string]bool), make(map[string]bool)
	for _, row := range l.before {
		known[key(members(t, row), l.identity)] = true
	}
	var own rows
	for _, row := range l.got {
		m := members(t, row)
		if k := key(m, l.identity); seen[k] {
			t.Errorf("%s: this is there twice: %s", what, k)
		} else {
			seen[k] = true
		}
		if l.own(m, known) {
			own = append(own, row)
		}
	}
	sameRows(t, what, settled(t, own), settled(t, l.before))
}

func members(t testing.TB, row json.RawMessage) (m map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal(row, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func key(row map[string]json.RawMessage, of []string) string {
	var parts []string
	for _, name := range of {
		parts = append(parts, string(row[name]))
	}
	return strings.Join(parts, " ")
}

// settled are rows without what a repeat or another content under the id may
// change: when the row was written and the conflict.
func settled(t testing.TB, all rows) (kept rows) {
	t.Helper()
	for _, row := range all {
		m := members(t, row)
		delete(m, "ingested_at")
		delete(m, "conflict")
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, text)
	}
	return kept
}

// keepPublishing publishes by the plain client, without message ids, until stop is
// called, which tells how many events were published. The users of base do nothing
// more until paged is true.
func keepPublishing(t *testing.T, system *testsystem.System, base []event.Event, paged *atomic.Bool) (stop func() int) {
	t.Helper()
	nc, err := nats.Connect(system.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	published := 0
	done.Go(func() {
		pause := time.NewTicker(30 * time.Millisecond)
		defer pause.Stop()
		for ctx.Err() == nil {
			for _, e := range arrivals(base, published, paged.Load()) {
				body, err := event.Encode(e)
				if err == nil {
					_, err = js.Publish("login.events."+e.Account+"."+string(e.Status.Kind()), body)
				}
				if err != nil {
					t.Errorf("publish: %v", err)
					return
				}
				published++
			}
			select {
			case <-ctx.Done():
			case <-pause.C:
			}
		}
	})
	return func() int {
		cancel()
		done.Wait()
		nc.Close()
		return published
	}
}

// arrivals are some more events. Of the users of base there is one of now where
// paged is true: then sessions of theirs open and close.
func arrivals(base []event.Event, n int, paged bool) []event.Event {
	now := time.Now().UTC()
	repeat := base[n%len(base)]
	fresh := func(kind string, at time.Time) event.Event {
		return event.Event{
			ID: fmt.Sprintf("%s-%d", kind, n), Account: repeat.Account, Username: fmt.Sprintf("%s %d", kind, n), OccurredAt: at,
			Entry: 1, Status: 1, SessionID: fmt.Sprintf("%s-%d", kind, n),
		}
	}
	conflict := fresh("conflict", repeat.OccurredAt)
	conflict.ID = repeat.ID
	arrived := []event.Event{fresh("live", now), fresh("late", repeat.OccurredAt), repeat, conflict}
	if paged && repeat.Username != "" {
		later := repeat
		later.ID, later.OccurredAt, later.Status = fmt.Sprintf("later-%d", n), now, []event.Status{1, 2}[n%2]
		arrived = append(arrived, later)
	}
	return arrived
}

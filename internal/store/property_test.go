package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

// TestAnswersDependOnTheSetOfEventsOnly is the property on which everything
// stands: the same events inserted in any order, any number of times, in any
// batches, merged or not, give the answers of a plain fold over the set.
func TestAnswersDependOnTheSetOfEventsOnly(t *testing.T) {
	db := openDatabase(t)
	names := &accountNames{}
	rapid.Check(t, func(rt *rapid.T) {
		account := names.name("fold")
		events := drawEvents(rt, account, 40)
		insertAtRandom(rt, db, events)
		plain := oracle.New(events, store.DefaultSessionLimit)
		asOf := drawTime(rt)
		compareUsers(rt, db.reader, plain, account, asOf)
		for _, username := range usernamesOf(events) {
			if username == "" {
				continue // the empty username is no listed user
			}
			compareAttempts(rt, db.reader, plain, account, username, asOf)
		}
		compareEvents(rt, db.reader, plain, events)
		compareDetails(rt, db.reader, plain, rapid.SampledFrom(events).Draw(rt, "event"), asOf)
	})
}

// insertAtRandom inserts every event at least once, in a random order with
// repeats, in random batches, with merges at random moments. A repeat has a
// later place in the stream than its original.
func insertAtRandom(rt *rapid.T, db database, events []event.Stored) {
	all := append([]event.Stored{}, events...)
	for _, e := range events {
		for range rapid.IntRange(0, 2).Draw(rt, "repeats") {
			e.StreamSeq += 1000
			e.ReceivedAt = e.ReceivedAt.Add(time.Hour)
			all = append(all, e)
		}
	}
	all = rapid.Permutation(all).Draw(rt, "order")
	for len(all) > 0 {
		n := rapid.IntRange(1, len(all)).Draw(rt, "batch")
		if err := db.writer.Insert(context.Background(), all[:n]); err != nil {
			rt.Fatalf("insert: %v", err)
		}
		if rapid.IntRange(0, 4).Draw(rt, "insert again") == 0 {
			if err := db.writer.Insert(context.Background(), all[:n]); err != nil {
				rt.Fatalf("insert again: %v", err)
			}
		}
		all = all[n:]
		if rapid.IntRange(0, 6).Draw(rt, "merge") == 0 {
			table := rapid.SampledFrom(store.Tables()).Draw(rt, "table")
			if err := db.owner.Optimize(context.Background(), table); err != nil {
				rt.Fatalf("optimize %s: %v", table, err)
			}
		}
	}
}

func usernamesOf(events []event.Stored) []string {
	seen := make(map[string]bool)
	var names []string
	for _, e := range events {
		if !seen[e.Username] {
			seen[e.Username] = true
			names = append(names, e.Username)
		}
	}
	return names
}

func drawSet[T any](rt *rapid.T, label string, from []T) []T {
	if rapid.IntRange(0, 3).Draw(rt, label+"?") != 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.SampledFrom(from), 1, 6).Draw(rt, label)
}

func drawFlag(rt *rapid.T, label string) *bool {
	switch rapid.IntRange(0, 5).Draw(rt, label) {
	case 0:
		return new(true)
	case 1:
		return new(false)
	default:
		return nil
	}
}

func drawRange(rt *rapid.T) query.TimeRange {
	var r query.TimeRange
	if rapid.IntRange(0, 2).Draw(rt, "start?") == 0 {
		r.Start = drawTime(rt)
	}
	if rapid.IntRange(0, 2).Draw(rt, "end?") == 0 {
		r.End = drawTime(rt)
	}
	return r
}

func drawOrder(rt *rapid.T) query.Order {
	return rapid.SampledFrom([]query.Order{query.Ascending, query.Descending}).Draw(rt, "order")
}

func compareUsers(rt *rapid.T, db *store.DB, plain *oracle.Oracle, account string, asOf time.Time) {
	f := query.UserFilter{
		AsOf:          asOf,
		Text:          rapid.SampledFrom([]string{"", "", "", "n", "%", "_", "'", "ö", "ΣΣΕΎΣ", "STRASSE", "straẞe"}).Draw(rt, "q"),
		Statuses:      drawSet(rt, "statuses", event.Statuses()),
		Entries:       drawSet(rt, "entries", event.Entries()),
		LoggedIn:      drawFlag(rt, "logged in"),
		NeverLoggedIn: drawFlag(rt, "never logged in"),
		LastLogin:     drawRange(rt),
		Sort:          rapid.SampledFrom([]query.UserSort{query.SortUsername, query.SortLastLogin, query.SortLastLogout}).Draw(rt, "sort"),
		Descending:    rapid.Bool().Draw(rt, "descending"),
		Limit:         rapid.IntRange(1, 5).Draw(rt, "limit"),
	}
	want := plain.Users(account, f)
	got := []query.User{}
	for {
		page, err := db.Users(context.Background(), account, f)
		if err != nil {
			rt.Fatalf("users: %v", err)
		}
		got = append(got, page.Users...)
		if f.After = page.Next; f.After == nil {
			break
		}
	}
	sameJSON(rt, "users", got, want)
}

func compareAttempts(rt *rapid.T, db *store.DB, plain *oracle.Oracle, account, username string, asOf time.Time) {
	f := query.AttemptFilter{
		AsOf:     asOf,
		Username: username,
		Range:    drawRange(rt),
		Statuses: drawSet(rt, "statuses", event.Statuses()),
		Entries:  drawSet(rt, "entries", event.Entries()),
		Outcomes: drawSet(rt, "outcomes", event.Outcomes()),
		States:   drawSet(rt, "states", []query.State{query.StateOpen, query.StateClosed, query.StateExpired, query.StateNone}),
		IP:       drawPrefix(rt),
		Order:    drawOrder(rt),
		Limit:    rapid.IntRange(1, 5).Draw(rt, "limit"),
	}
	detail, known := plain.User(account, username, asOf)
	if !known {
		wantNotFound(rt, db, account, f)
		return
	}
	got := []query.Attempt{}
	want := plain.Attempts(account, f)
	for {
		page, err := db.Attempts(context.Background(), account, f)
		if err != nil {
			rt.Fatalf("attempts: %v", err)
		}
		got = append(got, page.Attempts...)
		if f.After = page.Next; f.After == nil {
			break
		}
	}
	sameJSON(rt, "attempts", got, want)
	user, err := db.User(context.Background(), account, username, asOf)
	if err != nil {
		rt.Fatalf("user: %v", err)
	}
	sameJSON(rt, "user", user.User, detail)
	if len(user.Sessions) != detail.OpenSessions {
		rt.Fatalf("%d open sessions listed, %d counted", len(user.Sessions), detail.OpenSessions)
	}
}

// drawEventFilter draws a filter of events, some of which it lets through.
func drawEventFilter(rt *rapid.T, events []event.Stored) query.EventFilter {
	f := query.EventFilter{
		Range:    drawRange(rt),
		Statuses: drawSet(rt, "statuses", event.Statuses()),
		Entries:  drawSet(rt, "entries", event.Entries()),
		Kinds:    drawSet(rt, "kinds", event.Kinds()),
		Outcomes: drawSet(rt, "outcomes", event.Outcomes()),
		IP:       drawPrefix(rt),
		Text:     rapid.SampledFrom([]string{"", "", "", "100%", "FIREFOX", "ü", "a'b", "\n", "σσεύς", "straẞe"}).Draw(rt, "q"),
		Order:    drawOrder(rt),
		Limit:    rapid.IntRange(1, 7).Draw(rt, "limit"),
	}
	if names := append([]string{"nobody"}, usernamesOf(events)...); rapid.Bool().Draw(rt, "of one user") {
		f.Username = new(rapid.SampledFrom(names).Draw(rt, "username"))
	}
	for _, exact := range []struct {
		label string
		from  []string
		to    **string
	}{{"session", []string{"", "s1", "s'3\n"}, &f.SessionID}, {"service", []string{"", "web"}, &f.Service}, {"mfa", []string{"", "totp"}, &f.MFAMethod}} {
		if values := drawSet(rt, exact.label, exact.from); len(values) > 0 {
			*exact.to = &values[0]
		}
	}
	return f
}

func compareEvents(rt *rapid.T, db *store.DB, plain *oracle.Oracle, events []event.Stored) {
	account, f := events[0].Account, drawEventFilter(rt, events)
	want := plain.Events(account, f)
	got := []query.Event{}
	for {
		page, err := db.Events(context.Background(), account, f)
		if err != nil {
			rt.Fatalf("events: %v", err)
		}
		got = append(got, page.Events...)
		if f.After = page.Next; f.After == nil {
			break
		}
	}
	sameJSON(rt, "events", forgetIngestion(got), want)
	f.After = nil
	compareHistogram(rt, db, plain, account, f)
	compareFacets(rt, db, plain, account, f)
}

// forgetIngestion clears the one column that is no function of the messages.
func forgetIngestion(events []query.Event) []query.Event {
	for i := range events {
		events[i].IngestedAt = query.Timestamp{}
	}
	return events
}

func compareDetails(rt *rapid.T, db *store.DB, plain *oracle.Oracle, e event.Stored, now time.Time) {
	q := query.EventQuestion{ID: e.ID, Now: now}
	if rapid.Bool().Draw(rt, "one version") {
		q.StreamSeq = e.StreamSeq
	}
	want, known := plain.Details(e.Account, q)
	got, err := db.Event(context.Background(), e.Account, q)
	if !known && errors.Is(err, query.ErrNotFound) {
		return // the sequence of a repeat, which is no version of its own
	}
	if err != nil {
		rt.Fatalf("event: %v", err)
	}
	got.Watermark = query.Watermark{}
	got.Event.IngestedAt = query.Timestamp{}
	for i := range got.Versions {
		got.Versions[i].IngestedAt = query.Timestamp{}
	}
	forgetIngestion(got.AttemptEvents)
	forgetIngestion(got.Neighbours)
	sameJSON(rt, "details", got, want)
}

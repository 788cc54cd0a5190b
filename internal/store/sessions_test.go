package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

// TestSessionsAreThoseOfAPlainFoldAtAnyMoment: conflicts, repeats, events that
// come late, unnamed sessions, equal instants, several openings in a session,
// moments at the instant of an event and at the very session limit; the pages
// joined, however far the store looks for each, and all of them at once.
func TestSessionsAreThoseOfAPlainFoldAtAnyMoment(t *testing.T) {
	db := openDatabase(t)
	names := &accountNames{}
	rapid.Check(t, func(rt *rapid.T) {
		account := names.name("sessions")
		events := drawSessionEvents(rt, account)
		insertAtRandom(rt, db, events)
		plain := oracle.New(events, store.DefaultSessionLimit)
		for range 3 {
			compareSessions(rt, db.reader, plain, events)
		}
	})
}

// drawSessionEvents draws events most of which open or close a session.
func drawSessionEvents(rt *rapid.T, account string) []event.Stored {
	often := []event.Status{1, 1, 1, 21, 21, 2, 6, 7, 8, 9, 5, 24, 16}
	events := drawEvents(rt, account, 60)
	for i, e := range events {
		if e.Username == "" {
			continue
		}
		e.Status = rapid.SampledFrom(often).Draw(rt, "status")
		events[i] = storedAs(e.Event, e.StreamSeq)
	}
	return events
}

// drawMoment draws a moment of the answer: near an event or near the session
// limit after it.
func drawMoment(rt *rapid.T, events []event.Stored) time.Time {
	at := rapid.SampledFrom(events).Draw(rt, "at the time of").OccurredAt
	return at.Add(rapid.SampledFrom([]time.Duration{
		0, 0, -time.Microsecond, time.Microsecond, store.DefaultSessionLimit, store.DefaultSessionLimit + time.Microsecond, time.Hour,
	}).Draw(rt, "later by"))
}

func drawSessionFilter(rt *rapid.T, events []event.Stored) query.SessionFilter {
	f := query.SessionFilter{
		AsOf:   drawMoment(rt, events),
		Range:  drawRange(rt),
		States: drawSet(rt, "states", query.SessionStates()),
		Order:  drawOrder(rt),
		Limit:  rapid.IntRange(1, 5).Draw(rt, "limit"),
	}
	if rapid.IntRange(0, 3).Draw(rt, "of one user") == 0 {
		f.Username = new(rapid.SampledFrom(append(usernamesOf(events), "nobody", "")).Draw(rt, "username"))
	}
	return f
}

func compareSessions(rt *rapid.T, db *store.DB, plain *oracle.Oracle, events []event.Stored) {
	account, f := events[0].Account, drawSessionFilter(rt, events)
	want := plain.Sessions(account, f)
	first, most := rapid.IntRange(1, 9).Draw(rt, "first"), rapid.IntRange(8, 60).Draw(rt, "most")
	got := joinSessions(rt, f, func(f query.SessionFilter) (query.SessionPage, error) {
		return db.SessionsWithin(context.Background(), account, f, first, most)
	})
	sameJSON(rt, "sessions by pages", got, want)
	f.Limit = query.MaxLimit
	page, err := db.Sessions(context.Background(), account, f)
	if err != nil || page.Next != nil {
		rt.Fatalf("all sessions: next %v, error %v", page.Next, err)
	}
	sameJSON(rt, "all sessions", page.Sessions, want)
}

// fataler is a test or a property.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// joinSessions joins the pages that ask gives, none of which may be too long.
func joinSessions(t fataler, f query.SessionFilter, ask func(query.SessionFilter) (query.SessionPage, error)) []query.Session {
	t.Helper()
	joined := []query.Session{}
	for {
		page, err := ask(f)
		if err != nil || len(page.Sessions) > f.Limit {
			t.Fatalf("%d sessions of at most %d, error %v", len(page.Sessions), f.Limit, err)
		}
		joined = append(joined, page.Sessions...)
		if f.After = page.Next; f.After == nil {
			return joined
		}
	}
}

// openings are n events at one instant that open sessions, which have names
// unless they are unnamed.
func openings(account, username, session string, n int) []event.Stored {
	events := make([]event.Stored, n)
	for i := range events {
		events[i] = storedAs(event.Event{
			ID: fmt.Sprintf("%s-%s-%d", username, session, i), Account: account, Username: username,
			OccurredAt: epoch, Entry: 1, Status: 1, SessionID: session,
		}, uint64(i)+1)
	}
	return events
}

func TestASessionOpenedManyTimesInOneInstantIsOneRow(t *testing.T) {
	db := openDatabase(t)
	var events []event.Stored
	for i := range 15 {
		events = append(events, openings("acme", fmt.Sprintf("user%d", i%5), fmt.Sprintf("s%d", i), 8)...)
	}
	events = append(events, openings("acme", "user0", "", 8)...)
	if err := db.writer.Insert(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	plain := oracle.New(events, store.DefaultSessionLimit)
	for _, order := range []query.Order{query.Descending, query.Ascending} {
		for _, limit := range []int{1, 2, 7, 100} {
			f := query.SessionFilter{AsOf: epoch, Order: order, Limit: limit}
			got := joinSessions(t, f, func(f query.SessionFilter) (query.SessionPage, error) {
				return db.reader.Sessions(t.Context(), "acme", f)
			})
			want := plain.Sessions("acme", f)
			if len(got) != 16 || len(want) != 16 {
				t.Fatalf("%s by %d: %d sessions, want %d", order, limit, len(got), len(want))
			}
			for i := range got {
				if got[i].Username != want[i].Username || (got[i].SessionID == nil) != (want[i].SessionID == nil) {
					t.Errorf("%s by %d: row %d is %+v, want %+v", order, limit, i, got[i], want[i])
				}
			}
		}
	}
}

func TestASessionThatOpenedAgainIsNotToldAsClosed(t *testing.T) {
	db := openDatabase(t)
	var events []event.Stored
	for i, status := range []event.Status{1, 2, 21} {
		events = append(events, storedAs(event.Event{
			ID: fmt.Sprint(i), Account: "acme", Username: "ann", OccurredAt: epoch.Add(time.Duration(i) * time.Minute), Entry: 1, Status: status, SessionID: "s",
		}, uint64(i)+1))
	}
	if err := db.writer.Insert(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	page, err := db.reader.Sessions(t.Context(), "acme", query.SessionFilter{AsOf: epoch.Add(time.Hour), Limit: 10})
	if err != nil || len(page.Sessions) != 1 {
		t.Fatalf("%d sessions, error %v; want one", len(page.Sessions), err)
	}
	if s := page.Sessions[0]; s.State != query.StateOpen || s.ClosedAt != nil || !s.OpenedAt.Equal(epoch.Add(2*time.Minute)) || s.Events != 3 {
		t.Errorf("the session is %+v; want it open since its latest opening", s)
	}
}

func TestSessionsOfAnAccountWithoutEventsAreAnEmptyList(t *testing.T) {
	db := openDatabase(t)
	page, err := db.reader.Sessions(t.Context(), "nobody", query.SessionFilter{AsOf: epoch, Limit: 10})
	if err != nil || page.Sessions == nil || len(page.Sessions) != 0 || page.Next != nil {
		t.Errorf("%+v, error %v; want an empty list", page, err)
	}
}

func TestSessionsCannotBeToldByAStoreThatIsGone(t *testing.T) {
	db := openDatabase(t)
	if err := db.reader.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.reader.Sessions(t.Context(), "acme", query.SessionFilter{AsOf: epoch, Limit: 1}); err == nil {
		t.Error("no error")
	}
}

func TestSessionsAreNotAnsweredInPartWhereATableIsGone(t *testing.T) {
	for _, table := range []string{"events", "attempts"} {
		t.Run(table, func(t *testing.T) {
			db := openDatabase(t)
			if err := db.writer.Insert(t.Context(), openings("acme", "ann", "s", 1)); err != nil {
				t.Fatal(err)
			}
			db.exec(t, "DROP TABLE "+table+" SYNC")
			for _, states := range [][]query.State{nil, {query.StateOpen}} {
				page, err := db.reader.Sessions(t.Context(), "acme", query.SessionFilter{AsOf: epoch, States: states, Limit: 1})
				if err == nil || len(page.Sessions) != 0 {
					t.Errorf("%v: %d sessions, error %v; want an error", states, len(page.Sessions), err)
				}
			}
		})
	}
}

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// people are the users of a made-up history. Their names are what encodings and
// searches make trouble with.
var people = []string{"ann", "Ann", "bob@example.com", "Ünal", "o'brien", "100%", "a_b", "x/y", "..", "名前"}

// history makes up three days of an account before now: sessions of several steps,
// some of which share an instant, some open and some expired, single failures, and
// ids that two events have. Nothing in it changes its state within an hour of now.
func history(account string, now time.Time) []event.Event {
	h := &writer{account: account, random: rand.New(rand.NewPCG(7, 11))}
	for i, username := range people {
		for session := range 6 {
			// Hours ago, and never about as long as the session limit.
			ago := time.Duration([]int{2, 7, 20, 27, 44, 68}[session]) * time.Hour
			at := now.Add(-ago).Add(time.Duration(h.random.IntN(40)-20) * time.Minute).Truncate(time.Second)
			h.session(username, fmt.Sprintf("s-%d-%d", i, session), at, (session+i)%3)
		}
		h.add(username, "", now.Add(-310*time.Minute).Truncate(time.Second), 5)
		h.add(username, "", now.Add(-370*time.Minute).Truncate(time.Second), event.Status(1+i%2)) // the unnamed session
	}
	h.add("locked", "", now.Add(-30*time.Hour).Truncate(time.Second), 20) // never logged in
	h.add("", "", now.Add(-31*time.Hour).Truncate(time.Second), 13)
	return h.events
}

type writer struct {
	account string
	random  *rand.Rand
	events  []event.Event
}

// session writes a session that stays open, was closed, or was never opened.
func (h *writer) session(username, id string, at time.Time, how int) {
	h.add(username, id, at, 25)
	h.add(username, id, at, 24)
	if how == 2 {
		h.add(username, id, at.Add(time.Second), 22)
		return
	}
	h.add(username, id, at, 21)
	if how == 1 {
		h.add(username, id, at.Add(15*time.Minute), 2)
	}
}

func (h *writer) add(username, session string, at time.Time, status event.Status) {
	e := event.Event{
		ID: fmt.Sprintf("e-%d", len(h.events)), Account: h.account, Username: username, OccurredAt: at.UTC(),
		Entry: event.Entry(1 + h.random.IntN(8)), Status: status, SessionID: session,
		IP:        netip.MustParseAddr([]string{"10.0.0.1", "10.0.1.7", "192.0.2.9", "2001:db8::1", "::1"}[h.random.IntN(5)]),
		UserAgent: []string{"", "Firefox/1", "curl/8"}[h.random.IntN(3)], Service: []string{"", "web", "api"}[h.random.IntN(3)],
		Reason: []string{"", "wrong 100% password", "Übermut"}[h.random.IntN(3)],
	}
	if status.Kind() == event.KindMFA {
		e.MFAMethod = []event.MFAMethod{"totp", "push"}[h.random.IntN(2)]
	}
	if h.random.IntN(12) == 0 && len(h.events) > 0 { // a conflict
		e.ID = h.events[h.random.IntN(len(h.events))].ID
	}
	h.events = append(h.events, e)
}

package faults

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/publish"
)

// The made-up traffic: every repeatEvery-th message is one that was made before,
// every conflictEvery-th has the id of another and other content.
const (
	accounts      = 3
	users         = 90
	repeatEvery   = 40
	conflictEvery = 60
	remembered    = 500
)

// generator makes up messages from a seed. Several publishers may share it.
type generator struct {
	mu    sync.Mutex
	rng   *rand.Rand
	next  func() (event.Event, bool)
	made  int
	names []string
	past  []event.Event // the latest ones
}

func newGenerator(tb testing.TB, seed uint64) *generator {
	tb.Helper()
	source, err := emit.New(emit.Options{Accounts: accounts, Users: users, Seed: seed})
	if err != nil {
		tb.Fatalf("faults: make up events: %v", err)
	}
	from := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	next, stop := iter.Pull(source.Generate(from, from.AddDate(1, 9, 0)))
	tb.Cleanup(stop)
	return &generator{rng: rand.New(rand.NewPCG(seed, 2)), next: next, names: source.Accounts()}
}

// messages makes up so many valid messages.
func (g *generator) messages(n int) ([]publish.Message, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	messages := make([]publish.Message, 0, n)
	for range n {
		e, err := g.event()
		if err != nil {
			return nil, err
		}
		m, err := publish.NewMessage(e)
		if err != nil {
			return nil, err
		}
		messages = append(messages, m)
	}
	return messages, nil
}

func (g *generator) event() (event.Event, error) {
	g.made++
	switch {
	case g.made%repeatEvery == 0:
		return g.past[g.rng.IntN(len(g.past))], nil
	case g.made%conflictEvery == 1 && g.made > 1:
		e := g.past[g.rng.IntN(len(g.past))]
		e.Reason = fmt.Sprintf("said again otherwise, number %d", g.made)
		return e, nil
	}
	e, ok := g.next()
	if !ok {
		return e, fmt.Errorf("make up event %d: there are no more", g.made)
	}
	g.past = append(g.past, e)
	if len(g.past) > remembered {
		g.past = g.past[1:]
	}
	return e, nil
}

// invalid makes up messages that break the contract, each in another way.
func (g *generator) invalid(n int) []Invalid {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Invalid, n)
	for i := range all {
		g.made++
		account := g.names[g.rng.IntN(len(g.names))]
		id := fmt.Sprintf("invalid-%d", g.made)
		valid := fmt.Sprintf(`"id":%q,"account":%q,"username":"ann","occurred_at":"2026-03-01T08:00:00Z","entry":1,"status":1`, id, account)
		subject := event.SubjectPrefix + account + ".login"
		all[i] = []Invalid{
			{Subject: subject, Body: []byte(`{` + valid)},
			{Subject: subject, Body: []byte(`{` + valid + `,"status":1}`)},
			{Subject: event.SubjectPrefix + "another.login", Body: []byte(`{` + valid + `}`)},
			{Subject: event.SubjectPrefix + account + ".logout", Body: []byte(`{` + valid + `}`)},
			{Subject: subject, Body: []byte(`{` + valid + `,"ip":"10.0.0.256"}`)},
			{Subject: subject, Body: []byte(`{` + valid + ",\"reason\":\"\xff\"}")},
			{Subject: subject, Body: []byte(`{"id":"` + id + `"}`)},
			{Subject: subject, Body: []byte(`{` + valid + `,"session_id":7}`)},
		}[g.rng.IntN(8)]
	}
	return all
}

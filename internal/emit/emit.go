// Package emit makes up the log-ins of several companies: people with working
// hours, devices and second factors, machines with nightly jobs, and the things
// that go wrong. It is for demonstrations and measurements.
//
// The traffic is a function of the seed and of time: the same options give the
// same events with the same ids, whatever range is asked for and however it is
// cut. So filling the same days twice adds nothing. Every address is from the
// ranges kept for documentation and benchmarks; nobody real is in it.
package emit

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// The bounds of Options.
const (
	MaxAccounts = 10_000
	MaxUsers    = 2_000_000
)

// Options say how many there are.
type Options struct {
	// Accounts is how many companies, 1 to MaxAccounts.
	Accounts int
	// Users is how many users in all, at least one an account, at most MaxUsers.
	Users int
	// Seed chooses who they are and what they do.
	Seed uint64
}

// Generator makes up traffic. It is safe for concurrent use.
type Generator struct {
	seed     uint64
	accounts []*account
	// run is 0, or tells the days of one live run from those of another.
	run uint64
}

// New makes up the companies and their people.
func New(o Options) (*Generator, error) {
	switch {
	case o.Accounts < 1 || o.Accounts > MaxAccounts:
		return nil, fmt.Errorf("accounts: %d is not allowed; 1 to %d", o.Accounts, MaxAccounts)
	case o.Users < o.Accounts || o.Users > MaxUsers:
		return nil, fmt.Errorf("users: %d is not allowed; at least one an account (%d), at most %d", o.Users, o.Accounts, MaxUsers)
	}
	g := &Generator{seed: o.Seed}
	for i := range o.Accounts {
		users := o.Users / o.Accounts
		if i < o.Users%o.Accounts {
			users++
		}
		g.accounts = append(g.accounts, newAccount(g.rand("account", uint64(i)), i, users))
	}
	return g, nil
}

// Accounts are the names of the accounts, the first always acme.
func (g *Generator) Accounts() []string {
	names := make([]string, len(g.accounts))
	for i, a := range g.accounts {
		names[i] = a.name
	}
	return names
}

// rand is the source of one decision maker: of the same seed, name and number
// always the same.
func (g *Generator) rand(name string, number uint64) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%d/%d", name, number, g.run)
	return rand.New(rand.NewPCG(g.seed, h.Sum64()))
}

const day = 24 * time.Hour

// overhang is how far what begins on one day may reach into the next ones.
const overhang = 2 * day

// Generate gives the events with from ≤ occurred_at < to, oldest first. It
// holds about one day of them in memory.
func (g *Generator) Generate(from, to time.Time) iter.Seq[event.Event] {
	return g.sequence(from.UTC().Truncate(day).Add(-overhang), from.UTC(), to.UTC())
}

// Live gives events without end, each as having happened just now: what people
// do in a day, as fast as it is asked for. The people are those of Generate,
// their sessions are new in every run.
func (g *Generator) Live(now func() time.Time) iter.Seq[event.Event] {
	run := *g
	run.run = uint64(now().UnixNano())
	midnight := now().UTC().Truncate(day)
	return func(yield func(event.Event) bool) {
		rng := run.rand("live", 0)
		for e := range run.sequence(midnight, midnight, midnight.AddDate(100, 0, 0)) {
			e.OccurredAt = now().UTC().Truncate(time.Microsecond)
			e.ID = uuid7(e.OccurredAt, rng.Uint64(), rng.Uint64())
			if !yield(e) {
				return
			}
		}
	}
}

// sequence gives the events of a range that begin on the day first or later.
func (g *Generator) sequence(first, from, to time.Time) iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		var held []event.Event
		for at := first; at.Before(to); at = at.Add(day) {
			held = append(held, g.day(at)...)
			held = slices.DeleteFunc(held, func(e event.Event) bool {
				return e.OccurredAt.Before(from) || !e.OccurredAt.Before(to)
			})
			slices.SortFunc(held, inOrder)
			// Nothing that begins later can be earlier than the next day.
			ready, _ := slices.BinarySearchFunc(held, at.Add(day), func(e event.Event, t time.Time) int {
				return e.OccurredAt.Compare(t)
			})
			for _, e := range held[:ready] {
				if !yield(e) {
					return
				}
			}
			held = slices.Clone(held[ready:])
		}
		for _, e := range held {
			if !yield(e) {
				return
			}
		}
	}
}

func inOrder(a, b event.Event) int {
	return cmp.Or(a.OccurredAt.Compare(b.OccurredAt), cmp.Compare(a.Status.Rank(), b.Status.Rank()), cmp.Compare(a.ID, b.ID))
}

// day is everything that begins on the UTC day that starts at midnight.
func (g *Generator) day(midnight time.Time) []event.Event {
	var out []event.Event
	number := uint64(midnight.Unix() / int64(day/time.Second))
	for _, a := range g.accounts {
		for i, p := range a.people {
			if i == machine {
				continue
			}
			s := &scene{rng: g.rand(a.name+"/"+p.username, number), account: a, midnight: midnight, out: &out}
			s.ordinaryDay(p)
		}
		s := &scene{rng: g.rand(a.name, number), account: a, midnight: midnight, out: &out}
		s.jobs()
		s.incidents(int(number) + a.number)
	}
	return out
}

package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// part is something that one fault at a time may break.
type part string

const (
	partNATS       part = "NATS"
	partClickHouse part = "ClickHouse"
	partQuery      part = "query"
)

func partWorker(i int) part { return part(fmt.Sprintf("worker %d", i+1)) }

// The links, by who connects and to whom.
const linkQuery part = "query to ClickHouse"

func linkWorkerNATS(i int) part       { return part(fmt.Sprintf("worker %d to NATS", i+1)) }
func linkWorkerClickHouse(i int) part { return part(fmt.Sprintf("worker %d to ClickHouse", i+1)) }
func linkPublisher(i int) part        { return part(fmt.Sprintf("publisher %d to NATS", i+1)) }

// The size of a campaign's system.
const (
	campaignWorkers    = 3
	campaignPublishers = 2
)

// fault is one kind of what may happen in a campaign.
type fault struct {
	name string
	// on are what it may happen to: one of them is drawn. Empty: to the whole.
	on []part
	// takes are all parts that no other fault may break meanwhile, beside the
	// one that was drawn.
	takes func(on part) []part
	// inject lets it happen, heal ends it; nil where it is over at once.
	inject, heal func(c *campaign, on part)
}

// The moments of a round: each fault lasts between shortest and longest, and
// apart is between two that break the same part.
const (
	shortest = 300 * time.Millisecond
	longest  = 5 * time.Second
	apart    = 500 * time.Millisecond
)

// planned is a fault with its time.
type planned struct {
	fault    *fault
	on       part
	from, to time.Duration
}

func (p planned) String() string {
	if p.on == "" {
		return p.fault.name
	}
	return string(p.on) + ": " + p.fault.name
}

func (p planned) parts() []part {
	var all []part
	if p.on != "" {
		all = append(all, p.on)
	}
	if p.fault.takes != nil {
		all = append(all, p.fault.takes(p.on)...)
	}
	return all
}

// collides tells whether both break the same part at the same time.
func (p planned) collides(q planned) bool {
	return p.from < q.to+apart && q.from < p.to+apart &&
		slices.ContainsFunc(p.parts(), func(x part) bool { return slices.Contains(q.parts(), x) })
}

// moment is the beginning or the end of a fault.
type moment struct {
	at   time.Duration
	heal bool
	planned
}

// round is what is drawn for one round.
type round struct {
	// workers is how many of them run.
	workers int
	faults  []planned
}

// idle tells whether a part belongs to a worker that does not run.
func (r round) idle(on part) bool {
	for i := r.workers; i < campaignWorkers; i++ {
		if on == partWorker(i) || on == linkWorkerNATS(i) || on == linkWorkerClickHouse(i) {
			return true
		}
	}
	return false
}

// moments are those of a round in order.
func (r round) moments() []moment {
	var all []moment
	for _, p := range r.faults {
		all = append(all, moment{p.from, false, p})
		if p.fault.heal != nil {
			all = append(all, moment{p.to, true, p})
		}
	}
	slices.SortStableFunc(all, func(a, b moment) int { return int(a.at - b.at) })
	return all
}

// planner draws rounds from a seed: the same ones, in the same order, from the
// same seed. All kinds of faults come before any comes again.
type planner struct {
	rng    *rand.Rand
	faults []fault
	deck   []*fault
}

func newPlanner(seed uint64, faults []fault) *planner {
	return &planner{rng: rand.New(rand.NewPCG(seed, 4)), faults: faults}
}

// next draws a round of so many faults, that all begin within a time.
func (p *planner) next(n int, within time.Duration) round {
	r := round{workers: 1 + p.rng.IntN(campaignWorkers)}
	var later []*fault // for which there was no room
	for len(r.faults) < n && len(later) < len(p.faults) {
		f := p.draw()
		if !p.place(&r, f, within) {
			later = append(later, f)
		}
	}
	p.deck = append(later, p.deck...)
	return r
}

func (p *planner) draw() *fault {
	if len(p.deck) == 0 {
		for _, i := range p.rng.Perm(len(p.faults)) {
			p.deck = append(p.deck, &p.faults[i])
		}
	}
	f := p.deck[0]
	p.deck = p.deck[1:]
	return f
}

// place finds a time at which a fault breaks nothing that is broken.
func (p *planner) place(r *round, f *fault, within time.Duration) bool {
	for range 20 {
		at := planned{fault: f}
		if len(f.on) > 0 {
			at.on = f.on[p.rng.IntN(len(f.on))]
		}
		if r.idle(at.on) {
			continue
		}
		at.from = time.Duration(p.rng.Int64N(int64(within))).Round(time.Millisecond)
		at.to = at.from + (shortest + time.Duration(p.rng.Int64N(int64(longest-shortest)))).Round(time.Millisecond)
		if !slices.ContainsFunc(r.faults, at.collides) {
			r.faults = append(r.faults, at)
			return true
		}
	}
	return false
}

package faults

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestCampaignOfRandomFaultsBreaksNoInvariant is the short form of `make chaos`,
// or, told by the environment, the campaign itself: CHAOS_SEED is its seed and
// CHAOS_DURATION its duration.
func TestCampaignOfRandomFaultsBreaksNoInvariant(t *testing.T) {
	o := Campaign{Seed: 40, Rounds: 2, Round: 9 * time.Second, Faults: 10}
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("CHAOS_SEED is %q, want a number: %v", text, err)
		}
		o = Campaign{Seed: seed}
	}
	if text := os.Getenv("CHAOS_DURATION"); text != "" {
		duration, err := time.ParseDuration(text)
		if err != nil || duration <= 0 {
			t.Fatalf("CHAOS_DURATION is %q, want a time such as 30m: %v", text, err)
		}
		o = Campaign{Seed: o.Seed, Duration: duration}
	}
	o.Run(t)
}

// drawn is what a seed gives.
func drawn(seed uint64, rounds int) []round {
	p := newPlanner(seed, campaignFaults())
	all := make([]round, rounds)
	for i := range all {
		all[i] = p.next(14, 20*time.Second)
	}
	return all
}

func moments(rounds []round) string {
	var text strings.Builder
	for _, r := range rounds {
		fmt.Fprintln(&text, r.workers)
		for _, m := range r.moments() {
			fmt.Fprintln(&text, m.at, m.heal, m.planned)
		}
	}
	return text.String()
}

func TestCampaignOfOneSeedIsAlwaysTheSame(t *testing.T) {
	if first, again := moments(drawn(5, 20)), moments(drawn(5, 20)); first != again {
		t.Errorf("%s\nand then\n%s", first, again)
	}
	if moments(drawn(5, 20)) == moments(drawn(6, 20)) {
		t.Error("another seed draws the same")
	}
}

func TestCampaignDrawsEveryFaultAndBreaksNothingTwice(t *testing.T) {
	times := map[string]int{}
	for _, r := range drawn(8, 40) {
		if len(r.faults) < 10 {
			t.Errorf("a round has %d faults only", len(r.faults))
		}
		for i, p := range r.faults {
			times[p.fault.name]++
			if r.idle(p.on) {
				t.Errorf("%s, but only %d workers run", p, r.workers)
			}
			for _, q := range r.faults[:i] {
				if p.collides(q) {
					t.Errorf("%s (%s–%s) while %s (%s–%s)", p, p.from, p.to, q, q.from, q.to)
				}
			}
		}
	}
	for _, f := range campaignFaults() {
		if times[f.name] < 5 {
			t.Errorf("%s came %d times in 40 rounds", f.name, times[f.name])
		}
	}
}

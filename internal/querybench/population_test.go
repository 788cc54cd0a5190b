package main

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

func TestPopulationHasTheAccountsOfTheIssue(t *testing.T) {
	for _, events := range []int{20_000_000, 100_000_000} {
		p := newPopulation(events, 1)
		if p.users() != 1_000_000 || p.accounts() != 1_000 || p.size(hugeAccount) != 300_000 || p.size(midAccount) != 1_000 {
			t.Errorf("%d events: %d users, %d accounts, of %d and %d users", events, p.users(), p.accounts(), p.size(hugeAccount), p.size(midAccount))
		}
		for i := 3; i < p.accounts(); i++ {
			if p.size(i) > p.size(i-1) || p.size(i) == 0 {
				t.Fatalf("account %d has %d users, the one before %d", i, p.size(i), p.size(i-1))
			}
		}
		heavy := float64(p.heavyShare) / sharesInAll * float64(events-int(p.users()))
		if heavy < 0.97*heavyEvents || heavy > heavyEvents {
			t.Errorf("%d events: the busiest user has %.0f", events, heavy)
		}
	}
	if small := newPopulation(1_000_000, 1); small.size(hugeAccount) != 300_000 || small.size(midAccount) != 1_000 || small.users() > 500_000 {
		t.Errorf("1 M events: %d users, accounts of %d and %d", small.users(), small.size(hugeAccount), small.size(midAccount))
	}
}

func TestUsersOfAnAccountHaveDifferentNames(t *testing.T) {
	for account := range 3 {
		names := map[string]bool{}
		for i := range uint64(3_000) {
			names[userName(account, i)] = true
		}
		if len(names) != 3_000 {
			t.Errorf("account %d: %d names for 3,000 users", account, len(names))
		}
	}
}

func TestAccountsAreFoundByTheirNames(t *testing.T) {
	for account := range allAccounts {
		if got := accountNumber(accountName(account)); got != strconv.Itoa(account) {
			t.Fatalf("account %d is found as %s", account, got)
		}
	}
}

func TestVisitorsFollowTheShares(t *testing.T) {
	const n = 200_000
	p := newPopulation(20_000_000, 7)
	byAccount, byUser := map[int]int{}, map[uint64]int{}
	for session := range uint64(n) {
		u := p.visitor(session)
		byUser[u]++
		a := p.accountOf(u)
		byAccount[a]++
		if u-p.starts[a] >= visitors(p.size(a)) {
			t.Fatalf("user %d of account %d comes twice, and should once", u-p.starts[a], a)
		}
	}
	near := func(what string, got int, share float64) {
		if f := float64(got) / n; f < 0.9*share || f > 1.1*share {
			t.Errorf("%s: %.4f of the sessions, want about %.4f", what, f, share)
		}
	}
	heavy := float64(p.heavyShare) / sharesInAll
	near("largest account", byAccount[hugeAccount], heavy+float64(hugeShare)/sharesInAll)
	near("account of 1,000", byAccount[midAccount], float64(midShare)/sharesInAll)
	if byUser[0] < int(0.9*heavy*n) {
		t.Errorf("the busiest user has %d sessions", byUser[0])
	}
}

func TestUsersAreFirstMetInAnOrderThatMeetsEachOnce(t *testing.T) {
	p := newPopulation(50_000, 3)
	met := make([]bool, p.users())
	for visit := range p.users() {
		met[(visit*p.stride+p.offset)%p.users()] = true
	}
	if slices.Contains(met, false) {
		t.Fatal("somebody is never met")
	}
}

func TestSeedDecidesWhoComes(t *testing.T) {
	a, b := newPopulation(50_000, 1), newPopulation(50_000, 2)
	same := 0
	for session := range uint64(1_000) {
		if a.visitor(session) != newPopulation(50_000, 1).visitor(session) {
			t.Fatal("the same seed gives another user")
		}
		if a.visitor(session) == b.visitor(session) {
			same++
		}
	}
	if same > 200 {
		t.Errorf("two seeds give %d of 1,000 the same user", same)
	}
}

func TestLiveEventsAreValidAndOfUsersOfTheSet(t *testing.T) {
	p := newPopulation(20_000, 1)
	known := map[string]bool{}
	for u := range p.users() {
		account, name := p.name(u)
		known[account+"/"+name] = true
	}
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	statuses, n := map[event.Status]int{}, 0
	for e := range happenings(p, func() time.Time { now = now.Add(time.Millisecond); return now }) {
		if _, err := event.Encode(e); err != nil {
			t.Fatalf("%v: %+v", err, e)
		}
		if !known[e.Account+"/"+e.Username] || !e.OccurredAt.Equal(now) {
			t.Fatalf("now is %s: %+v", now, e)
		}
		statuses[e.Status]++
		if n++; n == 200_000 {
			break
		}
	}
	if statuses[2] < 10_000 || statuses[24] < 20_000 || statuses[16] == 0 {
		t.Errorf("statuses: %v", statuses)
	}
}

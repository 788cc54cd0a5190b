package emit_test

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/emit"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 23, 12, 34, 56, 789, time.UTC)

func generator(t testing.TB, o emit.Options) *emit.Generator {
	t.Helper()
	g, err := emit.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func collect(s iter.Seq[event.Event]) []event.Event { return slices.Collect(s) }

func ids(events []event.Event) []string {
	all := make([]string, len(events))
	for i, e := range events {
		all[i] = e.ID
	}
	return all
}

func TestEveryEventIsValidAndInTimeOrderAndWithinItsRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		accounts := rapid.IntRange(1, 4).Draw(t, "accounts")
		o := emit.Options{
			Accounts: accounts,
			Users:    accounts * rapid.IntRange(1, 12).Draw(t, "users each"),
			Seed:     rapid.Uint64().Draw(t, "seed"),
		}
		g, err := emit.New(o)
		if err != nil {
			t.Fatal(err)
		}
		from := noon.Add(time.Duration(rapid.IntRange(-400, 400).Draw(t, "hours")) * time.Hour)
		to := from.Add(time.Duration(rapid.IntRange(1, 96).Draw(t, "length")) * time.Hour)
		last := from
		for e := range g.Generate(from, to) {
			if _, err := event.Encode(e); err != nil {
				t.Fatalf("%v: %+v", err, e)
			}
			if e.OccurredAt.Before(last) || !e.OccurredAt.Before(to) {
				t.Fatalf("%s is out of order or range (after %s, range %s to %s)", e.OccurredAt, last, from, to)
			}
			last = e.OccurredAt
		}
	})
}

func TestSameSeedGivesTheSameEventsHoweverTheRangeIsCut(t *testing.T) {
	o := emit.Options{Accounts: 3, Users: 30, Seed: 7}
	from, cut, to := noon.AddDate(0, 0, -6), noon.AddDate(0, 0, -2), noon
	whole := ids(collect(generator(t, o).Generate(from, to)))
	again := generator(t, o)
	parts := append(ids(collect(again.Generate(from, cut))), ids(collect(again.Generate(cut, to)))...)
	if !slices.Equal(whole, parts) {
		t.Fatalf("%d events in one piece, %d in two", len(whole), len(parts))
	}
	other := ids(collect(generator(t, emit.Options{Accounts: 3, Users: 30, Seed: 8}).Generate(from, to)))
	if slices.Equal(whole, other) {
		t.Fatal("another seed gives the same events")
	}
}

func TestThirtyDaysShowEveryStatusAndEveryEntryForAnySeed(t *testing.T) {
	for seed := range uint64(5) {
		statuses, entries := map[event.Status]int{}, map[event.Entry]int{}
		g := generator(t, emit.Options{Accounts: 1, Users: 1 + int(seed), Seed: seed})
		for e := range g.Generate(noon.AddDate(0, 0, -30), noon) {
			statuses[e.Status]++
			entries[e.Entry]++
		}
		if got := slices.Sorted(maps.Keys(statuses)); !slices.Equal(got, event.Statuses()) {
			t.Errorf("seed %d: statuses %v", seed, got)
		}
		if got := slices.Sorted(maps.Keys(entries)); !slices.Equal(got, event.Entries()) {
			t.Errorf("seed %d: entries %v", seed, got)
		}
	}
}

func TestIDsAreUniqueAndUUIDv7(t *testing.T) {
	seen := map[string]bool{}
	for e := range generator(t, emit.Options{Accounts: 5, Users: 100}).Generate(noon.AddDate(0, 0, -15), noon) {
		if seen[e.ID] || len(e.ID) != 36 || e.ID[14] != '7' || !strings.ContainsRune("89ab", rune(e.ID[19])) {
			t.Fatalf("id %q", e.ID)
		}
		seen[e.ID] = true
	}
}

func TestAsManyUsersAsWereAskedForAndNotOneTwice(t *testing.T) {
	names := map[string]bool{}
	for e := range generator(t, emit.Options{Accounts: 2, Users: 1000, Seed: 3}).Generate(noon.AddDate(0, 0, -20), noon) {
		if !strings.HasPrefix(e.Username, "user") && e.Username != "amdin" && e.Username != "" {
			names[e.Account+"/"+e.Username] = true
		}
	}
	if len(names) < 980 || len(names) > 1000 { // a few never come in 20 days
		t.Fatalf("%d users", len(names))
	}
}

func TestAddressesAreFromRangesThatNobodyHas(t *testing.T) {
	var kept []netip.Prefix
	for _, p := range []string{"198.18.0.0/15", "192.0.2.0/24", "203.0.113.0/24", "100.64.0.0/10", "2001:db8::/32"} {
		kept = append(kept, netip.MustParsePrefix(p))
	}
	families := map[bool]int{}
	for e := range generator(t, emit.Options{Accounts: 12, Users: 100}).Generate(noon.AddDate(0, 0, -15), noon) {
		if !slices.ContainsFunc(kept, func(p netip.Prefix) bool { return p.Contains(e.IP) }) {
			t.Fatalf("address %s", e.IP)
		}
		families[e.IP.Is4()]++
	}
	if families[true] == 0 || families[false] == 0 {
		t.Fatalf("only one family: %v", families)
	}
}

func TestSessionsAreOpenedBeforeTheyAreClosed(t *testing.T) {
	opened := map[string]bool{}
	ended := map[event.Status]int{}
	from := noon.AddDate(0, 0, -20)
	for e := range generator(t, emit.Options{Accounts: 3, Users: 60}).Generate(from, noon) {
		switch e.Status.Session() {
		case event.SessionOpens:
			opened[e.SessionID] = true
		case event.SessionCloses:
			if !opened[e.SessionID] && e.OccurredAt.After(from.AddDate(0, 0, 2)) {
				t.Fatalf("%s ends session %s, which never began", e.OccurredAt, e.SessionID)
			}
			ended[e.Status]++
		}
	}
	for _, s := range []event.Status{2, 6, 7, 8, 9} {
		if ended[s] == 0 {
			t.Errorf("no session ended by status %d", s)
		}
	}
}

func TestLiveEventsHappenNowAndNoSessionComesTwice(t *testing.T) {
	g := generator(t, emit.Options{Accounts: 2, Users: 20})
	sessions := map[string]int{}
	for run := range 2 {
		at := noon.Add(time.Duration(run) * time.Hour)
		n := 0
		for e := range g.Live(func() time.Time { return at }) {
			if !e.OccurredAt.Equal(at.Truncate(time.Microsecond)) {
				t.Fatalf("occurred at %s, now is %s", e.OccurredAt, at)
			}
			if e.SessionID != "" {
				if before, ok := sessions[e.SessionID]; ok && before != run {
					t.Fatalf("session %s was in the run before", e.SessionID)
				}
				sessions[e.SessionID] = run
			}
			at = at.Add(time.Millisecond)
			if n++; n == 500 {
				break
			}
		}
	}
}

func TestOptionsOutOfRangeAreRefusedByName(t *testing.T) {
	for want, o := range map[string]emit.Options{
		"accounts: 0":     {Accounts: 0, Users: 5},
		"accounts: 10001": {Accounts: 10001, Users: 20000},
		"users: 2 ":       {Accounts: 3, Users: 2},
		"users: 2000001 ": {Accounts: 3, Users: 2000001},
	} {
		if _, err := emit.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	g := generator(b, emit.Options{Accounts: 10, Users: 1000})
	n := 0
	for e := range g.Live(time.Now) {
		if _, err := event.Encode(e); err != nil {
			b.Fatal(err)
		}
		if n++; n >= b.N {
			break
		}
	}
}

func TestTheFirstAccountIsTheOneOfTheExamples(t *testing.T) {
	if got := generator(t, emit.Options{Accounts: 3, Users: 60, Seed: 1}).Accounts(); !slices.Equal(got, []string{"acme", "northwind", "contoso-pay"}) {
		t.Errorf("accounts: %v", got)
	}
	g := generator(t, emit.Options{Accounts: 12, Users: 12, Seed: 1})
	names := map[string]bool{}
	for e := range g.Generate(noon.AddDate(0, 0, -30), noon) {
		names[e.Account] = true
	}
	if all := g.Accounts(); !slices.Equal(slices.Sorted(maps.Keys(names)), slices.Sorted(slices.Values(all))) {
		t.Errorf("accounts with events: %v, told: %v", names, all)
	}
}

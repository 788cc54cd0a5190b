package query

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestANarrowerQuestionIsThePartThatTheOrderHasFirst(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	year := TimeRange{Start: at("2025-01-01T00:00:00Z"), End: at("2026-01-01T00:00:00Z")}
	for name, c := range map[string]struct {
		asking     Asking
		start, end string
	}{
		"a year, newest first":           {Asking{Range: year}, "2025-12-02T00:00:00Z", "2026-01-01T00:00:00Z"},
		"a year, oldest first":           {Asking{Range: year, Order: Ascending}, "2025-01-01T00:00:00Z", "2025-01-31T00:00:00Z"},
		"a day":                          {Asking{Range: TimeRange{Start: at("2025-12-31T00:00:00Z"), End: year.End}}, "2025-12-31T12:00:00Z", "2026-01-01T00:00:00Z"},
		"without an end":                 {Asking{Range: TimeRange{Start: year.Start}}, "2026-10-24T12:00:00Z", "2026-11-23T12:00:00Z"},
		"an end that has not come":       {Asking{Range: TimeRange{Start: year.Start, End: at("2100-01-01T00:00:00Z")}}, "2026-10-24T12:00:00Z", "2026-11-23T12:00:00Z"},
		"without any bound":              {Asking{}, "2026-10-24T12:00:00Z", "2026-11-23T12:00:00Z"},
		"without any bound, oldest":      {Asking{Order: Ascending}, "2026-10-24T12:00:00Z", "2026-11-23T12:00:00Z"},
		"a later page":                   {Asking{Range: year, Reached: at("2025-06-30T23:59:59Z")}, "2025-05-31T23:59:59Z", "2025-06-30T23:59:59Z"},
		"a later page, oldest first":     {Asking{Range: year, Order: Ascending, Reached: at("2025-06-01T00:00:00Z")}, "2025-06-01T00:00:00Z", "2025-07-01T00:00:00Z"},
		"a later page without beginning": {Asking{Order: Ascending, Reached: at("2025-06-01T00:00:00Z")}, "2025-06-01T00:00:00Z", "2025-07-01T00:00:00Z"},
	} {
		c.asking.Now = at("2026-11-23T12:00:00Z")
		got, ok := c.asking.Narrower()
		if !ok || !got.Start.Truncate(time.Second).Equal(at(c.start)) || !got.End.Truncate(time.Second).Equal(at(c.end)) {
			t.Errorf("%s: %v to %v, %v; want %s to %s", name, got.Start, got.End, ok, c.start, c.end)
		}
	}
}

// TestAPageThatGoesOnLosesNoRowOfItsLastInstant: rows that follow in the order may
// be of the same time.
func TestAPageThatGoesOnLosesNoRowOfItsLastInstant(t *testing.T) {
	for _, order := range []Order{Descending, Ascending} {
		got, _ := Asking{Range: TimeRange{Start: noon.AddDate(0, 0, -9), End: noon}, Order: order, Reached: noon.AddDate(0, 0, -3), Now: noon}.Narrower()
		if at := noon.AddDate(0, 0, -3); at.Before(got.Start) || !at.Before(got.End) {
			t.Errorf("%s: %v is not in %v to %v", order, at, got.Start, got.End)
		}
	}
}

func TestNarrowerQuestionsEndAndNeverAskForMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Asking{
			Range: TimeRange{Start: drawTime(t, "start")},
			Order: rapid.SampledFrom([]Order{Descending, Ascending}).Draw(t, "order"),
			Now:   noon,
		}
		a.Range.End = a.Range.Start.Add(time.Duration(rapid.Int64Range(1, 1<<50).Draw(t, "length")) * time.Microsecond)
		if rapid.Bool().Draw(t, "later page") {
			a.Reached = drawTime(t, "reached")
		}
		for steps := 0; ; steps++ {
			got, ok := a.Narrower()
			if !ok {
				return
			}
			length := got.End.Sub(got.Start)
			if got.Start.Before(a.Range.Start) || got.End.After(a.Range.End) || length > LongestProposal ||
				length < ShortestProposal || 2*length > a.Range.End.Sub(a.Range.Start) {
				t.Fatalf("of %v to %v: %v to %v", a.Range.Start, a.Range.End, got.Start, got.End)
			}
			if steps > 40 {
				t.Fatal("there is no end")
			}
			a.Range, a.Reached = got, time.Time{}
		}
	})
}

func TestParsingTellsWhetherTheAnswerMovesWithTheClock(t *testing.T) {
	cursor := func(s string) string {
		_, c, err := ParseAttempts(values(t, s), asked())
		if err != nil {
			t.Fatal(err)
		}
		return s + "&cursor=" + *c.Attempt(&AttemptPosition{StartedAt: noon})
	}
	parse := map[string]func(string, Asked) error{
		"users":     func(s string, a Asked) error { _, _, err := ParseUsers(values(t, s), a); return err },
		"user":      func(s string, a Asked) error { _, err := ParseUser(values(t, s), a); return err },
		"attempts":  func(s string, a Asked) error { _, _, err := ParseAttempts(values(t, s), a); return err },
		"sessions":  func(s string, a Asked) error { _, _, err := ParseSessions(values(t, s), a); return err },
		"events":    func(s string, a Asked) error { _, _, err := ParseEvents(values(t, s), a); return err },
		"histogram": func(s string, a Asked) error { _, err := ParseHistogram(values(t, s), a); return err },
		"facets":    func(s string, a Asked) error { _, err := ParseFacets(values(t, s), a); return err },
		"event":     func(s string, a Asked) error { _, err := ParseEvent(values(t, s), "1", a); return err },
	}
	for _, c := range []struct {
		route, words string
		moves        bool
	}{
		{"users", "", true}, {"users", "as_of=2026-11-01", false}, {"users", "as_of=now", true}, {"users", "as_of=-1d", true},
		{"users", "as_of=2026-11-01&last_login_after=-1h", true}, {"users", "as_of=2026-11-01&last_login_before=2026-10-01", false},
		{"user", "", true}, {"user", "as_of=2026-11-01T09:30", false},
		{"attempts", "start=2026-11-01&end=2026-11-01", true}, {"attempts", "as_of=2026-11-01", false},
		{"attempts", cursor("start=-9d"), false}, // means what it meant on the first page
		{"sessions", "", true}, {"sessions", "at=2026-11-01", false}, {"sessions", "at=now", true}, {"sessions", "as_of=2026-11-01", false},
		{"events", "", false}, {"events", "start=2026-11-01&q=now", false}, {"events", "start=-24h", true}, {"events", "end=now", true},
		{"histogram", "", true}, {"histogram", "end=2026-11-01", false}, {"histogram", "start=2026-11-01", true}, {"histogram", "end=now", true},
		{"facets", "", false}, {"facets", "end=-1w", true},
		{"event", "", true},
	} {
		moves := false
		if err := parse[c.route](c.words, Asked{Account: "acme", Now: noon, Moving: &moves}); err != nil {
			t.Fatalf("%s?%s: %v", c.route, c.words, err)
		}
		if moves != c.moves {
			t.Errorf("%s?%s moves with the clock: %v", c.route, c.words, moves)
		}
	}
}

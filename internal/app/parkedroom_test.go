package app_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// documentedRoom is the command that docs/operations.md gives for room in
// LOGIN_PARKED, as the words after "loginaudit".
func documentedRoom(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("make room: `loginaudit (parked discard [^`]*)`").FindAllStringSubmatch(string(text), -1)
	if len(found) != 2 || found[0][1] != found[1][1] {
		t.Fatalf("docs/operations.md gives %q", found)
	}
	words := strings.Fields(found[0][1])
	for i, word := range words {
		words[i] = strings.Trim(word, `"`)
	}
	return words
}

func TestDocumentedCommandMakesRoomOfWhatIsDiscardedAlone(t *testing.T) {
	words := documentedRoom(t)
	p := newParkedPlace(t)
	p.parkAs(t, brokenBy(event.ReasonBadTime), someEvents("acme", 1, 4)...)
	p.operator(t, 0, "discard", "1", "2", "--because", "nobody's")
	if r := p.operator(t, 2, words[1:]...); !strings.Contains(r.Err, "erase 2 messages without asking? Give --yes") {
		t.Errorf("%+v", r)
	}
	person, program := terminal(t)
	cmd := testsystem.Command(t, "loginaudit", append(words, p.as(t, engine.UserOperator)...)...)
	cmd.Stdin = program
	if _, err := person.WriteString("y\n"); err != nil {
		t.Fatal(err)
	}
	if r := testsystem.Run(t, cmd); r.Status != 0 || r.Out != "erased=2 skipped=0 failed=0\n" {
		t.Errorf("%+v", r)
	}
	if n := p.messages(t, stream.Parked); n != 2 {
		t.Errorf("%d messages are left", n)
	}
	again := p.operator(t, 0, append(words[1:], "--yes")...)
	if again.Out != "erased=0 skipped=0 failed=0\n" || !strings.Contains(again.Err, "nothing matches\n") {
		t.Errorf("%+v", again)
	}
}

func TestParkedListTellsNothingMatchesFromNothingParked(t *testing.T) {
	p := newParkedPlace(t)
	for want, args := range map[string][]string{
		"nothing is parked\n": {"list"},
		"nothing matches\n":   {"list", "--reason", "row_refused"},
	} {
		if r := p.operator(t, 0, args...); r.Out != want {
			t.Errorf("%v: %+v", args, r)
		}
	}
	if r := p.operator(t, 0, "list", "--state", "replayed"); r.Out != "nothing matches\n" {
		t.Errorf("%+v", r)
	}
}

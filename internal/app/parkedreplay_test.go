package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// terminal is a pair of files: what is written to the first is typed at the second.
func terminal(t testing.TB) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

func TestFilterIsAskedForAtATerminalAndNeedsAWordElsewhere(t *testing.T) {
	p := newParkedPlace(t)
	p.parkAs(t, brokenBy(event.ReasonTooFarAhead), someEvents("acme", 1, 3)...)
	if r := p.operator(t, 2, "replay", "--all"); !strings.Contains(r.Err, "replay 3 messages without asking? Give --yes, or --dry-run") {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		typed  string
		status int
		want   string
	}{
		{"\n", 1, "nothing is done"}, {"n\n", 1, "nothing is done"}, {"yeah\n", 1, "nothing is done"}, {"\x04", 1, "nothing is done"},
		{"Y\n", 0, ""},
	} {
		person, program := terminal(t)
		cmd := testsystem.Command(t, "loginaudit", append([]string{"parked", "replay", "--account", "acme"}, p.as(t, engine.UserOperator)...)...)
		cmd.Stdin = program
		if _, err := person.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		r := testsystem.Run(t, cmd)
		if r.Status != c.status || !strings.Contains(r.Err, "3  too_far_ahead\nreplay 3 messages? [y/N] ") || !strings.Contains(r.Err, c.want) {
			t.Errorf("%q: %+v", c.typed, r)
		}
		if got := p.messages(t, stream.Events); got != 0 && c.status != 0 {
			t.Errorf("%q: %d are published", c.typed, got)
		}
	}
	if got := p.messages(t, stream.Events); got != 3 {
		t.Errorf("%d are published", got)
	}
}

// What was parked becomes valid with time, on the right subject, or corrected;
// then it is queryable. What is not is parked again and names what it comes from.
func TestReplayedMessagesCanBeQueried(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "data"))
	nc, err := nats.Connect(s.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	of := func(id string, at time.Time) string {
		return fmt.Sprintf(`{"id":%q,"account":"acme","username":"u","occurred_at":%q,"entry":1,"status":1}`, id, at.UTC().Format(time.RFC3339))
	}
	for _, m := range []struct{ subject, body string }{
		{"login.events.acme.login", of("ahead", time.Now().Add(10*time.Minute+4*time.Second))},
		{"login.events.beta.login", of("astray", time.Now())},
		{"login.events.acme.login", `{"id":"cut","account":"acme`},
	} {
		if _, err := js.Publish(t.Context(), m.subject, []byte(m.body)); err != nil {
			t.Fatal(err)
		}
	}
	seqs := map[string]string{}
	testsystem.Until(t, "all three are parked", func() error {
		list := s.Run(t, "", "parked", "list", "--output", "ndjson")
		for line := range strings.Lines(list.Out) {
			var m struct {
				Seq    int
				Reason string
			}
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				return err
			}
			seqs[m.Reason] = fmt.Sprint(m.Seq)
		}
		if len(seqs) != 3 {
			return errors.Join(fmt.Errorf("parked are %v", seqs), exitError(list))
		}
		return nil
	})
	done := func(status int, want string, args ...string) {
		t.Helper()
		if r := s.Run(t, "", append([]string{"parked", "replay"}, args...)...); r.Status != status || !strings.Contains(r.Out+r.Err, want) {
			t.Fatalf("%v: %+v", args, r)
		}
	}
	testsystem.Until(t, "its time has come", func() error {
		list := s.Run(t, "", "parked", "list", "--valid", "--output", "ndjson")
		if strings.Count(list.Out, "too_far_ahead") != 1 {
			return errors.Join(errors.New("it is too far ahead"), exitError(list))
		}
		return nil
	})
	done(0, "replayed=1 skipped=0 failed=0 still_invalid=0", "--valid", "--yes")
	done(0, "still_invalid=1", seqs["subject_mismatch"], "--dry-run")
	done(0, "replayed=1 skipped=0 failed=0 still_invalid=0", seqs["subject_mismatch"], "--subject-from-body")
	done(0, "replayed=1 skipped=0 failed=0 still_invalid=1", seqs["not_json"])
	corrected := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(corrected, []byte(of("cut", time.Now())+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done(1, "the new body is refused", seqs["subject_mismatch"], "--state", "all", "--body", corrected)
	var again string
	testsystem.Until(t, "the replay is parked again", func() error {
		list := s.Run(t, "", "parked", "list", "--output", "json")
		var all []struct {
			Seq      int
			ReplayOf int `json:"replay_of"`
		}
		if err := json.Unmarshal([]byte(list.Out), &all); err != nil || len(all) != 1 || fmt.Sprint(all[0].ReplayOf) != seqs["not_json"] {
			return fmt.Errorf("open are %+v, %w", all, err)
		}
		again = fmt.Sprint(all[0].Seq)
		return nil
	})
	if r := s.Run(t, "", "parked", "list"); !strings.Contains(r.Out, "(replay of "+seqs["not_json"]+")") {
		t.Errorf("listed is\n%s", r.Out)
	}
	if r := s.Run(t, "", "parked", "show", again); !strings.Contains(oneSpace(r.Out), "replay of parked message "+seqs["not_json"]) {
		t.Errorf("shown is\n%s", r.Out)
	}
	done(0, "replayed=1 skipped=0 failed=0 still_invalid=0", again, "--body", corrected)
	s.has(t, "acme", "ahead", "astray", "cut")
	if r := s.Run(t, "", "parked", "show", again); !strings.Contains(r.Out, "with another body of ") {
		t.Errorf("shown is\n%s", r.Out)
	}
	s.Stop(t)
}

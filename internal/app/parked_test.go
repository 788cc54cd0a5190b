package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestTenThousandParkedMessagesAreListedReplayedAndDiscardedByFilters(t *testing.T) {
	p := newParkedPlace(t)
	p.parkAs(t, brokenBy(event.ReasonTooFarAhead), someEvents("acme", 1, 6000)...)
	p.parkAs(t, brokenBy(event.ReasonSubjectMismatch), someEvents("beta", 6001, 3000)...)
	p.parkAs(t, brokenBy(event.ReasonNotJSON), someEvents("beta", 9001, 1000)...)

	list := p.operator(t, 0, "list", "--output", "ndjson")
	if n := strings.Count(list.Out, "\n"); n != 10_000 {
		t.Errorf("%d messages are listed", n)
	}
	if list = p.operator(t, 0, "list", "--account", "beta", "--reason", "not_json", "--reason", "missing", "--limit", "7"); strings.Count(list.Out, "\n") != 8 {
		t.Errorf("listed are:\n%s", list.Out)
	}
	var summary struct {
		Total   int
		Reasons []struct {
			State, Reason string
			Count         int
		}
	}
	summarise := func(want string, args ...string) {
		t.Helper()
		r := p.operator(t, 0, append([]string{"list", "--summary", "--output", "json"}, args...)...)
		if err := json.Unmarshal([]byte(r.Out), &summary); err != nil || fmt.Sprint(summary) != want {
			t.Errorf("%v: the summary is %v, %v", args, summary, err)
		}
	}
	summarise("{10000 [{open too_far_ahead 6000} {open subject_mismatch 3000} {open not_json 1000}]}")

	before := p.messages(t, stream.ParkedNotes)
	dry := p.operator(t, 0, "replay", "--reason", "too_far_ahead", "--dry-run")
	if strings.Count(dry.Out, "\n") != 6001 || !strings.HasSuffix(dry.Out, "would_replay=6000 skipped=0 failed=0 still_invalid=0\n") ||
		!strings.HasPrefix(dry.Out, "1  would replay  too_far_ahead  on login.events.acme.login\n") {
		t.Errorf("the dry run says %.300s", dry.Out)
	}
	if dry = p.operator(t, 0, "discard", "--account", "beta", "--because", "x", "--dry-run"); !strings.HasSuffix(dry.Out, "would_discard=4000 skipped=0 failed=0\n") {
		t.Errorf("the dry run says %.300s", dry.Out)
	}
	if p.messages(t, stream.ParkedNotes) != before || p.messages(t, stream.Events) != 0 {
		t.Error("a dry run changed something")
	}

	if r := p.operator(t, 0, "replay", "--reason", "too_far_ahead", "--valid", "--yes"); r.Out != "replayed=6000 skipped=0 failed=0 still_invalid=0\n" {
		t.Errorf("replay says %s%s", r.Out, r.Err)
	}
	if n := p.messages(t, stream.Events); n != 6000 {
		t.Errorf("%d events are published", n)
	}
	if r := p.operator(t, 0, "discard", "--account", "beta", "--from-stream-seq", "6001", "--to-stream-seq", "9000", "--because", "a test of beta's", "--yes"); r.Out != "discarded=3000 skipped=0 failed=0\n" {
		t.Errorf("discard says %s%s", r.Out, r.Err)
	}
	summarise("{1000 [{open not_json 1000}]}")
	summarise("{6000 [{replayed too_far_ahead 6000}]}", "--state", "replayed")
	summarise("{10000 [{replayed too_far_ahead 6000} {discarded subject_mismatch 3000} {open not_json 1000}]}", "--state", "all")
	if r := p.operator(t, 0, "replay", "--reason", "too_far_ahead", "--yes"); r.Out != "replayed=0 skipped=0 failed=0 still_invalid=0\n" {
		t.Errorf("the repeated replay says %s%s", r.Out, r.Err)
	}
	counts, err := stream.NewOpenCounter(p.js).Count(t.Context())
	if err != nil || counts.Total != 1000 || counts.ByReason["not_json"] != 1000 {
		t.Errorf("counted are %+v, %v", counts, err)
	}
}

// The interruption and the kill come while messages are being published and
// noted. Others are parked meanwhile; they are not touched.
func TestKilledReplayIsRepeatedAndEveryReplayIsNoted(t *testing.T) {
	const n = 2000
	p := newParkedPlace(t)
	p.parkAs(t, brokenBy(event.ReasonTooFarAhead), someEvents("acme", 1, n)...)
	args := append([]string{"parked", "replay", "--reason", "too_far_ahead", "--yes"}, p.as(t, engine.UserOperator)...)
	begin := func(until uint64) *testsystem.Process {
		replay := testsystem.Start(t, testsystem.Command(t, "loginaudit", args...))
		replay.Until(t, "some are published", func() error {
			if got := p.messages(t, stream.Events); got < until {
				return fmt.Errorf("%d are published", got)
			}
			return nil
		})
		return replay
	}
	interrupted := begin(n / 8)
	interrupted.Signal(t, unix.SIGINT)
	if status := interrupted.Wait(t); status != 1 || !strings.Contains(interrupted.Err(), "messages are left") ||
		!strings.Contains(interrupted.Err(), "run the same command again") || !strings.Contains(interrupted.Out(), "failed=0") {
		t.Errorf("interrupted, it ends with %d and says %s%s", status, interrupted.Out(), interrupted.Err())
	}
	killed := begin(n / 2)
	killed.Kill(t)
	if killed.Wait(t) != -1 || p.messages(t, stream.Events) == n {
		t.Fatal("the replay was over before the kill: make it longer")
	}
	p.parkAs(t, brokenBy(event.ReasonNotJSON), someEvents("acme", n+1, 100)...)
	index := stream.NewInbox(p.js)
	t.Logf("killed when %d of %d were published", p.messages(t, stream.Events), n)

	again := p.operator(t, 0, args[1:5]...)
	if !strings.Contains(again.Out, "failed=0") || strings.HasPrefix(again.Out, fmt.Sprintf("replayed=%d ", n)) {
		t.Errorf("the repeat says %s%s", again.Out, again.Err)
	}
	if got := p.messages(t, stream.Events); got != n {
		t.Errorf("%d messages are published, want each once: %d", got, n)
	}
	seen := map[string]bool{}
	for m, err := range index.List(t.Context(), stream.ParkedFilter{Reasons: []string{"too_far_ahead"}}) {
		if err != nil {
			t.Fatal(err)
		}
		notes, err := index.Notes(t.Context(), m.Seq)
		if err != nil || m.State != stream.StateReplayed || notes[len(notes)-1].Step != stream.StepReplayed {
			t.Fatalf("message %d is %s, notes %+v, %v", m.Seq, m.State, notes, err)
		}
		raw := p.event(t, notes[len(notes)-1].EventSeq)
		if string(raw.Data) != string(m.Body) || seen[string(raw.Data)] {
			t.Fatalf("message %d was published as %s", m.Seq, raw.Data)
		}
		seen[string(raw.Data)] = true
	}
	if open := p.operator(t, 0, "list", "--output", "ndjson"); len(seen) != n || strings.Count(open.Out, "\n") != 100 {
		t.Errorf("%d are replayed, open are:\n%.300s", len(seen), open.Out)
	}
}

func (p parkedPlace) event(t testing.TB, seq uint64) *jetstream.RawStreamMsg {
	t.Helper()
	s, err := p.js.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.GetMsg(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSequencesAreDealtWithOnceAndWhatIsNotIsTold(t *testing.T) {
	p := newParkedPlace(t)
	p.parkAs(t, brokenBy(event.ReasonTooFarAhead), someEvents("acme", 1, 4)...)
	if r := p.operator(t, 0, "replay", "1", "2"); r.Out != "replayed=2 skipped=0 failed=0 still_invalid=0\n" {
		t.Errorf("%+v", r)
	}
	r := p.operator(t, 1, "replay", "2", "3", "99")
	if !strings.Contains(r.Out, "2  skipped  too_far_ahead  it was replayed by ") || !strings.Contains(r.Out, "replayed=1 skipped=1 failed=1") ||
		!strings.Contains(r.Err, "message 99: no parked message has this sequence") || !strings.Contains(r.Err, "not all messages were dealt with") {
		t.Errorf("%+v", r)
	}
	p.operator(t, 0, "discard", "4", "--because", "nobody's", "--by", "Berta \x1b[31m")
	if r := p.operator(t, 1, "replay", "4"); strings.Contains(r.Err, "\x1b") || !strings.Contains(r.Err, `it was discarded by Berta \x1b[31m at `) || !strings.Contains(r.Err, "--state") {
		t.Errorf("%+v", r)
	}
	if r := p.operator(t, 0, "discard", "4", "--because", "once more"); !strings.Contains(r.Out, "discarded=0 skipped=1 failed=0") {
		t.Errorf("%+v", r)
	}
	if r := p.operator(t, 1, "replay", "4", "--state", "replayed"); !strings.Contains(r.Err, "it was discarded") {
		t.Errorf("%+v", r)
	}
	if r := p.operator(t, 0, "replay", "4", "--state", "all", "--output", "ndjson"); !strings.Contains(r.Out, `"result":"replayed","reason":"too_far_ahead","subject":"login.events.acme.login","event_seq":4}`) {
		t.Errorf("%+v", r)
	}
	shown := p.operator(t, 0, "show", "4")
	for _, want := range []string{
		"state replayed ", `discarded by Berta \x1b[31m (NATS user U`, "): nobody's ",
		"replaying by ", "@", "as sequence 4 of LOGIN_EVENTS body (102 bytes",
	} {
		if !strings.Contains(oneSpace(shown.Out), want) {
			t.Errorf("shown is no %q:\n%s", want, shown.Out)
		}
	}
	if strings.Contains(shown.Out, "\x1b") || strings.Contains(p.operator(t, 0, "list", "--state", "all").Out, "\x1b") {
		t.Error("a control character reaches the terminal")
	}
	var whole struct {
		State string
		Notes []struct{ Step, By, Why string }
	}
	r = p.operator(t, 0, "show", "4", "--output", "json")
	if err := json.Unmarshal([]byte(r.Out), &whole); err != nil || len(whole.Notes) != 3 || whole.Notes[0].Step != "discarded" || whole.Notes[0].By != "Berta \x1b[31m" {
		t.Errorf("%v: %+v", err, whole)
	}
}

func TestErasedMessageIsShownByItsNotes(t *testing.T) {
	p := newParkedPlace(t)
	p.parkAs(t, brokenBy(event.ReasonBadTime), someEvents("acme", 1, 3)...)
	p.operator(t, 0, "discard", "2", "--because", "first")
	if r := p.operator(t, 2, "discard", "2", "--erase", "--because", "a password"); !strings.Contains(r.Err, "erase 1 messages without asking? Give --yes") {
		t.Errorf("%+v", r)
	}
	if r := p.operator(t, 0, "discard", "2", "--erase", "--because", "a password", "--yes"); r.Out != "erased=1 skipped=0 failed=0\n" {
		t.Errorf("%+v", r)
	}
	if r := p.operator(t, 1, "discard", "2", "77", "--erase", "--because", "a password", "--yes"); !strings.Contains(r.Out, "erased=1 skipped=0 failed=1") || !strings.Contains(r.Err, "message 77: ") {
		t.Errorf("%+v", r)
	}
	shown := p.operator(t, 0, "show", "2")
	if !strings.Contains(shown.Out, "erased: the message is no longer in LOGIN_PARKED") || !strings.Contains(shown.Out, "SHA-256 ") ||
		!strings.Contains(shown.Out, "a password") || strings.Contains(shown.Out, `"u2"`) {
		t.Errorf("shown is\n%s", shown.Out)
	}
	if r := p.operator(t, 0, "show", "2", "--output", "ndjson"); !strings.Contains(r.Out, `"state":"erased"`) || !strings.Contains(r.Out, `"why":"a password"`) {
		t.Errorf("%+v", r)
	}
	if r := p.operator(t, 1, "show", "2", "--raw"); r.Out != "" || !strings.Contains(r.Err, "no parked message has this sequence") {
		t.Errorf("%+v", r)
	}
	if list := p.operator(t, 0, "list", "--state", "all", "--output", "json"); strings.Count(list.Out, `"seq"`) != 2 {
		t.Errorf("listed are\n%s", list.Out)
	}
}

// The commands are the operator's. Nobody else can read, replay or forge a note.
func TestParkedMessagesAreTheOperatorsAlone(t *testing.T) {
	p := newParkedPlace(t)
	p.parkAs(t, brokenBy(event.ReasonBadTime), someEvents("acme", 1, 3)...)
	for _, user := range []engine.NATSUser{engine.UserPublisher, engine.UserIngest} {
		for _, args := range [][]string{
			{"list"}, {"show", "1"}, {"replay", "1"}, {"discard", "--all", "--yes", "--because", "x"}, {"discard", "1", "--erase", "--yes", "--because", "x"},
		} {
			r := p.parked(t, user, args...)
			if r.Status != 1 || !strings.Contains(strings.ToLower(r.Err), "permissions violation") || !strings.Contains(r.Err, "give the operator's key with --nkey FILE") {
				t.Errorf("%s %v: %+v", user, args, r)
			}
		}
		nc := p.Connect(user)
		if err := nc.Publish("login.notes.bad_time.1.1.discarded", []byte("{}")); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		testsystem.Until(t, "the note is refused", func() error {
			if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) {
				return fmt.Errorf("the last error is another: %w", err)
			}
			return nil
		})
	}
	if n := p.messages(t, stream.ParkedNotes); n != 0 || p.messages(t, stream.Parked) != 3 {
		t.Errorf("%d notes are there", n)
	}
	// The worker may count.
	js, err := jetstream.New(p.Connect(engine.UserIngest))
	if err != nil {
		t.Fatal(err)
	}
	if counts, err := stream.NewOpenCounter(js).Count(t.Context()); err != nil || counts.Total != 3 {
		t.Errorf("the worker counts %+v, %v", counts, err)
	}
}

// oneSpace is text without the padding of its columns.
func oneSpace(text string) string { return strings.Join(strings.Fields(text), " ") }

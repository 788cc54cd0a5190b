package stream_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func TestReplayPublishesTheOriginalsBytesAndHarmlessHeadersAndNotesIt(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	body := []byte("\x00\xff not { json\r\n")
	header := nats.Header{
		"traceparent": {"00-abc"}, "X-Twice": {"one", "two"},
		"Nats-Msg-Id": {"own"}, "nats-rollup": {"all"}, "NATS-TTL": {"1s"}, "Nats-Expected-Last-Sequence": {"77"}, "Nats-Batch-Id": {"b"},
		"Status": {"503"}, "description": {"x"}, "Loginaudit-Replay": {"1 1 forged"}, "loginaudit-parked-reason": {"forged"},
	}
	park(t, js, made{subject: "login.events.acme.login", body: body, header: header, seq: 5}, broken())
	before := get(t, js, 1)
	done := replay(t, js, stream.ReplayOptions{}, selectAll(t, js, stream.ParkedFilter{})...)
	if done[0].EventSeq != 1 || done[0].Subject != "login.events.acme.login" || done[0].Broken == nil {
		t.Errorf("told is %+v", done[0])
	}
	raw := eventMessage(t, js, 1)
	if !bytes.Equal(raw.Data, body) || raw.Subject != "login.events.acme.login" {
		t.Errorf("replayed is %q on %s", raw.Data, raw.Subject)
	}
	if raw.Header.Get("traceparent") != "00-abc" || fmt.Sprint(raw.Header["X-Twice"]) != "[one two]" {
		t.Errorf("harmless headers are %v", raw.Header)
	}
	for _, name := range []string{"nats-rollup", "NATS-TTL", "Nats-Expected-Last-Sequence", "Nats-Batch-Id", "Status", "description", "loginaudit-parked-reason"} {
		if len(raw.Header[name]) > 0 {
			t.Errorf("header %s is published again", name)
		}
	}
	if id := raw.Header.Get("Nats-Msg-Id"); id == "own" || !strings.HasPrefix(id, "replay:1:") {
		t.Errorf("the message id is %q", id)
	}
	after := get(t, js, 1)
	if !bytes.Equal(after.Body, body) || !equalHeaders(after.Headers, before.Headers) || after.State != stream.StateReplayed || after.SettledBy != "anna@console" {
		t.Errorf("the parked message is %+v", after)
	}
	notes := notesOf(t, js, 1)
	if len(notes) != 2 || notes[0].Step != stream.StepReplaying || notes[1].Step != stream.StepReplayed {
		t.Fatalf("notes are %+v", notes)
	}
	n := notes[1]
	if n.By != "anna@console" || n.NATSUser != "UOPERATOR" || n.EventSeq != 1 || n.StreamSeq != 5 || n.Reason != "missing" ||
		n.Size != len(body) || len(n.SHA256) != 64 || n.SentSHA256 != "" || n.SentSubject != "" || n.At.Before(after.ParkedAt) {
		t.Errorf("the note is %+v", n)
	}
}

func TestDryRunPublishesAndNotesNothing(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 0, 30)
	park(t, js, made{subject: "login.events.acme.login", body: []byte(anEvent("e", time.Now())), seq: 99}, broken())
	done := replay(t, js, stream.ReplayOptions{DryRun: true}, selectAll(t, js, stream.ParkedFilter{})...)
	for i, o := range done {
		if o.Seq != uint64(i+1) || (o.Broken == nil) != (o.Seq == 31) || o.EventSeq != 0 {
			t.Errorf("told is %+v", o)
		}
	}
	if n := eventCount(t, js); n != 0 || openCounts(t, js).Total != 31 {
		t.Errorf("%d events are published, open are %+v", n, openCounts(t, js))
	}
	if s, err := js.Stream(t.Context(), stream.ParkedNotes); err != nil || s.CachedInfo().State.LastSeq != 0 {
		t.Errorf("notes were written, %v", err)
	}
}

func TestOnlyWhatTheContractAllowsByNowIsValid(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	for i, m := range []made{
		{subject: "login.events.acme.login", body: []byte(anEvent("past", time.Now().Add(-time.Hour)))},
		{subject: "login.events.acme.login", body: []byte(anEvent("ahead", time.Now().Add(time.Hour)))},
		{subject: "login.events.beta.login", body: []byte(anEvent("other", time.Now()))},
		{subject: "login.events.acme.login", body: []byte("{")},
	} {
		m.seq = uint64(i + 1)
		park(t, js, m, broken())
	}
	if got := listed(t, js, stream.ParkedFilter{Valid: true}); len(got) != 1 || got[0].Seq != 1 {
		t.Errorf("valid are %+v", got)
	}
}

func TestReplayOnTheSubjectOfTheBodyIsNoted(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	park(t, js, made{subject: "login.events.beta.mfa", body: []byte(anEvent("e", time.Now())), seq: 1}, broken())
	park(t, js, made{subject: "login.events.beta.mfa", body: []byte("{}"), seq: 2}, broken())
	all := selectAll(t, js, stream.ParkedFilter{})
	done := replay(t, js, stream.ReplayOptions{SubjectFromBody: true}, all[0])
	if done[0].Broken != nil || eventMessage(t, js, 1).Subject != "login.events.acme.login" || notesOf(t, js, 1)[1].SentSubject != "login.events.acme.login" {
		t.Errorf("told is %+v, notes are %+v", done, notesOf(t, js, 1))
	}
	refused := replayOutcome(t, js, stream.ReplayOptions{SubjectFromBody: true}, all[1])
	if !contains(refused.Err, "no subject can be told from the body") || len(notesOf(t, js, 2)) != 0 {
		t.Errorf("told is %+v", refused)
	}
}

// replayOutcome is the outcome of one message, whether it failed or not.
func replayOutcome(t testing.TB, js jetstream.JetStream, options stream.ReplayOptions, s stream.Selected) stream.Outcome {
	t.Helper()
	var got stream.Outcome
	if err := operator(js).Replay(t.Context(), []stream.Selected{s}, options, func(o stream.Outcome) { got = o }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCorrectedBodyIsReplayedAndBothHashesAreNoted(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	park(t, js, made{subject: "login.events.acme.login", body: []byte(`{"id":`), seq: 1}, broken())
	s := selectAll(t, js, stream.ParkedFilter{})[0]
	for _, wrong := range []string{"", "{}", anEvent("e", time.Now().Add(time.Hour)), strings.Replace(anEvent("e", time.Now()), "acme", "beta", 1)} {
		if o := replayOutcome(t, js, stream.ReplayOptions{Body: []byte(wrong)}, s); !contains(o.Err, "the new body is refused") {
			t.Errorf("%q: %+v", wrong, o)
		}
	}
	if n := eventCount(t, js); n != 0 || len(notesOf(t, js, 1)) != 0 {
		t.Fatalf("%d events are published", n)
	}
	corrected := anEvent("e", time.Now())
	replay(t, js, stream.ReplayOptions{Body: []byte(corrected)}, s)
	if got := string(eventMessage(t, js, 1).Data); got != corrected {
		t.Errorf("published is %q", got)
	}
	n := notesOf(t, js, 1)[1]
	if n.SentSize != len(corrected) || len(n.SentSHA256) != 64 || n.SentSHA256 == n.SHA256 || n.Size != len(`{"id":`) {
		t.Errorf("the note is %+v", n)
	}
	if m := get(t, js, 1); string(m.Body) != `{"id":` {
		t.Errorf("the parked body is %q", m.Body)
	}
}

func TestReplayThatIsParkedAgainTellsOfWhichAndNobodyCanPretend(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	park(t, js, deliver(t, js, withBody(nats.NewMsg("login.events.acme.login"), "{")), broken())
	replay(t, js, stream.ReplayOptions{}, selectAll(t, js, stream.ParkedFilter{})...)
	again := next(t, js)
	park(t, js, again, broken())
	for _, m := range []stream.ParkedMessage{get(t, js, 2), listed(t, js, stream.ParkedFilter{State: stream.StateOpen})[0]} {
		if m.ReplayOf != 1 || m.Seq != 2 || string(m.Body) != "{" {
			t.Errorf("parked again is %+v", m)
		}
	}
	forged := withBody(nats.NewMsg("login.events.acme.login"), "{")
	claim := strings.Fields(again.Headers().Get("Loginaudit-Replay"))
	forged.Header.Set("Loginaudit-Replay", claim[0]+" "+claim[1]+" ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	park(t, js, deliver(t, js, forged), broken())
	for i, header := range []string{"", "x", "1 x y", "x 1 y", "1 1 ", "99999999999999999999 1 x"} {
		park(t, js, made{subject: "login.events.acme.login", header: nats.Header{"Loginaudit-Replay": {header}}, seq: uint64(50 + i)}, broken())
	}
	for _, m := range listed(t, js, stream.ParkedFilter{FromSeq: 3}) {
		if m.ReplayOf != 0 || get(t, js, m.Seq).ReplayOf != 0 {
			t.Errorf("message %d passes for a replay of %d", m.Seq, m.ReplayOf)
		}
	}
	// A replay of the replay names the replay.
	replay(t, js, stream.ReplayOptions{}, selectAll(t, js, stream.ParkedFilter{FromSeq: 2, ToSeq: 2})...)
	park(t, js, next(t, js), broken())
	if all := listed(t, js, stream.ParkedFilter{}); all[len(all)-1].ReplayOf != 2 {
		t.Errorf("the last is %+v", all[len(all)-1])
	}
}

// A replay that was killed before its last note is done again, and the stream
// knows it again; one that is wanted once more is another.
func TestReplayThatIsRepeatedCollapsesUnlessItWasDone(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 1)
	selected := selectAll(t, js, stream.ParkedFilter{})
	first := replay(t, js, stream.ReplayOptions{}, selected...)
	killed := replay(t, js, stream.ReplayOptions{}, selected...) // selected before the first was noted
	if killed[0].EventSeq != first[0].EventSeq || eventCount(t, js) != 1 {
		t.Errorf("%d events are published, told are %+v and %+v", eventCount(t, js), first, killed)
	}
	replay(t, js, stream.ReplayOptions{}, selectAll(t, js, stream.ParkedFilter{State: stream.StateReplayed})...)
	if n := eventCount(t, js); n != 2 {
		t.Errorf("%d events are published, want 2", n)
	}
}

func TestWhatTheStreamRefusesFailsAloneOrStopsTheRest(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	park(t, js, made{subject: "login.events.acme.login", body: make([]byte, event.MaxBody+2000), seq: 1}, broken())
	park(t, js, made{subject: "login.other", body: []byte("{}"), seq: 2}, broken())
	park(t, js, made{subject: "login.events.acme login", body: []byte("{}"), seq: 3}, broken())
	park(t, js, made{subject: "login.events.acme.>", body: []byte("{}"), seq: 4}, broken())
	parkMany(t, js, 10, 20)
	all := map[uint64]stream.Outcome{}
	told := func(o stream.Outcome) { all[o.Seq] = o }
	err := operator(js).Replay(t.Context(), selectAll(t, js, stream.ParkedFilter{}), stream.ReplayOptions{}, told)
	if err != nil || len(all) != 24 {
		t.Fatalf("%d are told, %v", len(all), err)
	}
	for seq, o := range all {
		if (o.Err == nil) != (seq > 4) {
			t.Errorf("told is %+v", o)
		}
	}
	if notes := notesOf(t, js, 1); len(notes) != 2 || notes[1].Step != stream.StepFailed || notes[1].Error == "" || get(t, js, 1).State != stream.StateOpen {
		t.Errorf("notes are %+v", notes)
	}
	full := stream.DefaultSettings()
	full.MaxBytes = 1 << 20
	if err = stream.Ensure(t.Context(), js, full); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{60_000, 0} {
		for err = nil; err == nil; {
			_, err = js.Publish(t.Context(), "login.events.acme.login", make([]byte, size))
		}
	}
	parkMany(t, js, 1000, 200)
	n := 0
	err = operator(js).Replay(t.Context(), selectAll(t, js, stream.ParkedFilter{FromStreamSeq: 1000}), stream.ReplayOptions{}, func(o stream.Outcome) {
		if n++; !contains(o.Err, "maximum bytes exceeded") {
			t.Errorf("told is %+v", o)
		}
	})
	if !contains(err, fmt.Sprintf("stopped, %d messages are left", 200-n)) || n == 200 || n == 0 {
		t.Errorf("%d are told, error %v", n, err)
	}
}

func TestHeadersThatLeaveNoRoomForOursAreNotReplayed(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	body := strings.TrimSuffix(anEvent("e", time.Now()), "}")
	body += `,"x":"` + strings.Repeat("x", event.MaxBody-len(body)-8) + `"}`
	park(t, js, made{subject: "login.events.acme.login", body: []byte(body), header: nats.Header{"X": {strings.Repeat("y", 900)}}, seq: 1}, broken())
	done := replay(t, js, stream.ReplayOptions{}, selectAll(t, js, stream.ParkedFilter{})...)
	if raw := eventMessage(t, js, 1); len(raw.Data) != event.MaxBody || raw.Header.Get("X") != "" || done[0].Broken != nil {
		t.Errorf("published are %d bytes with %d headers, %v", len(raw.Data), len(raw.Header), done[0].Broken)
	}
}

func TestNothingIsReplayedThatCannotBeNoted(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 1)
	if err := js.DeleteStream(t.Context(), stream.ParkedNotes); err != nil {
		t.Fatal(err)
	}
	s := selectAll(t, js, stream.ParkedFilter{State: stream.StateOpen}) // without notes all is open
	o := replayOutcome(t, js, stream.ReplayOptions{}, s[0])
	if !contains(o.Err, `"loginaudit streams" makes it`) || eventCount(t, js) != 0 {
		t.Errorf("told is %+v", o)
	}
}

package stream_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/stream"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

func operator(js jetstream.JetStream) *stream.Operator {
	return stream.NewOperator(js, stream.Who{By: "anna@console", NATSUser: "UOPERATOR"})
}

func selectAll(t testing.TB, js jetstream.JetStream, filter stream.ParkedFilter) []stream.Selected {
	t.Helper()
	selected, err := stream.NewInbox(js).Select(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return selected
}

// outcomes collects what is told, and fails the test where something failed.
func outcomes(t testing.TB, all *[]stream.Outcome) func(stream.Outcome) {
	return func(o stream.Outcome) {
		if o.Err != nil {
			t.Errorf("message %d: %v", o.Seq, o.Err)
		}
		*all = append(*all, o)
	}
}

func discard(t testing.TB, js jetstream.JetStream, selected []stream.Selected) {
	t.Helper()
	var all []stream.Outcome
	if err := operator(js).Discard(t.Context(), selected, "a test of theirs", outcomes(t, &all)); err != nil || len(all) != len(selected) {
		t.Fatalf("%d of %d are discarded, %v", len(all), len(selected), err)
	}
}

func replay(t testing.TB, js jetstream.JetStream, options stream.ReplayOptions, selected ...stream.Selected) []stream.Outcome {
	t.Helper()
	var all []stream.Outcome
	if err := operator(js).Replay(t.Context(), selected, options, outcomes(t, &all)); err != nil || len(all) != len(selected) {
		t.Fatalf("%d of %d are replayed, %v", len(all), len(selected), err)
	}
	return all
}

func notesOf(t testing.TB, js jetstream.JetStream, seq uint64) []stream.Note {
	t.Helper()
	notes, err := stream.NewInbox(js).Notes(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	return notes
}

func openCounts(t testing.TB, js jetstream.JetStream) stream.OpenCounts {
	t.Helper()
	counts, err := stream.NewOpenCounter(js).Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// eventMessage is a stored message of LOGIN_EVENTS.
func eventMessage(t testing.TB, js jetstream.JetStream, seq uint64) *jetstream.RawStreamMsg {
	t.Helper()
	s, err := js.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.GetMsg(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func eventCount(t testing.TB, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

// anEvent is a valid event of account acme that happened at a time.
func anEvent(id string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"account":"acme","username":"u","occurred_at":%q,"entry":1,"status":1}`, id, at.Format(time.RFC3339))
}

func TestInterruptedWorkSaysHowMuchIsLeft(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 500)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := operator(js).Discard(ctx, selectAll(t, js, stream.ParkedFilter{}), "why", func(o stream.Outcome) {
		if n++; o.Err != nil {
			t.Errorf("message %d: %v", o.Seq, o.Err)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) || !contains(err, fmt.Sprintf("%d messages are left", 500-n)) || n == 500 {
		t.Errorf("%d are told, error %v", n, err)
	}
	if counts := openCounts(t, js); counts.Total != uint64(500-n) {
		t.Errorf("counted are %+v", counts)
	}
	discard(t, js, selectAll(t, js, stream.ParkedFilter{State: stream.StateOpen}))
	if counts := openCounts(t, js); counts.Total != 0 || counts.Parked != 500 {
		t.Errorf("counted are %+v", counts)
	}
}

func TestDiscardedMessageStaysWithItsReasonAndMayBeReplayed(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 2)
	all := selectAll(t, js, stream.ParkedFilter{})
	discard(t, js, all[:1])
	m := get(t, js, 1)
	notes := notesOf(t, js, 1)
	if m.State != stream.StateDiscarded || !strings.HasPrefix(string(m.Body), "no event ") || len(notes) != 1 || notes[0].Why != "a test of theirs" || notes[0].By != "anna@console" {
		t.Errorf("discarded is %+v, notes %+v", m, notes)
	}
	if got := listed(t, js, stream.ParkedFilter{State: stream.StateDiscarded}); len(got) != 1 || got[0].SettledBy != "anna@console" || !got[0].SettledAt.Equal(notes[0].At) {
		t.Errorf("listed are %+v", got)
	}
	replay(t, js, stream.ReplayOptions{}, selectAll(t, js, stream.ParkedFilter{State: stream.StateDiscarded})...)
	discard(t, js, all[:1])
	if state := get(t, js, 1).State; state != stream.StateReplayed {
		t.Errorf("what was replayed is %s", state)
	}
}

func TestBrokenNoteIsTold(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 1)
	if _, err := js.Publish(t.Context(), "login.notes.other.1.5.replayed", []byte("no note")); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.NewInbox(js).Get(t.Context(), 1); !contains(err, "read note 1") {
		t.Errorf("error is %v", err)
	}
}

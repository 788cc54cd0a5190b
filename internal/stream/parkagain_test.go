package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/stream"
)

// shortMemory is the shortest time for which a stream knows message ids again.
const shortMemory = 100 * time.Millisecond

// forgetful is a workshop whose LOGIN_PARKED soon forgets what it took.
func forgetful(t *testing.T) workshop {
	t.Helper()
	return newWorkshop(t, shortSettings())
}

func shortSettings() stream.Settings {
	settings := stream.DefaultSettings()
	settings.ParkedDuplicateWindow = shortMemory
	return settings
}

// forgets waits until LOGIN_PARKED has forgotten the ids of all that it has: that of
// a message of the test's own was the last of them.
func (w workshop) forgets(t *testing.T) {
	t.Helper()
	s, err := w.asOperator.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	for markers := []uint64{}; ; {
		answer, err := w.asOperator.Publish(t.Context(), "login.parked.other", nil, jetstream.WithMsgID(fmt.Sprint("marker of ", s.CachedInfo().State.LastSeq)))
		if err != nil {
			t.Fatal(err)
		}
		if answer.Duplicate {
			continue
		}
		if markers = append(markers, answer.Sequence); len(markers) < 2 {
			continue
		}
		for _, seq := range markers {
			if err := s.DeleteMsg(t.Context(), seq); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
}

// count is how many messages LOGIN_PARKED holds.
func (w workshop) count(t *testing.T) int {
	t.Helper()
	s, err := w.asOperator.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	return int(s.CachedInfo().State.Msgs)
}

// TestMessageIsParkedOnceHoweverLongAgoThatWas: the consumer was deleted and made
// again, and delivers everything once more, to the worker that parked it or to
// another.
func TestMessageIsParkedOnceHoweverLongAgoThatWas(t *testing.T) {
	for name, anotherWorker := range map[string]bool{"by the same worker": false, "by another one": true} {
		t.Run(name, func(t *testing.T) {
			w := forgetful(t)
			msg := deliver(t, w.asOperator, &nats.Msg{Subject: "login.events.acme.login", Data: []byte("bad")})
			if err := w.parker.Park(t.Context(), msg, broken()); err != nil {
				t.Fatal(err)
			}
			w.forgets(t)
			if err := w.asOperator.DeleteConsumer(t.Context(), stream.Events, stream.Consumer); err != nil {
				t.Fatal(err)
			}
			if err := stream.Ensure(t.Context(), w.asOperator, shortSettings()); err != nil {
				t.Fatal(err)
			}
			again := next(t, w.asOperator)
			if meta, err := again.Metadata(); err != nil || meta.NumDelivered != 1 {
				t.Fatalf("the message comes again as %+v, %v; want as if for the first time", meta, err)
			}
			if anotherWorker {
				w.parker = stream.NewParker(w.asIngest)
			}
			if err := w.parker.Park(t.Context(), again, broken()); err != nil {
				t.Fatal(err)
			}
			if n := w.count(t); n != 1 {
				t.Errorf("%d messages are parked, want 1", n)
			}
		})
	}
}

func TestOfManyMessagesThoseAreParkedThatWereNot(t *testing.T) {
	w := forgetful(t)
	all := invalids(1, 2500, 50)
	some := slices.Concat(all[:700], all[900:])
	wantParked(t, w.parker.ParkAll(t.Context(), some))
	w.forgets(t)
	parker := stream.NewParker(w.asIngest)
	errs := parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	w.wantStored(t, all, errs)
	s, err := w.asOperator.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.GetMsg(t.Context(), s.CachedInfo().State.LastSeq)
	if err != nil || last.Header.Get("Nats-Batch-Sequence") != "200" {
		t.Errorf("the last came as %v of its batch, error %v; want the 200 that were left out in one", last.Header, err)
	}
}

// TestMessageThatAnotherWorkerHasParkedMeanwhileIsNotParkedAgain: what was read
// from LOGIN_PARKED is read on.
func TestMessageThatAnotherWorkerHasParkedMeanwhileIsNotParkedAgain(t *testing.T) {
	w := forgetful(t)
	all := invalids(1, 100, 50)
	first, second := stream.NewParker(w.asIngest), stream.NewParker(w.asIngest)
	for i := range 10 {
		wantParked(t, first.ParkAll(t.Context(), all[10*i:10*i+5]))
		wantParked(t, second.ParkAll(t.Context(), all[10*i+5:10*i+10]))
		w.forgets(t)
		wantParked(t, first.ParkAll(t.Context(), all[:10*i+10]))
		wantParked(t, second.ParkAll(t.Context(), all[:10*i+10]))
		if n := w.count(t); n != 10*i+10 {
			t.Fatalf("%d messages are parked, want %d", n, 10*i+10)
		}
	}
}

func TestHoweverManyAreParkedFewAreRemembered(t *testing.T) {
	w := forgetful(t)
	all := invalids(1, 1000, 50)
	parked := slices.Concat(all[:400], all[401:])
	mixed := slices.Clone(parked)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	wantParked(t, w.parker.ParkAll(t.Context(), mixed))
	w.forgets(t)
	for _, most := range []int{20, 100, 5000} {
		parker := stream.NewParker(w.asIngest)
		parker.Remember(most)
		for some := range slices.Chunk(parked, 130) {
			wantParked(t, parker.ParkAll(t.Context(), some))
		}
		wantParked(t, parker.ParkAll(t.Context(), mixed))
		if n := w.count(t); n != len(parked) {
			t.Fatalf("%d messages are parked, want %d", n, len(parked))
		}
	}
	wantParked(t, w.parker.ParkAll(t.Context(), all))
	if n := w.count(t); n != len(all) {
		t.Errorf("%d messages are parked, want the one that was left out too", n)
	}
}

// earlier is a message with the same sequence of the stream before this one.
type earlier struct{ made }

func (m earlier) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := m.made.Metadata()
	meta.Timestamp = meta.Timestamp.Add(-48 * time.Hour)
	return meta, err
}

// TestMessageWithTheSequenceOfAParkedOneIsAnother: it would be lost if it were
// taken for that.
func TestMessageWithTheSequenceOfAParkedOneIsAnother(t *testing.T) {
	w := forgetful(t)
	here := made{subject: "login.events.acme.login", body: []byte("here"), seq: 7}
	before := earlier{made{subject: "login.events.acme.login", body: []byte("before"), seq: 7}}
	for i, msg := range []jetstream.Msg{here, before} {
		for range 2 {
			if err := w.parker.Park(t.Context(), msg, broken()); err != nil {
				t.Fatal(err)
			}
			w.forgets(t)
		}
		if n := w.count(t); n != i+1 {
			t.Fatalf("%d messages are parked, want %d", n, i+1)
		}
	}
}

// TestWhatASuccessorOfTheStreamDoesNotHoldIsParkedAgain: somebody has deleted
// LOGIN_PARKED. What the parker remembers of it counts no more.
func TestWhatASuccessorOfTheStreamDoesNotHoldIsParkedAgain(t *testing.T) {
	w := forgetful(t)
	all := invalids(1, 50, 50)
	wantParked(t, w.parker.ParkAll(t.Context(), all))
	w.forgets(t)
	wantParked(t, w.parker.ParkAll(t.Context(), all)) // it remembers them
	if err := w.asOperator.DeleteStream(t.Context(), stream.Parked); err != nil {
		t.Fatal(err)
	}
	ensure(t, w.asOperator)
	for w.count(t) < len(all) { // within a second it is seen
		wantParked(t, w.parker.ParkAll(t.Context(), all))
	}
	w.wantStored(t, all, make([]error, len(all)))
}

// What cannot be looked up stays unparked, and so unacknowledged. What LOGIN_EVENTS
// has just received needs no look.
func TestMessageOfWhichItCannotBeToldIsNotParked(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	now := deliveredNow{made{subject: "login.events.acme.login", seq: 3000}}
	wantParked(t, w.parker.ParkAll(t.Context(), []stream.Invalid{{Msg: now, Reason: broken()}}))
	w.change(t, func(c *jetstream.StreamConfig) { c.AllowDirect = false })
	all := append(invalids(1, 3, 50), stream.Invalid{Msg: deliveredNow{made{subject: "login.events.acme.login", seq: 3001}}, Reason: broken()})
	errs := w.parker.ParkAll(t.Context(), all)
	for i, err := range errs[:3] {
		if !errors.Is(err, nats.ErrNoResponders) || !contains(err, fmt.Sprintf("park message %d: read stream LOGIN_PARKED", i+1)) {
			t.Errorf("error of message %d is %v", i+1, err)
		}
	}
	if n := w.count(t); errs[3] != nil || n != 2 {
		t.Errorf("%d messages are parked, error %v; want the two that came now", n, errs[3])
	}
}

// TestReadingThatWasInterruptedGoesOn: what a parker reads may take longer than a
// call of it may.
func TestReadingThatWasInterruptedGoesOn(t *testing.T) {
	w := forgetful(t)
	all := invalids(1, 5000, 1000) // more than one answer
	wantParked(t, w.parker.ParkAll(t.Context(), all))
	w.forgets(t)
	parker := stream.NewParker(w.asIngest)
	for limit := time.Millisecond; ; limit *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		errs := parker.ParkAll(ctx, all)
		cancel()
		if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
			break
		}
	}
	if n := w.count(t); n != len(all) {
		t.Errorf("%d messages are parked, want %d", n, len(all))
	}
}

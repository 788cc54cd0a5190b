package stream_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/stream"
)

func TestOpenMessagesAreCountedByReason(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	counter := stream.NewOpenCounter(js)
	want := func(when string, total, parked uint64, byReason string) {
		t.Helper()
		got, err := counter.Count(t.Context())
		if err != nil || got.Total != total || got.Parked != parked || fmt.Sprint(got.ByReason) != byReason {
			t.Errorf("%s: counted are %+v, %v", when, got, err)
		}
	}
	want("at first", 0, 0, "map[]")
	parkMany(t, js, 0, 100)
	want("parked", 100, 100, "map[not_json:90 too_far_ahead:10]")
	discard(t, js, selectAll(t, js, stream.ParkedFilter{Reasons: []string{"too_far_ahead"}}))
	want("discarded", 90, 100, "map[not_json:90]")
	discard(t, js, selectAll(t, js, stream.ParkedFilter{Reasons: []string{"too_far_ahead"}}))
	want("discarded twice", 90, 100, "map[not_json:90]")
	replay(t, js, stream.ReplayOptions{}, selectAll(t, js, stream.ParkedFilter{ToStreamSeq: 50})...)
	want("replayed, some that were discarded", 45, 100, "map[not_json:45]")
	var done []stream.Outcome
	erased := append(selectAll(t, js, stream.ParkedFilter{FromStreamSeq: 41, ToStreamSeq: 60}), selectAll(t, js, stream.ParkedFilter{ToStreamSeq: 1})...)
	if err := operator(js).Erase(t.Context(), erased, "why", outcomes(t, &done)); err != nil {
		t.Fatal(err)
	}
	open := len(selectAll(t, js, stream.ParkedFilter{State: stream.StateOpen}))
	want("erased", uint64(open), 79, fmt.Sprintf("map[not_json:%d]", open))
	if open != 36 {
		t.Errorf("%d are open", open)
	}
}

func TestWhatRetentionTookIsNotCounted(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 9)
	discard(t, js, selectAll(t, js, stream.ParkedFilter{}))
	config := streamConfig(t, js, stream.Parked)
	config.MaxMsgs, config.Discard = 4, jetstream.DiscardOld
	if _, err := js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	parkMany(t, js, 20, 4) // 20 is too far ahead
	if got := openCounts(t, js); got.Total != 4 || got.ByReason["not_json"] != 3 || got.Parked != 4 {
		t.Errorf("counted are %+v", got)
	}
}

// The notes of messages of a stream that is no more are not of those that have
// their sequences now.
func TestNotesDoNotPassToAStreamThatWasMadeAgain(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 5)
	discard(t, js, selectAll(t, js, stream.ParkedFilter{}))
	if err := js.DeleteStream(t.Context(), stream.Parked); err != nil {
		t.Fatal(err)
	}
	ensure(t, js)
	parkMany(t, js, 1, 5)
	if got := openCounts(t, js); got.Total != 5 {
		t.Errorf("counted are %+v", got)
	}
	if got := listed(t, js, stream.ParkedFilter{State: stream.StateOpen}); len(got) != 5 {
		t.Errorf("open are %d", len(got))
	}
	if state := get(t, js, 3).State; state != stream.StateOpen {
		t.Errorf("message 3 is %s", state)
	}
}

func TestCountNeedsNoNotesButTheStream(t *testing.T) {
	js := connect(t, nil)
	counter := stream.NewOpenCounter(js)
	if _, err := counter.Count(t.Context()); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("error is %v, want ErrStreamNotFound", err)
	}
	ensure(t, js)
	parkMany(t, js, 1, 3)
	discard(t, js, selectAll(t, js, stream.ParkedFilter{ToSeq: 1}))
	if got, err := counter.Count(t.Context()); err != nil || got.Total != 2 {
		t.Errorf("counted are %+v, %v", got, err)
	}
	if err := js.DeleteStream(t.Context(), stream.ParkedNotes); err != nil {
		t.Fatal(err)
	}
	if got, err := counter.Count(t.Context()); err != nil || got.Total != 3 {
		t.Errorf("without notes counted are %+v, %v", got, err)
	}
	ensure(t, js)
	discard(t, js, selectAll(t, js, stream.ParkedFilter{ToSeq: 1}))
	if got, err := counter.Count(t.Context()); err != nil || got.Total != 2 {
		t.Errorf("with new notes counted are %+v, %v", got, err)
	}
}

// While nobody does anything, a count asks two questions and reads no message.
func TestCountAsksLittle(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 100)
	discard(t, js, selectAll(t, js, stream.ParkedFilter{}))
	counter := stream.NewOpenCounter(js)
	if _, err := counter.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked, err := js.Conn().SubscribeSync("$JS.API.>")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := counter.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	n, _, err := asked.Pending()
	if err != nil || n != 2 {
		t.Errorf("asked are %d questions, %v", n, err)
	}
	for range n {
		m, err := asked.NextMsg(time.Minute)
		if err != nil || len(m.Data) > 100 {
			t.Errorf("asked is %s %s, %v", m.Subject, m.Data, err)
		}
	}
}

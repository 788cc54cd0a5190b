package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// bad makes up so many invalid messages with a body of about so many bytes.
func bad(n, size int) []faults.Invalid {
	all := make([]faults.Invalid, n)
	for i := range all {
		all[i] = faults.Invalid{
			Subject: event.SubjectPrefix + "acme.login",
			Body:    fmt.Appendf(nil, `{"id":"bad-%d","size":%d,"rest":%q`, i, size, strings.Repeat("x", size)),
		}
	}
	return all
}

// send publishes invalid messages.
func send(t *testing.T, p *faults.Publisher, all []faults.Invalid) {
	t.Helper()
	for _, m := range all {
		if err := p.SendInvalid(m); err != nil {
			t.Fatal(err)
		}
	}
}

// parkingFails holds that messages that cannot be parked are kept, and hold up
// nobody: valid events are stored, and the watermark stays below the messages.
func parkingFails(t *testing.T, s *faults.System, w *faults.Worker, p *faults.Publisher) {
	t.Helper()
	s.Until("parking fails", func() error { return faults.AtLeast(w.Metric("loginaudit_ingest_park_failures_total"), 1) })
	s.Until("the worker is not ready", func() error { return says(w.NotReady(), "[-] parking: messages cannot be parked: park message ") })
	if err := tells(w, "cannot park message; it stays unacknowledged"); err != nil {
		t.Error(err)
	}
	p.Publish(200)
	s.Stored(s.Confirmed())
	mark, err := s.Watermark()
	if end := last(t, s); err != nil || mark.StreamSeq >= end-200 {
		t.Errorf("the watermark is at %d %v, want it below the messages that are not parked; the stream ends at %d", mark.StreamSeq, err, end)
	}
	if err := w.NotLive(); err != nil {
		t.Errorf("the worker asks for another start: %v", err)
	}
}

// LOGIN_PARKED is not there, or at its limit: what is invalid is not acknowledged,
// and parked when that is mended. Nothing is lost or parked twice, and what is
// valid does not wait.
func TestParkingThatFailsKeepsTheMessagesAndHoldsUpNobody(t *testing.T) {
	s := faults.Start(t, faults.Options{StreamFlags: []string{"--stream-parked-max-bytes=1MiB"}})
	w, p := s.NewWorker(), s.NewPublisher()
	w.Start()
	t.Run("the stream is missing", func(t *testing.T) {
		if err := s.JetStream().DeleteStream(t.Context(), stream.Parked); err != nil {
			t.Fatal(err)
		}
		send(t, p, bad(20, 100))
		parkingFails(t, s, w, p)
		s.EnsureStreams()
		s.Drain()
		w.Ready()
	})
	t.Run("the stream is at its limit", func(t *testing.T) {
		send(t, p, bad(40, 50_000)) // twice the limit
		parkingFails(t, s, w, p)
		s.EnsureStreams("--stream-parked-max-bytes=64MiB")
		s.Drain()
		w.Ready()
	})
	s.Check()
	if err := errors.Join(
		faults.Exactly(parked(t, s), 60),
		faults.AtLeast(w.Metric(`loginaudit_ingest_parked_total{reason="not_json"}`), 60),
	); err != nil {
		t.Errorf("messages that are parked: %v", err)
	}
}

// parked is how many messages LOGIN_PARKED has.
func parked(t *testing.T, s *faults.System) int {
	t.Helper()
	parked, err := s.JetStream().Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	return int(parked.CachedInfo().State.Msgs)
}

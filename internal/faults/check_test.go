package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/publish"
)

// listener hears what a test fails with, and does not fail.
type listener struct {
	testing.TB
	heard strings.Builder
}

func (l *listener) Helper() {}

func (l *listener) Errorf(format string, args ...any) { fmt.Fprintf(&l.heard, format+"\n", args...) }

// TestCheckTellsWhatIsWrong breaks what was right behind the system's back.
func TestCheckTellsWhatIsWrong(t *testing.T) {
	s := Start(t, Options{})
	s.NewWorker().Start()
	p := s.NewPublisher()
	p.Publish(200)
	p.PublishInvalid(20)
	s.Check()

	heard := &listener{TB: t}
	s.tb = heard
	t.Cleanup(func() { s.tb = t })
	truth := s.readTruth()
	first, second, third := truth.all[0].StreamSeq, truth.all[1].StreamSeq, truth.all[2].StreamSeq
	s.Exec(fmt.Sprintf("ALTER TABLE events UPDATE outline = 'changed' WHERE stream_seq = %d SETTINGS mutations_sync = 2", first))
	s.Exec(fmt.Sprintf("ALTER TABLE events DELETE WHERE stream_seq = %d SETTINGS mutations_sync = 2", second))
	s.Exec(fmt.Sprintf("INSERT INTO events (account, occurred_at, content_hash, id_text, username, entry, status, outline, version)"+
		" SELECT account, occurred_at, reverse(content_hash), 'invented', username, entry, status, 'invented', version"+
		" FROM events WHERE stream_seq = %d", third))
	s.Exec("TRUNCATE TABLE user_latest")
	parked, err := s.JetStream().Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	if err := parked.DeleteMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	unsent := p.Messages(1)[0]
	if _, err := s.JetStream().Publish(t.Context(), unsent.Subject, unsent.Body); err != nil {
		t.Fatal(err)
	}
	lost := p.Messages(1)[0]
	s.ledger.sending(lost)
	s.ledger.confirm(lost, publish.Receipt{StreamSeq: 1})
	s.Until("the watch misses it", func() error {
		wrong, _, _ := s.watch.findings()
		return AtLeast(len(wrong), 1)
	})
	s.Check()

	for _, want := range []string{
		"ClickHouse is not as the stream", "not the same bytes: " + truth.all[0].Account + " changed", "lost: ", "invented: ",
		"rows of events_by_user", "parked is not invalid: not parked: ", "in the stream, but never sent: ",
		"confirmed, but not in the stream: ", "a watermark claimed too much", "users:", "is not listed",
	} {
		if !strings.Contains(heard.heard.String(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(heard.heard.String())
	}
}

package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/stream"
)

// onDisk reports whether any file below a folder has a text.
func onDisk(t testing.TB, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		found = found || bytes.Contains(content, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestErasedMessageLeavesNoByteAndANoteOfItsHash(t *testing.T) {
	var dir string
	js := connect(t, func(o *natsserver.Options) { dir = o.StoreDir })
	ensure(t, js)
	const secret = "correct-horse-battery-staple"
	for i := range 3 {
		park(t, js, made{
			subject: "login.events.acme.login", body: fmt.Appendf(nil, "%s %d", secret, i), header: nats.Header{"X": {secret}}, seq: uint64(i + 1),
		}, broken())
	}
	// One that stays: else the file goes as a whole.
	park(t, js, made{subject: "login.events.acme.login", body: []byte("harmless"), seq: 4}, broken())
	if !onDisk(t, dir, secret) {
		t.Fatal("the test does not see what is on the disk")
	}
	all := selectAll(t, js, stream.ParkedFilter{ToSeq: 3})
	discard(t, js, all[:1])
	var done []stream.Outcome
	if err := operator(js).Erase(t.Context(), all, "a password", outcomes(t, &done)); err != nil || len(done) != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	if onDisk(t, dir, secret) {
		t.Error("the bytes are still on the disk")
	}
	if _, err := stream.NewInbox(js).Get(t.Context(), 2); !errors.Is(err, stream.ErrNotParked) {
		t.Errorf("error is %v, want ErrNotParked", err)
	}
	notes := notesOf(t, js, 2)
	if len(notes) != 2 || notes[0].Step != stream.StepErasing || notes[1].Step != stream.StepErased {
		t.Fatalf("notes are %+v", notes)
	}
	if n := notes[1]; n.Why != "a password" || n.Size != len(secret)+2 || len(n.SHA256) != 64 || n.StreamSeq != 2 || n.Subject != "login.events.acme.login" {
		t.Errorf("the note is %+v", n)
	}
	if counts := openCounts(t, js); counts.Total != 1 || counts.Parked != 1 {
		t.Errorf("counted are %+v", counts)
	}
	// Once more, it is erased already.
	if err := operator(js).Erase(t.Context(), all, "again", outcomes(t, &done)); err != nil || len(notesOf(t, js, 2)) != 2 {
		t.Errorf("%v, notes are %+v", err, notesOf(t, js, 2))
	}
}

func TestErasureThatWasKilledHalfWayIsNotedToItsEnd(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 1, 3)
	m := get(t, js, 1)
	begun := fmt.Sprintf("login.notes.not_json.1.%d.erasing", m.ParkedAt.UnixNano())
	if _, err := js.Publish(t.Context(), begun, []byte(`{"by":"berta","run":"R","why":"w","sha256":"00","size":10,"reason":"not_json"}`)); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{1, 2} {
		if err := s.SecureDeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	var done []stream.Outcome
	err = operator(js).Erase(t.Context(), []stream.Selected{{Seq: 1}}, "other words", outcomes(t, &done))
	notes := notesOf(t, js, 1)
	if err != nil || len(notes) != 2 || notes[1].Step != stream.StepErased || notes[1].Why != "w" || notes[1].SHA256 != "00" {
		t.Errorf("%v, notes are %+v", err, notes)
	}
	err = operator(js).Erase(t.Context(), []stream.Selected{{Seq: 2}}, "w", func(o stream.Outcome) {
		if !errors.Is(o.Err, stream.ErrNotParked) {
			t.Errorf("told is %+v", o)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

package publish_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// large is an event that a stream with a limit of 600 bytes finds too large.
func large(id string) (publish.Message, error) {
	e := login(id)
	e.Reason = strings.Repeat("<é&>", 100)
	return publish.NewMessage(e)
}

// refusedLines reads the file of refused events.
func refusedLines(t *testing.T, dir string) []map[string]json.RawMessage {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "refused.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []map[string]json.RawMessage
	for line := range bytes.Lines(data) {
		var l map[string]json.RawMessage
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestEventThatIsRefusedForGoodIsSetAsideAndHoldsUpNothing(t *testing.T) {
	nc := connect(t, server(t, nil))
	dir := t.TempDir()
	var told alarms
	options := quick(dir)
	options.Alarm = told.add
	b := outbox(t, nc, options)
	refused, err := large("e-large")
	if err != nil {
		t.Fatal(err)
	}
	keep(t, b, login("e-1"))
	if receipt, err := b.PublishMessage(t.Context(), refused); err != nil || !receipt.InOutbox {
		t.Fatalf("receipt %+v, error %v", receipt, err)
	}
	keep(t, b, login("e-2"))
	stream := events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
	flush(t, b)
	wantStored(t, stream, []string{"e-1", "e-2"})
	if s := b.Stats(); s.Refused != 1 || s.Delivered != 2 || s.Records != 0 {
		t.Errorf("stats are %+v, want 1 refused and 2 delivered", s)
	}
	if len(told.told()) != 1 {
		t.Fatalf("alarms are %v, want one", told.told())
	}
	var refusal *publish.Refusal
	if err := told.told()[0]; !errors.As(err, &refusal) || !errors.Is(err, publish.ErrTooLarge) || refusal.Message.Hash != refused.Hash || refusal.StoredAt.IsZero() ||
		!strings.Contains(err.Error(), "set aside") {
		t.Errorf("the alarm is %v, want the refusal of the large event", err)
	}
	lines := refusedLines(t, dir)
	if len(lines) != 1 || string(lines[0]["code"]) != "10054" || !strings.Contains(string(lines[0]["reason"]), "too large") {
		t.Fatalf("the file of refused events is %s", lines)
	}
	again, err := publish.ParseMessage(lines[0]["event"])
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash != refused.Hash || string(lines[0]["subject"]) != `"`+again.Subject+`"` {
		t.Error("the event in the file has other content")
	}
}

func TestEventThatMayNotBePublishedIsSetAsideOnDelivery(t *testing.T) {
	s := server(t, func(o *natsserver.Options) {
		o.Users = []*natsserver.User{
			{Username: "all", Password: "all"},
			{Username: "beta", Password: "beta", Permissions: &natsserver.Permissions{
				Publish: &natsserver.SubjectPermission{Allow: []string{"login.events.beta.>"}},
			}},
		}
	})
	nc := connect(t, s, nats.UserInfo("beta", "beta"))
	b, err := publisher(t, nc, publish.Options{TryTimeout: 300 * time.Millisecond}).OpenOutbox(quick(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer leave(t, b)
	allowed, later := login("e-1"), login("e-3")
	allowed.Account, later.Account = "beta", "beta"
	keep(t, b, allowed, login("e-2"), later)
	stream := events(t, connect(t, s, nats.UserInfo("all", "all")), nil)
	flush(t, b)
	wantStored(t, stream, []string{"e-1", "e-3"})
	if s := b.Stats(); s.Refused != 1 {
		t.Errorf("stats are %+v, want 1 refused", s)
	}
}

func TestRefusedEventThatCannotBeSetAsideStaysAndIsNotLost(t *testing.T) {
	cases := map[string]struct {
		breaks func(path string) error
		mends  func(path string) error
		told   string
	}{
		"no file":   {func(path string) error { return os.Mkdir(path, 0o700) }, os.Remove, "is a directory"},
		"full file": {func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o600) }, os.Remove, "move it away"},
		"full disk": {func(path string) error { return os.Symlink("/dev/full", path) }, os.Remove, "no space left"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			nc := connect(t, server(t, nil))
			dir := t.TempDir()
			path := filepath.Join(dir, "refused.ndjson")
			if err := c.breaks(path); err != nil {
				t.Fatal(err)
			}
			var told alarms
			options := quick(dir)
			options.MaxBytes, options.Alarm = 1<<20, told.add
			b := outbox(t, nc, options)
			m, err := large("e-large")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.PublishMessage(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			keep(t, b, login("e-1"))
			stream := events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
			testsystem.Until(t, "the reason is told", func() error {
				all := told.told()
				if len(all) == 0 || !strings.Contains(all[0].Error(), c.told) {
					return fmt.Errorf("told is %v", all)
				}
				return nil
			})
			if s := b.Stats(); s.Records != 2 || s.LastError == nil {
				t.Errorf("stats are %+v, want both to wait", s)
			}
			if err := c.mends(path); err != nil {
				t.Fatal(err)
			}
			flush(t, b)
			wantStored(t, stream, []string{"e-1"})
			if lines := refusedLines(t, dir); len(lines) != 1 {
				t.Errorf("the file of refused events has %d lines, want 1", len(lines))
			}
		})
	}
}

func TestRefusedEventIsALineOfItsOwnAfterATornOne(t *testing.T) {
	nc := connect(t, server(t, nil))
	dir := t.TempDir()
	path := filepath.Join(dir, "refused.ndjson")
	if err := os.WriteFile(path, []byte(`{"torn":`), 0o600); err != nil {
		t.Fatal(err)
	}
	b := outbox(t, nc, quick(dir))
	noJSON := publish.Message{Subject: "login.events.acme.login", Body: bytes.Repeat([]byte{0xff}, 700), Hash: [16]byte{1}}
	if _, err := b.PublishMessage(t.Context(), noJSON); err != nil {
		t.Fatal(err)
	}
	events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 600 })
	flush(t, b)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(bytes.Lines(data))
	var line struct{ Body []byte }
	if len(lines) != 2 || string(lines[0]) != "{\"torn\":\n" || json.Unmarshal(lines[1], &line) != nil || !bytes.Equal(line.Body, noJSON.Body) {
		t.Errorf("the file is %q", data)
	}
}

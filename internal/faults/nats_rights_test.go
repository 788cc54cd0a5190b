package faults_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/publish"
)

// unknownKey makes a key that NATS does not know.
func unknownKey(t *testing.T) (path string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "unknown.nk")
	if err := os.WriteFile(path, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Who may not do what it is there for is told in words and, if it is a worker,
// ends; the others do not notice.
func TestWrongKeysAndMissingRightsAreToldInWords(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	right, publisher := s.NewWorker(), s.NewPublisher()
	right.Start()
	publisher.Publish(50)
	unknown := unknownKey(t)
	for _, c := range []struct {
		name  string
		flags []string
		want  string
	}{
		{"a worker with a key that NATS does not know", []string{"--nats-nkey=" + unknown},
			"connect to NATS: nats: Authorization Violation (it does not know the key, see nats.nkey"},
		{"a worker with the key of a publisher", []string{"--nats-nkey=" + s.Key(engine.UserPublisher), "--nats-inbox-prefix=_INBOX"},
			`Permissions Violation for Publish to \"$JS.API.STREAM.INFO.LOGIN_EVENTS\"`},
		{"a worker with the inbox of another", []string{"--nats-inbox-prefix=_INBOX_operator"},
			`Permissions Violation for Subscription to \"_INBOX_operator.`},
		{"a worker that shall make streams and may not", []string{"--stream-ensure", "--stream-max-age=1h"},
			`\"loginaudit streams\" makes them as the operator; then set stream.ensure to false here`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.NewWorker(c.flags...)
			w.Start()
			if status := w.Process().Wait(t); status != 1 {
				t.Errorf("it ended with status %d, want 1", status)
			}
			if err := errors.Join(tells(w, `"message":"stopping"`), tells(w, c.want)); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("a publisher with a key that NATS does not know", func(t *testing.T) {
		key, err := nats.NkeyOptionFromSeed(unknown)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nats.Connect("nats://"+s.NATS.Addr(), key); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("connecting gives %v, want %v", err, nats.ErrAuthorization)
		}
	})
	t.Run("a publisher with the key of a worker", func(t *testing.T) {
		client, err := publish.New(s.Connect(engine.UserIngest), publish.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = client.PublishMessage(t.Context(), publisher.Messages(1)[0]); !errors.Is(err, publish.ErrDenied) {
			t.Errorf("publishing gives %v, want %v", err, publish.ErrDenied)
		}
	})
	publisher.Publish(50)
	s.Check()
}

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/apicheck"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// answered is an answer of the running system.
type answered struct {
	status int
	header http.Header
	body   string
}

// askChecked asks the running system, as programs do, and holds the answer to
// schema/openapi.yaml. A stream is read until its first message.
func askChecked(t *testing.T, s *testsystem.System, path string, headers ...string) answered {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.Token)
	r.Header.Set("Accept-Encoding", "identity")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	x := apicheck.Exchange{Request: r, Status: res.StatusCode, Header: res.Header}
	if strings.HasSuffix(r.URL.Path, "/stream") && res.StatusCode == http.StatusOK {
		x.Body, x.Cut = firstMessage(t, res.Body), true
	} else if x.Body, err = io.ReadAll(res.Body); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if strings.HasSuffix(r.URL.Path, "/export") && res.StatusCode == http.StatusOK {
		x.Trailer = res.Trailer // the client takes the names out of the headers
		x.Header.Set("Trailer", strings.Join(slices.Sorted(maps.Keys(res.Trailer)), ", "))
	}
	if err := apicheck.Served(t).Check(x); err != nil {
		t.Errorf("GET %s: %v", path, err)
	}
	return answered{res.StatusCode, res.Header, string(x.Body)}
}

// firstMessage reads server-sent events until one has data.
func firstMessage(t *testing.T, r io.Reader) (read []byte) {
	t.Helper()
	part := make([]byte, 4096)
	for !bytes.Contains(read, []byte("\ndata:")) || !bytes.HasSuffix(read, []byte("\n\n")) {
		n, err := r.Read(part)
		read = append(read, part[:n]...)
		if err != nil {
			t.Fatalf("the stream ended after %q: %v", read, err)
		}
	}
	return read
}

// TestEveryAnswerOfTheRunningSystemIsOneOfItsDocument: the real engine gives
// values that a store of the tests may not.
func TestEveryAnswerOfTheRunningSystemIsOneOfItsDocument(t *testing.T) {
	system := testsystem.Serve(t, "loginaudit", filepath.Join(t.TempDir(), "data"), "--engine-memory", "1GiB")
	publish := publisher(t, system)
	day := time.Now().UTC().AddDate(0, 0, -2).Format(time.DateOnly)
	for i, event := range []string{
		`"username":"ann","entry":1,"status":25,"session_id":"s1","ip":"198.51.100.7","user_agent":"curl/8","mfa_method":"totp"`,
		`"username":"ann","entry":1,"status":21,"session_id":"s1","attributes":{"a":"b"},"unknown":[1]`,
		`"username":"bob/../x","entry":2,"status":5,"reason":"why","service":"sso","device_id":"d","request_id":"r"`,
		`"username":"","entry":6,"status":9`, `"username":"ann","entry":1,"status":2,"session_id":"s1"`,
		`"username":"carl","entry":8,"status":15`, `"username":"dora","entry":7,"status":1,"ip":"2001:db8::1"`,
	} {
		publish(fmt.Sprintf(`{"id":"e%d","account":"acme","occurred_at":"%sT09:30:%02dZ",%s}`, i, day, i, event))
	}
	publish(fmt.Sprintf(`{"id":"e0","account":"acme","occurred_at":"%sT09:30:00Z","username":"eve","entry":1,"status":5}`, day)) // a conflict
	system.Until(t, "all events are answered", func() error {
		if w := askChecked(t, system, "/api/v1/accounts/acme/events"); strings.Count(w.body, `"received_at"`) != 8 {
			return fmt.Errorf("%s", w.body)
		}
		return nil
	})
	for _, o := range apicheck.Served(t).Operations() {
		usernames := []string{"ann"}
		if strings.Contains(o.Path, "{username}") {
			usernames = append(usernames, "bob%2F..%2Fx", "nobody")
		}
		for _, username := range usernames {
			path := strings.NewReplacer("{account}", "acme", "{username}", username, "{id}", "e0").Replace(o.Path)
			questions := []string{"", "?nonsense=1"}
			if _, ok := o.Query["limit"]; ok {
				questions = append(questions, "?limit=1")
			}
			if _, ok := o.Query["as_of"]; ok {
				questions = append(questions, "?as_of="+day)
			}
			for _, format := range o.Query["format"] {
				questions = append(questions, "?format="+format)
			}
			for _, q := range questions {
				w := askChecked(t, system, path+q)
				if tag := w.header.Get("ETag"); tag != "" {
					askChecked(t, system, path+q, "If-None-Match", tag)
				}
			}
		}
	}
}

// publisher publishes messages as an auth service does.
func publisher(t *testing.T, system *testsystem.System) func(message string) {
	t.Helper()
	nc, err := nats.Connect(system.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	return func(message string) {
		t.Helper()
		kind := "login"
		for code, of := range map[string]string{`"status":25`: "mfa", `"status":21`: "mfa", `"status":2,`: "logout", `"status":15`: "reset"} {
			if strings.Contains(message, code) {
				kind = of
			}
		}
		if _, err := js.Publish("login.events.acme."+kind, []byte(message)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestATagOfTheRunningSystemChangesWithTheNextEvent, and not while nothing
// happens, though the worker goes on to report.
func TestATagOfTheRunningSystemChangesWithTheNextEvent(t *testing.T) {
	system := testsystem.Serve(t, "loginaudit", filepath.Join(t.TempDir(), "data"), "--engine-memory", "1GiB")
	publish := publisher(t, system)
	const events = "/api/v1/accounts/acme/events"
	send := func(id string) {
		publish(fmt.Sprintf(`{"id":%q,"account":"acme","username":"ann","occurred_at":"2026-11-01T09:30:00Z","entry":1,"status":1}`, id))
	}
	// settledTag is the tag of an answer that has the event and that still holds when
	// the worker has reported again.
	settledTag := func(id string) (tag string) {
		system.Until(t, id+" is answered, and nothing else goes on", func() error {
			w := askChecked(t, system, events)
			if tag = w.header.Get("ETag"); tag == "" || !strings.Contains(w.body, id) {
				return fmt.Errorf("tag %q, %s", tag, w.body)
			}
			before := watermarkTime(t, system)
			system.Until(t, "the worker reports again", func() error {
				if watermarkTime(t, system) == before {
					return errors.New("nothing new")
				}
				return nil
			})
			if w := askChecked(t, system, events, "If-None-Match", tag); w.status != http.StatusNotModified {
				return fmt.Errorf("the tag changed: %d", w.status)
			}
			return nil
		})
		return tag
	}
	send("first")
	tag := settledTag("first")
	send("second")
	system.Until(t, "the tag of before the second event holds no more", func() error {
		w := askChecked(t, system, events, "If-None-Match", tag)
		if w.status != http.StatusOK {
			return fmt.Errorf("status %d", w.status)
		}
		if !strings.Contains(w.body, `"second"`) {
			return fmt.Errorf("without the second event: %s", w.body)
		}
		return nil
	})
	if again := settledTag("second"); again == tag {
		t.Error("both answers have one tag")
	}
}

// watermarkTime is how far answers are complete, by the stream's clock.
func watermarkTime(t *testing.T, system *testsystem.System) string {
	t.Helper()
	var status struct{ Watermark struct{ Time string } }
	system.Ask(t, "/api/v1/status", &status)
	return status.Watermark.Time
}

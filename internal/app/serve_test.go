package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/nats-io/nats.go"
)

// line is one event of the contract as JSON.
func line(account, id, username string, status int, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"account":%q,"username":%q,"occurred_at":%q,"entry":1,"status":%d}`,
		id, account, username, at.UTC().Format(time.RFC3339Nano), status)
}

// connect connects the plain NATS client, without any key.
func (s system) connect(t testing.TB) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// publishPlain publishes on JetStream with nothing but the plain client.
func publishPlain(t testing.TB, nc *nats.Conn, subject, body string) {
	t.Helper()
	answer, err := nc.Request(subject, []byte(body), testsystem.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(answer.Data), `"stream":"LOGIN_EVENTS"`) {
		t.Fatalf("not acknowledged: %s", answer.Data)
	}
}

func TestServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	now := time.Now().Add(-time.Minute)

	t.Run("publishes, parks and answers what the plain NATS client sends", func(t *testing.T) {
		nc := s.connect(t)
		malformed := "{\"id\": \x1b[31m broken \xff"
		publishPlain(t, nc, "login.events.plain.login", line("plain", "e1", "ann", 1, now))
		publishPlain(t, nc, "login.events.plain.login", malformed)
		publishPlain(t, nc, "login.events.plain.logout", line("plain", "e2", "ann", 2, now.Add(time.Second)))
		s.has(t, "plain", "e1", "e2")

		var parked struct {
			Seq     int    `json:"seq"`
			Reason  string `json:"reason"`
			Detail  string `json:"detail"`
			Subject string `json:"subject"`
		}
		testsystem.Until(t, "the malformed message is parked", func() error {
			list := s.Run(t, "", "parked", "list", "--output", "ndjson")
			return errors.Join(json.Unmarshal([]byte(list.Out), &parked), exitError(list))
		})
		if parked.Reason == "" || parked.Detail == "" || parked.Subject != "login.events.plain.login" {
			t.Errorf("parked: %+v", parked)
		}
		seq := fmt.Sprint(parked.Seq)
		if raw := s.Run(t, "", "parked", "show", seq, "--raw"); raw.Out != malformed {
			t.Errorf("raw: %q", raw.Out)
		}
		for _, output := range []string{"table", "json", "ndjson"} {
			for _, args := range [][]string{{"parked", "list"}, {"parked", "show", seq}} {
				r := s.Run(t, "", append(args, "--output", output)...)
				if r.Status != 0 || strings.Contains(r.Out, "\x1b") || !utf8.ValidString(r.Out) || !strings.Contains(r.Out, parked.Reason) {
					t.Errorf("%v %s: %+v", args, output, r)
				}
			}
		}
		if none := s.Run(t, "", "parked", "list", "--account", "nobody"); none.Out != "nothing matches\n" {
			t.Errorf("none: %+v", none)
		}
		if none := s.Run(t, "", "parked", "show", "999"); none.Status != 1 || !strings.Contains(none.Err, "999") {
			t.Errorf("no such message: %+v", none)
		}
	})

	t.Run("imports files and tells what is wrong with a line", func(t *testing.T) {
		future := line("imported", "late", "bob", 1, time.Now().Add(time.Hour))
		file := filepath.Join(t.TempDir(), "events.ndjson")
		good := []string{line("imported", "i1", "bob", 1, now), line("imported", "i2", "bob", 2, now), line("imported", "i3", "eve", 5, now)}
		text := good[0] + "\n\n" + `{"id":"x"}` + "\n" + good[1] + "\r\n" + future + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := s.Run(t, good[2], "import", file, "-", "--wait")
		if r.Status != 1 || lastLine(r.Out) != "published=3 duplicate=0 rejected=2" {
			t.Errorf("%+v", r)
		}
		for _, want := range []string{file + ":3: ", file + ":5: ", "occurred_at"} {
			if !strings.Contains(r.Err, want) {
				t.Errorf("%q is not told: %s", want, r.Err)
			}
		}
		// --wait has waited: there is no need to wait here.
		if events, err := s.events(t, "imported"); err != nil || len(events) != 3 {
			t.Errorf("%d events, %v", len(events), err)
		}
		again := s.Run(t, strings.Join(good, "\n"), "import", "-", "--wait", "--nats", s.NATSURL())
		if again.Status != 0 || lastLine(again.Out) != "published=0 duplicate=3 rejected=0" {
			t.Errorf("again: %+v", again)
		}
		if r := s.Run(t, "", "import", filepath.Join(t.TempDir(), "none")); r.Status != 1 || lastLine(r.Out) != "published=0 duplicate=0 rejected=0" {
			t.Errorf("missing file: %+v", r)
		}
	})

	t.Run("publishes nothing when it could not ask how far the answers are", func(t *testing.T) {
		body := line("unasked", "u1", "bob", 1, now)
		for want, args := range map[string][]string{
			"401":              {"--url", s.URL(), "--token-file", fileWith(t, "la_admin_"+strings.Repeat("x", 43))},
			"ask the API":      {"--url", "http://127.0.0.1:1"},
			"the API's answer": {"--url", "http://" + s.Addresses.Admin + "/livez?"},
			"no watermark":     {"--url", "http://" + s.Addresses.Admin + "/log/level?"},
			"--token-file":     {"--url", s.URL(), "--data-dir", t.TempDir(), "--nats", s.NATSURL()},
		} {
			r := run(t, body, "loginaudit", append([]string{"import", "-", "--wait", "--data-dir", dir}, args...)...)
			if r.Status != 1 || !strings.Contains(r.Err, want) || lastLine(r.Out) != "published=0 duplicate=0 rejected=0" {
				t.Errorf("%v: %+v", args, r)
			}
		}
		if events, err := s.events(t, "unasked"); err != nil || len(events) != 0 {
			t.Errorf("%d events, %v", len(events), err)
		}
	})

	t.Run("waits no longer than it was told", func(t *testing.T) {
		r := s.Run(t, line("imported", "i4", "bob", 1, now), "import", "-", "--wait", "--wait-timeout", "1ns")
		if r.Status != 1 || !strings.Contains(r.Err, "not everything can be queried") || lastLine(r.Out) != "published=1 duplicate=0 rejected=0" {
			t.Errorf("%+v", r)
		}
	})

	t.Run("can be interrupted in an import, and what was sent is confirmed", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		cmd := testsystem.Command(t, "loginaudit", "import", "-", "--data-dir", s.Dir)
		cmd.Stdin = r
		importing := testsystem.Start(t, cmd)
		fmt.Fprintln(w, line("interrupted", "e1", "bob", 1, now)) // and the pipe stays open
		s.has(t, "interrupted", "e1")
		importing.Signal(t, os.Interrupt)
		status := importing.Wait(t)
		if status != 1 || lastLine(importing.Out()) != "published=1 duplicate=0 rejected=0" || !strings.Contains(importing.Err(), "interrupted") {
			t.Errorf("status %d %s %s", status, importing.Out(), importing.Err())
		}
	})

	t.Run("fills history and goes on live", func(t *testing.T) {
		args := []string{"emit", "--accounts", "1", "--users", "5", "--seed", "9", "--history", "3d", "--rate", "0", "--duration"}
		r := s.Run(t, "", append(args, "0")...)
		var filled int
		if _, err := fmt.Sscanf(lastLine(r.Out), "published=%d duplicate=0 rejected=0", &filled); err != nil || r.Status != 0 || filled < 20 {
			t.Fatalf("%+v", r)
		}
		if !strings.HasPrefix(r.Out, "filling 3 days of history: 5 users in 1 accounts: acme\n") {
			t.Errorf("who is made up is not told: %s", r.Out)
		}
		if many := s.Run(t, "", "emit", "--accounts", "12", "--users", "12", "--rate", "0", "--history", "1h", "--duration", "0"); !strings.Contains(many.Out, ", wayne-logistics, tyrell, …\n") {
			t.Errorf("too many to tell: %s", many.Out)
		}
		r = s.Run(t, "", "emit", "--accounts", "1", "--users", "5", "--rate", "50", "--duration", "100ms")
		if r.Status != 0 || strings.HasPrefix(lastLine(r.Out), "published=0") {
			t.Errorf("%+v", r)
		}
	})

	t.Run("says where it is and how to sign in", func(t *testing.T) {
		said := s.Out()
		for _, want := range []string{s.URL() + "/sign-in?code=", filepath.Join(dir, "admin.token"), s.NATSURL()} {
			if !strings.Contains(said, want) {
				t.Errorf("%q is not said: %s", want, said)
			}
		}
		if strings.Contains(said+s.Err(), s.Token) {
			t.Error("the token itself is printed")
		}
		if status, body, err := testsystem.Fetch(t.Context(), s.URL()+"/sign-in", ""); err != nil || status != http.StatusOK || !strings.Contains(body, "<form") {
			t.Errorf("page: %d %v", status, err)
		}
	})

	t.Run("keeps its secrets to its owner", func(t *testing.T) {
		for _, name := range []string{"admin.token", "publisher.nk", "nats/ingest.nk", "nats/operator.nk"} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		if strings.Contains(s.Err(), "ann") {
			t.Error("a username is in the log")
		}
	})

	t.Run("lets no second serve on its data directory", func(t *testing.T) {
		r := run(t, "", "loginaudit", "serve", "--data-dir", dir)
		if r.Status != 1 || !strings.Contains(r.Err, "--data-dir") {
			t.Errorf("%+v", r)
		}
		if err := testsystem.Ready(t.Context(), s.Addresses.Admin); err != nil {
			t.Errorf("the first one suffers: %v", err)
		}
	})

	t.Run("says which port is taken", func(t *testing.T) {
		for _, flag := range []string{"--http-addr", "--nats-addr", "--admin-addr"} {
			args := []string{"serve", "--data-dir", filepath.Join(t.TempDir(), "other")}
			for _, f := range []string{"--http-addr", "--nats-addr", "--admin-addr"} {
				addr := "127.0.0.1:0"
				if f == flag {
					addr = s.Addresses.NATS
				}
				args = append(args, f, addr)
			}
			if r := run(t, "", "loginaudit", args...); r.Status != 1 || !strings.Contains(r.Err, flag) {
				t.Errorf("%s: %+v", flag, r)
			}
		}
	})

	t.Run("stays up when the engine is killed, and tells", func(t *testing.T) {
		engines := s.Below()
		if len(engines) == 0 {
			t.Fatal("no engine runs")
		}
		for _, pid := range engines {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		testsystem.Until(t, "readyz tells", func() error {
			if testsystem.Ready(t.Context(), s.Addresses.Admin) == nil {
				return errors.New("still ready")
			}
			return nil
		})
		publishPlain(t, s.connect(t), "login.events.plain.login", line("plain", "e3", "ann", 1, now))
		testsystem.Until(t, "the engine is back", func() error { return testsystem.Ready(t.Context(), s.Addresses.Admin) })
		s.has(t, "plain", "e1", "e2", "e3")
	})

	t.Run("stops in order and has everything after a start", func(t *testing.T) {
		s.Stop(t)
		if _, err := os.Stat(filepath.Join(dir, "addresses.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("addresses are still there: %v", err)
		}
		if r := s.Run(t, "", "parked", "list"); r.Status != 1 || !strings.Contains(r.Err, "make run") {
			t.Errorf("nothing runs: %+v", r)
		}
		token := s.Token
		s = serve(t, dir)
		if s.Token != token {
			t.Error("the token changed")
		}
		s.has(t, "plain", "e1", "e2", "e3")
		s.Stop(t)
	})
}

// exitError is nil for a command that succeeded.
func exitError(r testsystem.Result) error {
	if r.Status == 0 {
		return nil
	}
	return fmt.Errorf("exit status %d: %s", r.Status, r.Err)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return lines[len(lines)-1]
}

// fileWith makes a file with a text.
func fileWith(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

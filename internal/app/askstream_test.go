package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestExportWritesAFileThatIsWhole(t *testing.T) {
	s := asked(t)
	dir := t.TempDir()
	for format, begins := range map[string]string{"ndjson": `{"id":"`, "csv": "id,account,username,", "parquet": "PAR1", "ocsf": "{"} {
		file := filepath.Join(dir, "events."+format)
		if err := os.WriteFile(file, []byte("of yesterday"), 0o600); err != nil {
			t.Fatal(err)
		}
		r := s.ask(t, 0, "export", "many", "--format", format, "--out", file)
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(text), begins) || r.Out != "" || r.Err != "2300 events, whole\n" {
			t.Errorf("%s: %.40q, %v: %+v", format, text, err, r)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 4 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	r := s.ask(t, 0, "export", "acme", "--username", "mallory", "--status", "invalid pass", "--order", "asc")
	lines := strings.Split(strings.TrimSpace(r.Out), "\n")
	var e client.Event
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil || e.Username != "mallory" || len(lines) != 2 || !strings.Contains(lines[1], `"complete":true`) {
		t.Errorf("%v: %s", err, r.Out)
	}
	if r := s.ask(t, 1, "export", "acme", "--out", filepath.Join(dir, "none", "x")); !strings.Contains(r.Err, "write export: ") {
		t.Errorf("into no folder: %+v", r)
	}
	if r := s.ask(t, 1, "export", "acme", "--ip", "x", "--out", filepath.Join(dir, "x")); !strings.Contains(r.Err, "--ip: ") {
		t.Errorf("a wrong filter: %+v", r)
	}
	out := onTerminal(t, command(t, nil, "loginaudit", "export", "acme", "--format", "csv", "--data-dir", s.Dir))
	if strings.Contains(out, "\x1b") || strings.Contains(out, "\u202e") || !strings.Contains(out, `evil\x1b[31mred`) {
		t.Errorf("on a terminal:\n%q", out)
	}
	out = onTerminal(t, command(t, nil, "loginaudit", "export", "many", "--out", filepath.Join(dir, "x"), "--data-dir", s.Dir))
	if !strings.Contains(out, "exporting") || !strings.HasSuffix(out, "2300 events, whole\r\n") {
		t.Errorf("with a terminal beside it:\n%q", out)
	}
}

// A server that breaks off is told from one that is done.
func TestExportThatBreaksOffLeavesNoFile(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.WriteString(w, `{"id":"e-1"}`+"\n"+`{"export":{"complete":false,"events":1,"error":{"title":"Unavailable","status":503,"detail":"the store\u001b is gone"}}}`+"\n")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Query().Get("order") == "asc" {
			return // it ends as if it were whole, without the proof
		}
		panic(http.ErrAbortHandler)
	}))
	defer api.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "events.ndjson")
	if err := os.WriteFile(file, []byte("of yesterday"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"export", "acme", "--server", api.URL, "--token-file", tokenIn(t)}
	for _, c := range []struct{ order, out, want string }{
		{"desc", file, file + ` is not written: the export is not whole: it broke off after`},
		{"desc", file, `Unavailable (503): the store\x1b is gone`},
		{"asc", file, "has not confirmed its end"},
		{"asc", "", "do not use what was written: the export is not whole"},
	} {
		r := run(t, "", "loginaudit", append(args, "--order", c.order, "--out", c.out)...)
		if r.Status != 1 || !strings.Contains(r.Err, c.want) {
			t.Errorf("%v: %+v", c, r)
		}
	}
	left, err := os.ReadDir(dir)
	if text, _ := os.ReadFile(file); err != nil || len(left) != 1 || string(text) != "of yesterday" {
		t.Errorf("left are %v, %q", left, text)
	}
}

// relay is an address that stays while the server behind it moves.
type relay struct {
	net.Listener
	mu sync.Mutex
	to string
}

func newRelay(t testing.TB, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{Listener: l, to: to}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(in)
		}
	}()
	return r
}

func (r *relay) carry(in net.Conn) {
	defer in.Close()
	r.mu.Lock()
	to := r.to
	r.mu.Unlock()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	_, _ = io.Copy(in, out)
}

func (r *relay) move(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

// written are the ids of the events that a tail has written.
func written(p *testsystem.Process) (ids []string) {
	for line := range strings.Lines(p.Out()) {
		var e client.Event
		if strings.HasSuffix(line, "\n") && json.Unmarshal([]byte(line), &e) == nil {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func TestTailGoesOnOverARestartOfTheServerAndDoublesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	r := newRelay(t, s.Addresses.HTTP)
	token := fileWith(t, s.Token)
	publish := func(s system, id, username string, status int) {
		t.Helper()
		if r := s.Run(t, line("acme", id, username, status, time.Now()), "import", "-", "--wait"); r.Status != 0 {
			t.Fatalf("%+v", r)
		}
	}
	publish(s, "before", "ann", 1)
	first := s.lastSeq(t)
	tail := testsystem.Start(t, testsystem.Command(t, "loginaudit", "tail", "acme", "--output", "ndjson", "--status", "active",
		"--last-event-id", fmt.Sprint(first), "--server", "http://"+r.Addr().String(), "--token-file", token))
	has := func(want ...string) {
		t.Helper()
		tail.Until(t, fmt.Sprintf("the tail has written %v", want), func() error {
			if got := written(tail); !slices.Equal(got, want) {
				return fmt.Errorf("it has written %v\n%s", got, tail.Err())
			}
			return nil
		})
	}
	publish(s, "one", "ann", 1)
	publish(s, "not-one", "ann", 5)
	publish(s, "two", "\u202eevil", 1)
	has("one", "two")

	s.Kill(t)
	tail.Until(t, "the break is told", func() error {
		if !strings.Contains(tail.Err(), "; again in ") {
			return fmt.Errorf("told is %q", tail.Err())
		}
		return nil
	})
	s = serve(t, dir)
	publish(s, "three", "ann", 1)
	r.move(s.Addresses.HTTP)
	has("one", "two", "three")
	s.Stop(t)
	s = serve(t, dir)
	r.move(s.Addresses.HTTP)
	publish(s, "four", "ann", 1)
	has("one", "two", "three", "four")
	if strings.Contains(tail.Out(), "\u202e") || strings.Contains(tail.Out(), `"gap"`) {
		t.Errorf("the tail has written %q", tail.Out())
	}
	tail.Signal(t, syscall.SIGINT)
	if status := tail.Wait(t); status != 0 {
		t.Errorf("interrupted, it ends with status %d", status)
	}

	for output, want := range map[string]string{"table": `\u202eevil`, "csv": "id,account,username,", "ndjson": `{"id":"one"`} {
		got := s.ask(t, 0, "tail", "acme", "--last-event-id", fmt.Sprint(first), "--limit", "3", "--output", output)
		if !strings.Contains(got.Out, want) || output == "table" && strings.Count(got.Out, "\n") != 4 {
			t.Errorf("%s: %+v", output, got)
		}
	}
	if r := s.ask(t, 1, "tail", "acme", "--mfa-method", "fax"); !strings.Contains(r.Err, "--mfa-method: ") {
		t.Errorf("a wrong filter: %+v", r)
	}
}

// lastSeq is the sequence up to which answers have everything.
func (s system) lastSeq(t testing.TB) uint64 {
	t.Helper()
	var list client.EventList
	s.Ask(t, "/api/v1/accounts/acme/events", &list)
	return list.Watermark.StreamSeq
}

func TestTailTellsOfGaps(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "id: 9\nevent: gap\ndata: {\"from_seq\":4,\"to_seq\":9,\"detail\":\"too \\u001b slow\"}\n\n"+
			"id: 10\nevent: event\ndata: {\"id\":\"e-1\",\"stream_seq\":10}\n\n")
	}))
	defer api.Close()
	args := []string{"tail", "acme", "--limit", "1", "--server", api.URL, "--token-file", tokenIn(t), "--output"}
	r := run(t, "", "loginaudit", append(args, "ndjson")...)
	if gap, _, _ := strings.Cut(r.Out, "\n"); r.Status != 0 || gap != `{"gap":{"from_seq":4,"to_seq":9,"detail":"too \u001b slow"}}` {
		t.Errorf("%+v", r)
	}
	r = run(t, "", "loginaudit", append(args, "table")...)
	if r.Status != 0 || r.Err != `gap: nothing is told of the sequences 4 to 9: too \x1b slow`+"\n" || strings.Count(r.Out, "\n") != 2 {
		t.Errorf("%+v", r)
	}
}

package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// The tests meet a real system, with ClickHouse and NATS.
func TestMain(m *testing.M) {
	engine.MaybeRunChild()
	testsystem.Main(m, testsystem.Programs{
		"loginaudit": func(args []string) int { return app.Execute(app.LoginauditCommand(), args) },
	})
}

// standIn lets examples use what tests use: they have no testing.TB.
type standIn struct {
	testing.TB

	cleanups []func()
}

func (*standIn) Helper()                           {}
func (*standIn) Context() context.Context          { return context.Background() }
func (*standIn) Failed() bool                      { return false }
func (*standIn) Logf(string, ...any)               {}
func (*standIn) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (*standIn) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (s *standIn) Cleanup(f func())                { s.cleanups = append(s.cleanups, f) }

func (s *standIn) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}

// exampleServer is a system with the events of a morning.
func exampleServer() (url, token string, stop func()) {
	tb := &standIn{}
	dir, err := os.MkdirTemp("", "loginaudit-example-*")
	if err != nil {
		panic(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := system(tb, filepath.Join(dir, "data"))
	return s.URL(), s.Token, tb.end
}

// system serves the events of a morning.
func system(tb testing.TB, dir string) *testsystem.System {
	tb.Helper()
	s := testsystem.Serve(tb, "loginaudit", dir, "--engine-memory", "1GiB")
	events := []string{
		`{"id":"e-1","account":"acme","username":"ann","occurred_at":"2026-03-10T09:00:00Z","entry":1,"status":25,"session_id":"s-1","ip":"198.51.100.7","mfa_method":"totp","user_agent":"Mozilla/5.0"}`,
		`{"id":"e-2","account":"acme","username":"ann","occurred_at":"2026-03-10T09:00:09.5Z","entry":1,"status":21,"session_id":"s-1","ip":"198.51.100.7","mfa_method":"totp","attributes":{"floor":"<3>"}}`,
		`{"id":"e-3","account":"acme","username":"bob","occurred_at":"2026-03-10T09:05:00Z","entry":7,"status":5,"reason":"wrong <password>","service":"sso","device_id":"d","request_id":"r"}`,
		`{"id":"e-4","account":"acme","username":"ann","occurred_at":"2026-03-10T12:30:00Z","entry":1,"status":2,"session_id":"s-1","more":[1]}`,
		`{"id":"e-4","account":"acme","username":"..","occurred_at":"2026-03-10T12:31:00Z","entry":1,"status":1}`,
		`{"id":"..","account":"acme","username":"a/b%2F\u202e\u0000","occurred_at":"2026-03-10T12:32:00Z","entry":1,"status":1}`,
		`{"id":"e-5","account":"acme","username":"","occurred_at":"2026-03-10T12:33:00Z","entry":1,"status":13}`,
	}
	if r := s.Run(tb, strings.Join(events, "\n"), "import", "-", "--wait"); r.Status != 0 {
		tb.Fatalf("%+v", r)
	}
	return s
}

// What a real server answers is read whole, nothing of it unknown, and written
// back as it was.
func TestRealServerIsUnderstood(t *testing.T) {
	s := system(t, filepath.Join(t.TempDir(), "data"))
	const acme = "/api/v1/accounts/acme"
	for path, read := range map[string]func([]byte) ([]byte, error){
		"/api/v1/codes":                            again[client.Codes],
		"/api/v1/status":                           again[client.Status],
		acme + "/users":                            again[client.UserList],
		acme + "/users?limit=1":                    again[client.UserList],
		acme + "/users/ann":                        again[client.UserDetail],
		acme + "/users/ann?as_of=2026-03-10T10:00": again[client.UserDetail],
		acme + "/users/ann/attempts":               again[client.AttemptList],
		acme + "/users/ann/events":                 again[client.EventList],
		acme + "/events?limit=3":                   again[client.EventList],
		acme + "/events/e-1":                       again[client.EventDetails],
		acme + "/events/e-4":                       again[client.EventDetails],
		acme + "/sessions":                         again[client.SessionList],
		acme + "/histogram":                        again[client.Histogram],
		acme + "/facets?top=1":                     again[client.Facets],
		acme + "/events?start=x&ip=y":              again[client.Problem],
		acme + "/users/nobody":                     again[client.Problem],
	} {
		status, body, err := testsystem.Fetch(t.Context(), s.URL()+path, s.Token)
		if err != nil {
			t.Fatal(err)
		}
		back, err := read([]byte(body))
		if err != nil {
			t.Errorf("GET %s: %d, %v\n%s", path, status, err, body)
			continue
		}
		var as, was any
		if json.Unmarshal(back, &as) != nil || json.Unmarshal([]byte(body), &was) != nil || fmt.Sprint(as) != fmt.Sprint(was) {
			t.Errorf("GET %s is written back as\n%s\nand was\n%s", path, back, body)
		}
	}
	t.Run("each question", func(t *testing.T) { askEach(t, asking(t, s.URL(), client.WithToken(s.Token))) })
	t.Run("names of any bytes", func(t *testing.T) { askNames(t, asking(t, s.URL(), client.WithToken(s.Token))) })
	t.Run("every export is proven whole", func(t *testing.T) {
		exportAll(t, asking(t, s.URL(), client.WithToken(s.Token)))
		exportAll(t, asking(t, s.URL(), client.WithToken(s.Token), client.WithHTTPClient(&http.Client{Transport: &http.Transport{DisableCompression: true}})))
	})
	t.Run("errors", func(t *testing.T) {
		_, err := asking(t, s.URL(), client.WithToken("la_admin_"+strings.Repeat("x", 64))).Status(t.Context())
		if !client.IsDenied(err) || strings.Contains(err.Error(), "xxx") {
			t.Errorf("a wrong token: %v", err)
		}
		if _, err := asking(t, s.URL()+"/nowhere", client.WithToken(s.Token)).Status(t.Context()); err == nil {
			t.Error("a wrong base URL is no error")
		}
	})
}

func askEach(t *testing.T, c *client.Client) {
	ctx := t.Context()
	count := func(what string, want int, each func(func() bool) error) {
		t.Helper()
		n := 0
		if err := each(func() bool { n++; return true }); err != nil || n != want {
			t.Errorf("%s: %d, want %d, %v", what, n, want, err)
		}
	}
	count("users", 4, func(yield func() bool) error {
		for _, err := range c.Users(ctx, "acme", client.UserFilter{Sort: client.SortLatestLogin}) {
			if yield(); err != nil {
				return err
			}
		}
		return nil
	})
	count("attempts", 1, func(yield func() bool) error {
		for a, err := range c.Attempts(ctx, "acme", "ann", client.AttemptFilter{States: []client.State{client.StateClosed}}) {
			if yield(); err != nil || a.Events != 3 {
				return fmt.Errorf("%+v, %w", a, err)
			}
		}
		return nil
	})
	count("events", 3, func(yield func() bool) error {
		for _, err := range c.UserEvents(ctx, "acme", "ann", client.EventFilter{Start: "2026-03-10", End: "2026-03-10", TZ: "Europe/Berlin", Order: client.Ascending}) {
			if yield(); err != nil {
				return err
			}
		}
		return nil
	})
	count("sessions", 1, func(yield func() bool) error {
		for _, err := range c.Sessions(ctx, "acme", client.SessionFilter{At: "2026-03-10T10:00"}) {
			if yield(); err != nil {
				return err
			}
		}
		return nil
	})
	h, err := c.Histogram(ctx, "acme", client.HistogramFilter{EventFilter: client.EventFilter{Start: "2026-03-10", End: "2026-03-10"}, Interval: "1d"})
	if err != nil || len(h.Buckets) != 1 || h.Buckets[0].Total != 7 {
		t.Errorf("%+v, %v", h, err)
	}
	f, err := c.Facets(ctx, "acme", client.FacetFilter{Fields: []string{"status", "ip"}})
	code, ok := f.Facets["status"][0].Value.Code()
	if err != nil || f.Total != 7 || !ok || code != 1 || f.Facets["status"][0].Name != "Active" {
		t.Errorf("%+v, %v", f, err)
	}
	st, err := c.Status(ctx)
	if err != nil || st.Versions.ClickHouse == "" {
		t.Errorf("%+v, %v", st, err)
	}
	codes, err := c.Codes(ctx)
	if err != nil || len(codes.Statuses) != 25 || len(codes.Entries) != 8 {
		t.Errorf("%+v, %v", codes, err)
	}
}

func askNames(t *testing.T, c *client.Client) {
	for _, name := range []string{"..", "a/b%2F\u202e\x00"} {
		if u, err := c.User(t.Context(), "acme", name, client.MomentFilter{}); err != nil || u.Username != name {
			t.Errorf("%q: %q, %v", name, u.Username, err)
		}
	}
	if d, err := c.Event(t.Context(), "acme", "..", 0); err != nil || d.Event.ID != ".." {
		t.Errorf("the event ..: %+v, %v", d.Event, err)
	}
	for _, name := range []string{"nobody", "\xff", "."} {
		if _, err := c.User(t.Context(), "acme", name, client.MomentFilter{}); !client.IsNotFound(err) {
			t.Errorf("%q: %v", name, err)
		}
	}
	list, err := c.EventsPage(t.Context(), "acme", client.EventFilter{Username: new("")}, client.Page{})
	if err != nil || len(list.Events) != 1 || list.Events[0].ID != "e-5" {
		t.Errorf("nobody's events: %+v, %v", list.Events, err)
	}
}

func exportAll(t *testing.T, c *client.Client) {
	for _, format := range client.Formats() {
		e := export(t, c, format)
		if text, err := io.ReadAll(e); err != nil || e.Events() != 7 || len(text) == 0 {
			t.Errorf("%s: %d events, %v", format, e.Events(), err)
		}
	}
}

package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// The tests meet the three commands as real processes: signals, exit statuses,
// kill -9.
func TestMain(m *testing.M) {
	engine.MaybeRunChild()
	testsystem.Main(m, testsystem.Programs{
		"loginaudit": func(args []string) int { return app.Execute(app.LoginauditCommand(), args) },
		"ingest":     func(args []string) int { return app.Execute(app.IngestCommand(), args) },
		"query":      func(args []string) int { return app.Execute(app.QueryCommand(), args) },
		"nats":       runNATS,
		"clickhouse": runClickHouse,
	})
}

// run runs a command to its end.
func run(t testing.TB, in, name string, args ...string) testsystem.Result {
	t.Helper()
	cmd := testsystem.Command(t, name, args...)
	cmd.Stdin = strings.NewReader(in)
	return testsystem.Run(t, cmd)
}

// command is a call of a command with settings in its environment.
func command(t testing.TB, env []string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := testsystem.Command(t, name, args...)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// system is a serve that serves.
type system struct{ *testsystem.System }

// serve starts the whole system on dir and waits until it is ready.
func serve(t testing.TB, dir string) system {
	t.Helper()
	return system{testsystem.Serve(t, "loginaudit", dir, "--engine-memory", "1GiB")}
}

// listed is one event of the API, as far as the tests look.
type listed struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Conflict bool   `json:"conflict"`
}

// events lists all events of an account, page by page.
func (s system) events(t testing.TB, account string) ([]listed, error) {
	return eventsOf(t, s.URL(), s.Token, account)
}

func eventsOf(t testing.TB, base, token, account string) ([]listed, error) {
	var all []listed
	for cursor := ""; ; {
		query := url.Values{"limit": {"1000"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		status, body, err := testsystem.Fetch(t.Context(), base+"/api/v1/accounts/"+account+"/events?"+query.Encode(), token)
		if err != nil {
			return nil, err
		}
		if status != http.StatusOK {
			return nil, fmt.Errorf("%d %s", status, body)
		}
		var page struct {
			Events     []listed `json:"events"`
			NextCursor *string  `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Events...)
		if page.NextCursor == nil {
			return all, nil
		}
		cursor = *page.NextCursor
	}
}

// has waits until an account has exactly these event ids.
func (s system) has(t testing.TB, account string, ids ...string) {
	t.Helper()
	testsystem.Until(t, "the events of "+account+" are there", func() error {
		events, err := s.events(t, account)
		if err != nil {
			return err
		}
		got := map[string]int{}
		for _, e := range events {
			got[e.ID]++
		}
		for _, id := range ids {
			if got[id] != 1 {
				return fmt.Errorf("event %s is there %d times", id, got[id])
			}
		}
		if len(events) != len(ids) {
			return fmt.Errorf("%d events, want %d", len(events), len(ids))
		}
		return nil
	})
}

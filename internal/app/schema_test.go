package app_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// asOwner connects to the ClickHouse of a serve, as who owns the schema.
func (s system) asOwner(t *testing.T) driver.Conn {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir, "clickhouse", "passwords.json"))
	if err != nil {
		t.Fatal(err)
	}
	passwords := map[engine.Role]string{}
	if err := json.Unmarshal(text, &passwords); err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{s.Addresses.ClickHouse},
		Auth: clickhouse.Auth{Database: "loginaudit", Username: "owner", Password: passwords[engine.RoleOwner]},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func execute(t *testing.T, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// usernames are those that an account's list of users has.
func (s system) usernames(t *testing.T, account string) string {
	t.Helper()
	var page struct {
		Users []struct {
			Username string `json:"username"`
		} `json:"users"`
	}
	s.Ask(t, "/api/v1/accounts/"+account+"/users", &page)
	var names []string
	for _, u := range page.Users {
		names = append(names, u.Username)
	}
	return strings.Join(names, " ")
}

// TestServeRestoresViewsThatAreMissingAtItsStart: what was inserted without them is
// in the projections afterwards.
func TestServeRestoresViewsThatAreMissingAtItsStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	now := time.Now().Add(-time.Minute)
	execute(t, s.asOwner(t), "DROP VIEW user_latest_view", "DROP VIEW accounts_view")
	nc := s.connect(t)
	publishPlain(t, nc, "login.events.acme.login", line("acme", "e1", "ann", 1, now)) // before it is noticed, or held back
	s.Until(t, "it is not ready and says why", func() error {
		return saysNotReady(t, s, "view accounts_view is missing; view user_latest_view is missing")
	})
	publishPlain(t, nc, "login.events.acme.login", line("acme", "e2", "bob", 1, now))
	nc.Close()
	s.Stop(t)

	s = serve(t, dir)
	s.has(t, "acme", "e1", "e2")
	if got := s.usernames(t, "acme"); got != "ann bob" {
		t.Errorf("the users are %q, want ann and bob", got)
	}
	if log := s.Err(); !strings.Contains(log, "restored the schema") || !strings.Contains(log, "filled table user_latest from the events") {
		t.Error("the log does not say what was restored")
	}
}

// TestServeTakesEventsAlsoWhereItCannotRestoreTheSchema: publishers need not wait
// for the operator who mends it.
func TestServeTakesEventsAlsoWhereItCannotRestoreTheSchema(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := serve(t, dir)
	execute(t, s.asOwner(t), "ALTER TABLE accounts_view MODIFY QUERY SELECT DISTINCT account FROM events WHERE account != 'acme'")
	s.Stop(t)

	p := testsystem.Start(t, testsystem.Command(t, "loginaudit", "serve", "--data-dir", dir, "--log-format", "json", "--engine-memory", "1GiB",
		"--http-addr", "127.0.0.1:0", "--nats-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"))
	said(t, p, `("cannot restore the schema")`)
	s.Process = p
	s.Until(t, "it serves", func() error {
		text, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &s.Addresses)
	})
	s.Until(t, "it is not ready and says why", func() error { return saysNotReady(t, s, "view accounts_view selects something else") })
	publishPlain(t, s.connect(t), "login.events.acme.login", line("acme", "e1", "ann", 1, time.Now()))
	execute(t, s.asOwner(t), "ALTER TABLE accounts_view MODIFY QUERY SELECT DISTINCT account FROM events")
	s.has(t, "acme", "e1")
	s.Stop(t)
}

func saysNotReady(t *testing.T, s system, says string) error {
	err := testsystem.Ready(t.Context(), s.Addresses.Admin)
	if err != nil && strings.Contains(err.Error(), "[-] schema: check tables: "+says) {
		return nil
	}
	return fmt.Errorf("it does not say %q: %w", says, cmp.Or(err, errors.New("it is ready")))
}

// TestMigrateRestoresAndRefillsAndLeavesAloneWhatIsWrong tells an operator what it
// did, and what to do where it cannot.
func TestMigrateRestoresAndRefillsAndLeavesAloneWhatIsWrong(t *testing.T) {
	s := startServers(t)
	owner := s.env(engine.RoleOwner, "")
	migrate := func(status int, wants []string, args ...string) {
		t.Helper()
		r := finish(t, owner, "loginaudit", append([]string{"migrate"}, args...)...)
		if r.Status != status {
			t.Errorf("migrate %v ended with status %d, want %d: %+v", args, r.Status, status, r)
		}
		for _, want := range wants {
			if !strings.Contains(r.Out+r.Err, want) {
				t.Errorf("migrate %v does not say %q: %+v", args, want, r)
			}
		}
	}
	migrate(0, []string{"applied 1 "})
	name, password := s.clickhouse.Credentials(engine.RoleOwner)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{s.clickhouse.Addr()}, Auth: clickhouse.Auth{Database: "loginaudit", Username: name, Password: password},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	execute(t, conn, "DROP VIEW attempts_view")
	migrate(0, []string{"made view attempts_view (", "filled table attempts from the events (", "schema version ", "\nworkers that run notice it within 10s and go on by themselves\n"})
	migrate(0, []string{"nothing to apply"})
	migrate(0, []string{"filled table attempts from the events (", "filled table events_by_user from the events ("}, "--refill")
	execute(t, conn, "ALTER TABLE accounts_view MODIFY QUERY SELECT DISTINCT account FROM events WHERE account != 'acme'")
	migrate(1, []string{"view accounts_view selects something else", "docs/operations.md"})
}

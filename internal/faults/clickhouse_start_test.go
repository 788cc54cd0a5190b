package faults_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// endsAtOnce proves that a start was in vain, and that it says why.
func endsAtOnce(t *testing.T, who string, r testsystem.Result, says string) {
	t.Helper()
	if r.Status != 1 || !strings.Contains(r.Err, `"message":"stopping"`) || !strings.Contains(r.Err, says) {
		t.Errorf("%s ended with status %d, want 1 and a log that says %q:\n%s", who, r.Status, says, r.Err)
	}
}

// TestWorkerAndQueryRefuseASchemaThatTheyDoNotKnow: a worker of another version
// could write what nobody understands, or miss a projection.
func TestWorkerAndQueryRefuseASchemaThatTheyDoNotKnow(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	s.NewPublisher().Publish(50)
	known, err := store.SchemaVersion()
	if err != nil {
		t.Fatal(err)
	}
	s.Query.Stop()
	w := s.NewWorker()
	for _, c := range []struct {
		name      string
		says      string
		make, end string
	}{
		{
			"an older one",
			fmt.Sprintf("the database has %d, this program needs %d: run `loginaudit migrate`", known-1, known),
			fmt.Sprintf("ALTER TABLE goose_db_version UPDATE is_applied = 0 WHERE version_id = %d SETTINGS mutations_sync = 2", known),
			fmt.Sprintf("ALTER TABLE goose_db_version UPDATE is_applied = 1 WHERE version_id = %d SETTINGS mutations_sync = 2", known),
		},
		{
			"a newer one",
			fmt.Sprintf("the database has %d, which another program made; this one needs %d: use that program", known+1, known),
			fmt.Sprintf("INSERT INTO goose_db_version (version_id, is_applied) VALUES (%d, 1)", known+1),
			fmt.Sprintf("ALTER TABLE goose_db_version DELETE WHERE version_id = %d SETTINGS mutations_sync = 2", known+1),
		},
	} {
		s.Step(t, c.name, func(t *testing.T) {
			s.Exec(c.make)
			defer s.Exec(c.end)
			says := "schema version differs: " + c.says
			endsAtOnce(t, "the worker", w.Fails(), says)
			endsAtOnce(t, "the query service", s.Query.Fails(), says)
			if n := count(t, s.Acknowledged); n != 0 {
				t.Errorf("%d messages are acknowledged, want none", n)
			}
		})
	}
	s.Query.Start()
	s.Query.Ready()
	w.Start()
	s.Check()
}

// TestWrongSignInEndsWorkerAndQueryWhichSayItAndNeverThePassword: waiting for a
// better answer would hide the mistake.
func TestWrongSignInEndsWorkerAndQueryWhichSayItAndNeverThePassword(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	s.NewPublisher().Publish(50)
	const password = "not-the-password"
	s.Query.Stop()
	for _, c := range []struct {
		name, setting, says string
	}{
		{"a wrong password", "LOGINAUDIT_CLICKHOUSE_PASSWORD=" + password, "clickhouse code 516: "},
		{"an unknown user", "LOGINAUDIT_CLICKHOUSE_USERNAME=nobody", "clickhouse code 516: "},
		{"an unknown database", "LOGINAUDIT_CLICKHOUSE_DATABASE=nowhere", "clickhouse code 81: "},
	} {
		s.Step(t, c.name, func(t *testing.T) {
			w := s.NewWorker()
			w.Env(c.setting)
			query := s.NewQuery()
			query.Env(c.setting)
			for who, r := range map[string]testsystem.Result{"the worker": w.Fails(), "the query service": query.Fails()} {
				endsAtOnce(t, who, r, c.says)
				if strings.Contains(r.Err+r.Out, password) {
					t.Errorf("%s tells the password", who)
				}
			}
			if n := count(t, s.Acknowledged); n != 0 {
				t.Errorf("%d messages are acknowledged, want none", n)
			}
		})
	}
	s.Query.Start()
	s.Query.Ready()
	running(s)
	s.Check()
}

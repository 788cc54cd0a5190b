package faults_test

import (
	"sync"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/faults"
)

const differences = "loginaudit_ingest_schema_differences"

// byMigrate mends what is missing as an operator does.
func byMigrate(s *faults.System) { s.MustLoginaudit("migrate") }

// wrongSchema is a schema that is not what the migrations make.
type wrongSchema struct {
	name        string
	cause, heal func(*faults.System)
	says        string
	// early has events published before the worker has noticed.
	early bool
}

func wrongSchemas() []wrongSchema {
	return []wrongSchema{
		{
			"views and a projection are missing",
			exec("DROP VIEW events_by_user_view", "DROP VIEW user_latest_view", "DROP TABLE user_latest"), byMigrate,
			"view events_by_user_view is missing; table user_latest is missing; view user_latest_view is missing: run `loginaudit migrate`", true,
		},
		{
			"a view selects something else",
			exec("ALTER TABLE event_ids_view MODIFY QUERY SELECT account, toUInt64(1) AS id_head, toUInt32(1) AS id_hash, toDateTime(occurred_at, 'UTC') AS occurred_in, toUInt64(1) AS content FROM events WHERE status = 1"),
			func(s *faults.System) {
				s.Exec("DROP VIEW event_ids_view")
				s.Exec("DROP TABLE event_ids")
				byMigrate(s)
			},
			"view event_ids_view selects something else: see docs/operations.md, ", false,
		},
		{
			"the table of a projection is missing, and no insert works",
			exec("RENAME TABLE user_latest TO elsewhere"), exec("RENAME TABLE elsewhere TO user_latest"),
			"table user_latest is missing", true,
		},
		{
			"the table of facts is missing",
			exec("DETACH TABLE events"), exec("ATTACH TABLE events"),
			"table events is missing", true,
		},
		{
			"a column is missing",
			exec("ALTER TABLE events RENAME COLUMN device_id TO gone"), exec("ALTER TABLE events RENAME COLUMN gone TO device_id"),
			"table events has no column device_id", true,
		},
	}
}

// TestWorkerInsertsNothingWhileATableOrViewIsNotWhatTheMigrationsMake: without a
// view its projection would silently stay behind, as no insert fails. The worker
// waits, says what is wrong, and goes on by itself. What it had inserted before it
// noticed is in the projections too, once they are restored.
func TestWorkerInsertsNothingWhileATableOrViewIsNotWhatTheMigrationsMake(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{AckWait: time.Second})
	w := running(s)
	for _, c := range wrongSchemas() {
		s.Step(t, c.name, func(t *testing.T) {
			s.Drain()
			heal := sync.OnceFunc(func() { c.heal(s) })
			defer heal()
			c.cause(s)
			if c.early {
				s.NewPublisher().Publish(50)
			}
			isHeldBack(t, s, w, c.says)
			heal()
			w.Ready()
			s.Check()
			if n := w.Metric(differences); n != 0 {
				t.Errorf("%s is %v, want 0", differences, n)
			}
		})
	}
}

// isHeldBack proves that the worker has noticed what is wrong with the schema, says
// so, and inserts, acknowledges and parks nothing.
func isHeldBack(t *testing.T, s *faults.System, w *faults.Worker, says string) {
	t.Helper()
	unready(t, s, w, "[-] schema: check tables: "+says)
	failed := w.Metric(retries)
	s.NewPublisher().Publish(50) // publishers do not notice
	s.Until("inserts are held back", func() error { return faults.AtLeast(w.Metric(retries), failed+1) })
	before, parked := count(t, s.Acknowledged), count(t, s.Parked)
	s.Until("and held back again", func() error { return faults.AtLeast(w.Metric(retries), failed+2) })
	unready(t, s, w, "[-] ingest: insert batch: check tables: "+says)
	if w.Metric(differences) == 0 {
		t.Errorf("%s is 0, want the number of what differs", differences)
	}
	if log := w.Process().Err(); !holds(log, "nothing is inserted until it is") || !holds(log, says) {
		t.Errorf("the log does not say %q", says)
	}
	if now := count(t, s.Acknowledged); now != before {
		t.Errorf("%d messages are acknowledged, want %d", now, before)
	}
	if now := count(t, s.Parked); now != parked {
		t.Errorf("%d messages are parked, want %d", now, parked)
	}
}

// TestWorkerThatIsStartedWithoutAViewWaitsForIt: a start does not make a wrong
// schema right.
func TestWorkerThatIsStartedWithoutAViewWaitsForIt(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	s.NewPublisher().Publish(50)
	s.Exec("DROP VIEW attempts_view")
	w := s.NewWorker()
	w.Start()
	unready(t, s, w, "[-] ingest: insert batch: check tables: view attempts_view is missing")
	if n := count(t, s.Rows); n != 0 {
		t.Errorf("%d events are stored, want none", n)
	}
	byMigrate(s)
	w.Ready()
	s.Check()
}

package faults_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/faults"
)

// exec is a part of a refusal.
func exec(statements ...string) func(*faults.System) {
	return func(s *faults.System) {
		for _, statement := range statements {
			s.Exec(statement)
		}
	}
}

// TestInsertsThatClickHouseRefusesAreTriedAgainUntilItTakesThem goes through the
// states of a server that pass: no event is at fault, so none is parked, and the
// worker waits for the end of each.
func TestInsertsThatClickHouseRefusesAreTriedAgainUntilItTakesThem(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	w := running(s)
	s.NewPublisher().Publish(50)
	for _, r := range []refusal{
		{
			"the table of facts is read-only",
			exec("ALTER TABLE events MODIFY SETTING table_readonly = 1"),
			exec("ALTER TABLE events RESET SETTING table_readonly"),
			"clickhouse code 774: Table is in readonly mode",
		},
		{
			"a projection is read-only",
			exec("ALTER TABLE user_latest MODIFY SETTING table_readonly = 1"),
			exec("ALTER TABLE user_latest RESET SETTING table_readonly"),
			"clickhouse code 774: Table is in readonly mode",
		},
		{
			"a projection has too many parts, and the batch is half written each time",
			exec("SYSTEM STOP MERGES event_ids",
				"ALTER TABLE event_ids MODIFY SETTING parts_to_delay_insert = 0, parts_to_throw_insert = 1"),
			exec("SYSTEM START MERGES event_ids",
				"ALTER TABLE event_ids RESET SETTING parts_to_delay_insert, parts_to_throw_insert"),
			"clickhouse code 252: Too many parts",
		},
		{
			"it has not enough memory for the insert, which is half written each time",
			exec("ALTER TABLE event_ids ADD CONSTRAINT large CHECK NOT ignore(randomString(300000000, id_hash))"),
			exec("ALTER TABLE event_ids DROP CONSTRAINT large"),
			"clickhouse code 241: ",
		},
		{
			"somebody has given a table a constraint",
			exec("ALTER TABLE event_ids ADD CONSTRAINT none CHECK id_hash = 0"),
			exec("ALTER TABLE event_ids DROP CONSTRAINT none"),
			"clickhouse code 469",
		},
	} {
		s.Step(t, r.name, func(t *testing.T) { isRetried(t, s, w, r) })
	}
	s.Step(t, "the table of facts has too many parts until they are merged", func(t *testing.T) {
		const parts = 3
		s.Exec("SYSTEM STOP MERGES events")
		for range parts {
			s.NewPublisher().Publish(10)
			s.Drain()
		}
		isRetried(t, s, w, refusal{
			cause: exec(fmt.Sprintf("ALTER TABLE events MODIFY SETTING parts_to_delay_insert = 0, parts_to_throw_insert = %d", parts)),
			heal:  exec("SYSTEM START MERGES events", "OPTIMIZE TABLE events FINAL"),
			says:  "clickhouse code 252: Too many parts",
		})
	})
	s.Check()
}

// TestInsertsWaitWhileTheDiskOfClickHouseIsFull fills a small file system to the
// last byte, and frees it.
func TestInsertsWaitWhileTheDiskOfClickHouseIsFull(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{ClickHouseDisk: 128 << 20})
	w := running(s)
	s.NewPublisher().Publish(50)
	isRetried(t, s, w, refusal{
		"the disk is full",
		func(s *faults.System) { s.ClickHouse.Disk.Fill(0) },
		func(s *faults.System) { s.ClickHouse.Disk.Free() },
		"clickhouse code 243: Cannot reserve 1.00 MiB, not enough space",
	})
	s.Check()
}

// TestWrongSetUpStopsTheWorkerWhichAcknowledgesAndParksNothing: no repetition
// helps, so the worker ends and says why. Started again too early it ends again,
// and started again when all is mended it goes on.
func TestWrongSetUpStopsTheWorkerWhichAcknowledgesAndParksNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{AckWait: time.Second})
	w, publisher := s.NewWorker(), s.NewPublisher()
	for _, c := range []struct {
		name        string
		cause, heal func(*faults.System)
		says        string
	}{
		{
			"a view of somebody's own writes to a table that is missing",
			exec("CREATE TABLE own (account String) ENGINE = MergeTree ORDER BY account",
				"CREATE MATERIALIZED VIEW own_view TO own AS SELECT account FROM events", "DROP TABLE own"),
			exec("DROP VIEW own_view"),
			"clickhouse code 60: Target table 'loginaudit.own' of view 'loginaudit.events' doesn't exists",
		},
		{
			"it may only read, and sees no view",
			func(*faults.System) {
				w.Stop()
				w.SignInAs(engine.RoleReader)
				w.Start()
			},
			func(*faults.System) { w.SignInAs(engine.RoleWriter) },
			"the user needs SHOW TABLES and SHOW COLUMNS on loginaudit.*",
		},
	} {
		s.Step(t, c.name, func(t *testing.T) {
			w.Start()
			publisher.Publish(50)
			s.Drain()
			before, parked := count(t, s.Acknowledged), count(t, s.Parked)
			heal := sync.OnceFunc(func() { c.heal(s) })
			defer heal()
			c.cause(s)
			publisher.Publish(50)
			for _, what := range []string{"it ends", "it ends again"} {
				if w.Process().HasEnded() {
					w.Start()
				}
				if status := w.Process().Wait(t); status != 1 {
					t.Errorf("%s with status %d, want 1", what, status)
				}
				if log := w.Process().Err(); !holds(log, `"message":"stopping"`) || !holds(log, c.says) {
					t.Errorf("%s, and its log does not say %q", what, c.says)
				}
				if now := count(t, s.Acknowledged); now != before {
					t.Errorf("%s, and %d messages are acknowledged, want %d", what, now, before)
				}
				if now := count(t, s.Parked); now != parked {
					t.Errorf("%s, and %d messages are parked, want %d", what, now, parked)
				}
			}
			heal()
			w.Start()
			w.Ready()
			s.Drain()
		})
	}
	running(s)
	s.Check()
}

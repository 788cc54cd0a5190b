package faults_test

import (
	"testing"

	"github.com/loginaudit/loginaudit/internal/faults"
)

// TestBatchForWhichClickHouseHasNotEnoughMemoryIsInsertedInPortions: the writer's
// profile bounds the memory of one insert. A projection that takes 1 MiB a row
// makes a batch too large for it, for good: nothing heals it but smaller inserts.
func TestBatchForWhichClickHouseHasNotEnoughMemoryIsInsertedInPortions(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	s.Exec("ALTER TABLE event_ids ADD CONSTRAINT large CHECK NOT ignore(randomString(1048576, id_hash))")
	w := running(s, "--ingest-batch-wait=2s")
	s.NewPublisher().Publish(1000)
	s.Drain()
	large, all := w.Metric(`loginaudit_ingest_insert_errors_total{class="too_large"}`), w.Metric("loginaudit_ingest_insert_errors_total")
	if large == 0 || all != large {
		t.Errorf("%v inserts were too large, of %v that failed; want some, and no others", large, all)
	}
	if n := w.Metric("loginaudit_ingest_redeliveries_total"); n > 0 {
		t.Errorf("%v messages were delivered again", n)
	}
	if log := w.Process().Err(); !holds(log, `"class":"too_large"`) || !holds(log, `"next_size":`) || !holds(log, "clickhouse code 241: ") {
		t.Errorf("the log does not say that inserts are made smaller")
	}
	s.Exec("ALTER TABLE event_ids DROP CONSTRAINT large")
	s.Check()
}

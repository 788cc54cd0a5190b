package faults_test

import (
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/faults"
)

// TestEngineKilledAgainAndAgainUnderLoadIsStartedAgainAndNothingIsLost kills the
// database below its parent, which starts it again; nobody else does anything.
func TestEngineKilledAgainAndAgainUnderLoadIsStartedAgainAndNothingIsLost(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	workers := []*faults.Worker{running(s), running(s)}
	load := s.NewPublisher().Load()
	for range 2 {
		load.More(150)
		failed := workers[0].Metric(retries) + workers[1].Metric(retries)
		s.ClickHouse.KillChild()
		s.Until("a worker notices", func() error {
			return faults.AtLeast(workers[0].Metric(retries)+workers[1].Metric(retries), failed+1)
		})
		s.Stored(s.Confirmed())
	}
	load.Stop()
	if n := load.Failed(); n > 0 {
		t.Errorf("%d batches were not confirmed", n)
	}
	s.Check()
	log := s.ClickHouse.Process().Err()
	for _, want := range []string{"clickhouse engine died", "clickhouse engine is back"} {
		if n := strings.Count(log, want); n != 2 {
			t.Errorf("the parent's log says %d times %q, want 2", n, want)
		}
	}
	for _, w := range workers {
		if err := w.NotReady(); err != nil {
			t.Errorf("a worker is not ready again: %v", err)
		}
	}
}

// TestEngineWhoseParentIsKilledEndsAndTheNextParentGoesOnWithItsData kills the
// parent alone: what it started must not stay behind with the directory.
func TestEngineWhoseParentIsKilledEndsAndTheNextParentGoesOnWithItsData(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	w := running(s)
	load := s.NewPublisher().Load()
	load.More(150)
	s.ClickHouse.KillParent()
	unready(t, s, w, "[-] clickhouse: ping clickhouse: unavailable")
	load.More(150)
	s.ClickHouse.Start() // waits for the lock of the engine that ends
	load.More(150)
	load.Stop()
	w.Ready()
	s.Check()
}

// TestBatchHalfWrittenWhenClickHouseIsKilledIsHealedByItsRepeat kills ClickHouse
// between the table of facts and a projection: ClickHouse has no transaction
// about both, so the repeat must make them agree.
func TestBatchHalfWrittenWhenClickHouseIsKilledIsHealedByItsRepeat(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	w := running(s)
	publisher := s.NewPublisher()
	publisher.Publish(100)
	s.Drain()
	before := count(t, s.Rows)

	slowView(s)
	publisher.Publish(50)
	grows(s, "the table of facts has the batch", s.Rows, before)
	w.Freeze() // it shall not repeat the batch before we have looked
	s.ClickHouse.Kill()
	s.ClickHouse.Start()
	facts, ids := count(t, s.Rows), count(t, func() (uint64, error) { return projected(s) })
	if facts <= before || ids != before {
		t.Errorf("%d events are stored and %d projected, want more than %d and %d: the fault did not happen", facts, ids, before, before)
	}
	healView(s)
	w.Thaw()
	s.Check()
	if w.Metric(retries) == 0 {
		t.Error("the worker did not repeat the batch")
	}
}

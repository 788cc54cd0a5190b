package faults_test

import (
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/faults"
)

// workedOff is how many messages a worker has stored or parked.
func workedOff(w *faults.Worker) float64 { return w.Metric("loginaudit_ingest_events_total") }

func TestTwoWorkersBothMakeProgressAndTheWatermarkWaitsForTheSlowerOne(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	publisher := s.NewPublisher()
	slow := running(s)
	slow.ClickHouse.Cut()
	publisher.Publish(batch)
	s.Until("one has the first messages", func() error { return faults.AtLeast(s.InHand(), 1) })
	fast := running(s)
	load := publisher.Load()
	s.Until("the other one works on", func() error { return faults.AtLeast(workedOff(fast), 2*batch) })
	mark, err := s.Watermark()
	if err != nil || mark.StreamSeq != 0 {
		t.Errorf("the watermark is %+v although the first batch is not stored, want 0: %v", mark, err)
	}
	if n := fast.Metric("loginaudit_ingest_lag_messages"); n < 2*batch {
		t.Errorf("a lag of %v messages is told, want that of the slower one too", n)
	}
	notReady(t, slow, "clickhouse", "ingest", "insert batch")
	if err := fast.NotReady(); err != nil {
		t.Errorf("the other one says: %v", err)
	}

	slow.ClickHouse.Heal()
	slow.ClickHouse.Add(faults.ToServer, faults.Latency(50*time.Millisecond, 50*time.Millisecond))
	s.Until("both work", func() error { return faults.AtLeast(workedOff(slow), 1) })
	load.More(100) // stored by both, in any order
	load.Stop()
	slow.ClickHouse.Heal()
	s.Check()
	for _, w := range []*faults.Worker{slow, fast} {
		if n := w.Metric("loginaudit_ingest_redeliveries_total"); n > 0 {
			t.Errorf("%v messages were delivered again, want none: whoever works on them says so", n)
		}
	}
}

// TestWorkerFrozenUntilItsMessagesWentToAnotherDoesNoHarmWhenItGoesOn halts a
// worker (SIGSTOP) with a batch in hand, as a machine does that stands still or
// is moved. What it does later, when the batch is stored long since, changes
// nothing.
func TestWorkerFrozenUntilItsMessagesWentToAnotherDoesNoHarmWhenItGoesOn(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	publisher := s.NewPublisher()
	s.Step(t, "before its insert", func(t *testing.T) {
		frozen := running(s, wholeBatches()...)
		frozen.ClickHouse.Cut()
		publisher.Publish(batch + 30)
		hasBatch(s)
		frozen.Freeze()
		frozen.ClickHouse.Heal()
		other := running(s)
		overtaken(s, other)
		publisher.Publish(batch) // what it could overwrite is not the latest any more
		s.Drain()
		frozen.Thaw()
		s.Until("it inserts late", func() error { return faults.AtLeast(workedOff(frozen), batch) })
	})
	s.Step(t, "between its insert and its acknowledgements", func(t *testing.T) {
		frozen := running(s, wholeBatches()...)
		inserted(t, s, publisher, func() { frozen.NATS.Add(faults.ToServer, faults.Latency(5*time.Second, 0)) })
		frozen.Freeze()
		other := running(s)
		overtaken(s, other)
		frozen.Thaw()
		s.Until("its acknowledgements arrive late", func() error { return faults.AtLeast(workedOff(frozen), batch) })
	})
	s.Step(t, "while it parks", func(t *testing.T) {
		frozen := running(s)
		before := count(t, s.Parked)
		frozen.NATS.Add(faults.ToServer, faults.Latency(time.Second, 0))
		publisher.PublishInvalid(20)
		s.Until("it has some", func() error { return faults.AtLeast(s.InHand(), 1) })
		frozen.Freeze()
		other := running(s)
		grows(s, "the other one parks them", s.Parked, before+19)
		s.Drain()
		frozen.NATS.Heal()
		frozen.Thaw()
		s.Until("it has parked them too", func() error { return faults.AtLeast(workedOff(frozen), 1) })
		if n := workedOff(other); n < 20 {
			t.Errorf("the other one parked %v messages, want 20", n)
		}
	})
	running(s)
	s.Check()
}

// overtaken waits until a worker has got what another had in hand, and all is
// worked off.
func overtaken(s *faults.System, other *faults.Worker) {
	s.Until("the batch comes to the other one", func() error {
		return faults.AtLeast(other.Metric("loginaudit_ingest_redeliveries_total"), batch)
	})
	s.Drain()
}

// TestRollingRestartOfWorkersUnderLoadDeliversNothingTwice starts the new one
// before the old one is told to stop, three times.
func TestRollingRestartOfWorkersUnderLoadDeliversNothingTwice(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	load := s.NewPublisher().Load()
	old := running(s)
	load.More(100)
	for range 3 {
		next := running(s)
		s.Until("the new one works", func() error { return faults.AtLeast(workedOff(next), 1) })
		old.Stop()
		load.More(100)
		if n := next.Metric("loginaudit_ingest_redeliveries_total"); n > 0 {
			t.Errorf("%v messages were delivered again, want none: the old one finished what it had", n)
		}
		old = next
	}
	load.Stop()
	if n := load.Failed(); n > 0 {
		t.Errorf("%d batches were not confirmed", n)
	}
	s.Check()
}

// TestWorkerNATSAndClickHouseKilledAtOnceUnderLoadLoseNothingAndDoubleNothing
// is a machine that loses power, twice.
func TestWorkerNATSAndClickHouseKilledAtOnceUnderLoadLoseNothingAndDoubleNothing(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	worker := running(s)
	load := s.NewPublisher().Load()
	for range 2 {
		load.More(200)
		failed := load.Failed()
		s.NATS.Freeze() // so that none sees another one's end
		s.ClickHouse.Freeze()
		worker.Freeze()
		worker.Kill()
		s.NATS.Kill()
		s.ClickHouse.Kill()
		s.Until("publishers are told", func() error {
			return faults.AtLeast(load.Failed(), failed+1)
		})
		s.ClickHouse.Launch()
		worker.Start() // it waits for both
		notReady(t, worker, "clickhouse")
		s.NATS.Start()
		s.ClickHouse.Await()
		worker.Ready()
	}
	load.More(200)
	load.Stop()
	s.Check()
}

package faults_test

import (
	"errors"
	"testing"

	"github.com/loginaudit/loginaudit/internal/faults"
)

func TestWorkerKilledAfterTheInsertAndBeforeTheAcknowledgementLosesNothingAndDoublesNothing(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	publisher := s.NewPublisher()
	first := s.NewWorker("--ingest-batch-messages=100", "--ingest-batch-wait=1m") // a batch is full
	first.Start()
	first.Ready()

	s.ClickHouse.Freeze() // so that the insert takes as long as we want
	publisher.Publish(200)
	s.Until("the worker has a batch in hand", func() error { return faults.AtLeast(s.InHand(), 100) })
	first.NATS.Add(faults.ToServer, faults.BlackHole()) // no acknowledgement arrives
	s.ClickHouse.Thaw()
	s.Until("the batch is stored", func() error {
		rows, err := s.Rows()
		return errors.Join(err, faults.AtLeast(rows, 1))
	})
	first.Kill()
	left := s.InHand()
	if left < 100 {
		t.Errorf("%d messages are not acknowledged, want at least the batch of 100", left)
	}

	second := s.NewWorker()
	second.Start()
	s.Check()
	if n := second.Metric("loginaudit_ingest_redeliveries_total"); n != float64(left) {
		t.Errorf("%v messages were delivered again, want %d", n, left)
	}
}

func TestClickHouseKilledUnderLoadLosesNothingAndTheLagReturnsToZero(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	for range 2 {
		s.NewWorker().Start()
	}
	load := s.NewPublisher().Load()
	s.Stored(300)

	s.ClickHouse.Kill()
	load.More(300) // publishers do not notice
	s.ClickHouse.Start()
	load.More(300)
	load.Stop()
	if n := load.Failed(); n > 0 {
		t.Errorf("%d batches were not confirmed", n)
	}
	s.Check()
}

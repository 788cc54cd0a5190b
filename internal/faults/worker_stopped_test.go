package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/faults"
)

// TestWorkerToldToStopFinishesWhatItHasInHand stops a worker in order (SIGTERM)
// at the steps of a batch's way. It ends with status 0, and what it finished
// nobody gets again: messages come again after a minute only, so that the test
// would wait for them in vain.
func TestWorkerToldToStopFinishesWhatItHasInHand(t *testing.T) {
	s := faults.Start(t, faults.Options{AckWait: time.Minute})
	publisher := s.NewPublisher()
	s.Step(t, "before the insert, it inserts and acknowledges first", func(t *testing.T) {
		w := running(s, wholeBatches()...)
		s.ClickHouse.Freeze()
		publisher.Publish(batch + 30)
		hasBatch(s)
		stopping(s, w)
		s.ClickHouse.Thaw()
		ends(t, w)
		allWorkedOff(t, s)
	})
	s.Step(t, "while it parks, it parks and acknowledges first", func(t *testing.T) {
		w := running(s)
		before := count(t, s.Parked)
		w.NATS.Add(faults.ToClient, faults.Latency(150*time.Millisecond, 0))
		publisher.PublishInvalid(20)
		grows(s, "some are parked", s.Parked, before)
		stopping(s, w)
		ends(t, w)
		allWorkedOff(t, s)
	})
	s.Step(t, "while ClickHouse is away, it gives the batch back at once", func(t *testing.T) {
		w := running(s, append(wholeBatches(), "--stop-timeout=3s")...)
		w.ClickHouse.Cut()
		publisher.Publish(batch + 30)
		hasBatch(s)
		stopping(s, w)
		ends(t, w)
		if !strings.Contains(w.Process().Err(), "it will be delivered again") {
			t.Error("it does not say that the batch is not finished")
		}
		if n := count(t, s.Rows); n >= uint64(s.Confirmed()) {
			t.Errorf("%d events are stored: the fault did not happen", n)
		}
	})
	running(s)
	s.Check()
}

// TestWorkerToldToStopWhileNATSDoesNotAnswerEndsAndLosesNothing: it cannot know
// whether its acknowledgements have arrived, and does not wait for that for ever.
func TestWorkerToldToStopWhileNATSDoesNotAnswerEndsAndLosesNothing(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	publisher := s.NewPublisher()
	w := running(s, append(wholeBatches(), "--stop-timeout=6s")...)
	inserted(t, s, publisher, func() { w.NATS.Add(faults.ToServer, faults.BlackHole()) })
	stopping(s, w)
	ends(t, w)
	left := s.InHand()
	if left < batch {
		t.Errorf("%d messages are not acknowledged, want the batch", left)
	}
	second := running(s)
	s.Check()
	if n := second.Metric("loginaudit_ingest_redeliveries_total"); n != float64(left) {
		t.Errorf("%v messages were delivered again, want %d", n, left)
	}
}

// running is a worker that is ready.
func running(s *faults.System, flags ...string) *faults.Worker {
	w := s.NewWorker(flags...)
	w.Start()
	w.Ready()
	return w
}

// stopping tells a worker to stop, and waits until it says that it does.
func stopping(s *faults.System, w *faults.Worker) {
	w.Signal(syscall.SIGTERM)
	s.Until("it stops", func() error {
		if !strings.Contains(w.Process().Err(), `"stopping"`) {
			return errors.New("it does not say so")
		}
		return nil
	})
}

func ends(t *testing.T, w *faults.Worker) {
	t.Helper()
	if status := w.Process().Wait(t); status != 0 {
		t.Errorf("it ended with status %d, want 0", status)
	}
}

// allWorkedOff fails the test unless nothing that was delivered is left, and the
// watermark says so although no worker runs.
func allWorkedOff(t *testing.T, s *faults.System) {
	t.Helper()
	info, err := s.ConsumerInfo()
	if err != nil {
		t.Fatal(err)
	}
	if info.NumAckPending > 0 || info.AckFloor.Stream != info.Delivered.Stream {
		t.Errorf("%d messages are not acknowledged, want none", info.NumAckPending)
	}
	// The query service tells a watermark again that it has read just before; nobody
	// is left who could raise it.
	s.Until("the watermark is that of the last batch", func() error {
		mark, err := s.Watermark()
		if err == nil && mark.StreamSeq != info.AckFloor.Stream {
			err = fmt.Errorf("it is %d, want %d", mark.StreamSeq, info.AckFloor.Stream)
		}
		return err
	})
}

package faults_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// batch is how many messages the workers that will be broken take at once.
const batch = 100

// wholeBatches are the flags of a worker that waits until a batch is full, so
// that a test knows what is in it.
func wholeBatches() []string {
	return []string{"--ingest-batch-messages=100", "--ingest-batch-wait=1m"}
}

// step is a moment on a batch's way.
type step struct {
	name string
	// flags are those of the worker that is brought there.
	flags []string
	// reach brings it there, and gives what to do once it is dead.
	reach func(t *testing.T, s *faults.System, w *faults.Worker, p *faults.Publisher) (heal func())
	// left is how many messages, at least, nobody has acknowledged then.
	left int
}

// TestWorkerKilledAtAnyStepLosesNothingAndDoublesNothing kills a worker with
// kill -9 at each step of a batch's way. Another one finds what it left.
func TestWorkerKilledAtAnyStepLosesNothingAndDoublesNothing(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	for _, step := range []step{
		{"after the fetch and before the insert", wholeBatches(), fetched, batch},
		{"in the insert, when part of it has arrived", wholeBatches(), halfSent, batch},
		{"in the insert, when the rows are there and their projections are not", wholeBatches(), halfWritten, batch},
		{"after part of the acknowledgements", wholeBatches(), halfAcknowledged, 1},
		{"after the acknowledgements and before the watermark is told", nil, unmarked, 0},
		{"while parking, before the messages are parked", nil, parking, 20},
		{"while parking, when they are parked and not acknowledged", nil, parkedUnanswered, 1},
	} {
		s.Step(t, step.name, func(t *testing.T) {
			publisher := s.NewPublisher()
			first := s.NewWorker(step.flags...)
			first.Start()
			first.Ready()
			heal := step.reach(t, s, first, publisher)
			first.Kill()
			left := s.InHand()
			if left < step.left || step.left == 0 && left > 0 {
				t.Fatalf("%d messages are not acknowledged, want %d at least", left, step.left)
			}
			if heal != nil {
				heal()
			}
			second := s.NewWorker()
			second.Start()
			s.Drain()
			if n := second.Metric("loginaudit_ingest_redeliveries_total"); n != float64(left) {
				t.Errorf("%v messages were delivered again, want %d", n, left)
			}
		})
	}
	s.Check()
}

// hasBatch waits until as many messages as a batch has are delivered.
func hasBatch(s *faults.System) {
	s.Until("a worker has a batch in hand", func() error { return faults.AtLeast(s.InHand(), batch) })
}

// count is a number that can be asked for.
func count(t *testing.T, ask func() (uint64, error)) uint64 {
	t.Helper()
	n, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// grows waits until a number is greater than it was.
func grows(s *faults.System, what string, ask func() (uint64, error), was uint64) {
	s.Until(what, func() error {
		n, err := ask()
		return errors.Join(err, faults.AtLeast(n, was+1))
	})
}

// notReady fails the test unless the worker says that it is not, in these words.
func notReady(t *testing.T, w *faults.Worker, words ...string) {
	t.Helper()
	err := w.NotReady()
	for _, word := range words {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("it says %v, want %q", err, word)
		}
	}
	if err := w.NotLive(); err != nil {
		t.Errorf("it asks to be started again for a fault of another: %v", err)
	}
}

func fetched(t *testing.T, s *faults.System, w *faults.Worker, p *faults.Publisher) func() {
	t.Helper()
	before := count(t, s.Rows)
	w.ClickHouse.Cut()
	p.Publish(batch + 30)
	hasBatch(s)
	s.Until("it cannot insert", func() error {
		return faults.AtLeast(w.Metric(`loginaudit_ingest_insert_errors_total{class="retry"}`), 1)
	})
	notReady(t, w, "clickhouse", "ingest", "insert batch")
	if now := count(t, s.Rows); now != before {
		t.Errorf("%d events are stored, want %d", now, before)
	}
	return nil
}

// halfSent closes each connection to ClickHouse before a batch fits through.
func halfSent(t *testing.T, s *faults.System, w *faults.Worker, p *faults.Publisher) func() {
	t.Helper()
	before := count(t, s.Rows)
	w.ClickHouse.Add(faults.ToServer, faults.CutAfter(4<<10))
	p.Publish(batch + 30)
	hasBatch(s)
	s.Until("inserts are cut off", func() error {
		return faults.AtLeast(w.Metric(`loginaudit_ingest_insert_errors_total{class="retry"}`), 2)
	})
	if now := count(t, s.Rows); now != before {
		t.Errorf("%d events are stored, want %d", now, before)
	}
	return nil
}

// halfWritten halts the insert between the table of facts and the projections,
// by one more projection that takes its time.
func halfWritten(t *testing.T, s *faults.System, _ *faults.Worker, p *faults.Publisher) func() {
	t.Helper()
	s.Exec("CREATE MATERIALIZED VIEW slow (account String, slept UInt8) ENGINE = ReplacingMergeTree ORDER BY account" +
		" AS SELECT account, sleepEachRow(0.025) AS slept FROM events")
	projected := func() (uint64, error) { return s.Count("SELECT count() FROM events_by_user FINAL") }
	for range 10 { // on a busy machine the insert may have ended before it is seen
		before := count(t, s.Rows)
		p.Publish(batch + 30)
		grows(s, "rows are there", s.Rows, before)
		if count(t, projected) == before {
			return func() { s.Exec("DROP TABLE slow SYNC") }
		}
		p.Publish(batch - 30) // so that the next batch begins with the next event
		grows(s, "the projection is there", projected, before)
	}
	t.Fatal("no insert was seen between its rows and their projections")
	return nil
}

// inserted brings a worker behind an insert, after a fault that begins before it.
func inserted(t *testing.T, s *faults.System, p *faults.Publisher, fault func()) {
	t.Helper()
	before := count(t, s.Rows)
	s.ClickHouse.Freeze() // so that the insert takes as long as we want
	p.Publish(batch + 30)
	hasBatch(s)
	fault()
	s.ClickHouse.Thaw()
	grows(s, "the batch is stored", s.Rows, before)
}

func halfAcknowledged(t *testing.T, s *faults.System, w *faults.Worker, p *faults.Publisher) func() {
	t.Helper()
	var had int
	inserted(t, s, p, func() {
		had = s.InHand()
		w.NATS.Add(faults.ToServer, faults.Bandwidth(6)) // KB a second
	})
	s.Until("some are acknowledged", func() error {
		if s.InHand() == had {
			return errors.New("none is")
		}
		return nil
	})
	w.NATS.Cut() // what is on its way does not arrive
	return nil
}

func unmarked(t *testing.T, s *faults.System, w *faults.Worker, p *faults.Publisher) func() {
	t.Helper()
	before := count(t, s.Rows)
	s.Exec("RENAME TABLE watermarks TO watermarks_away")
	p.Publish(batch)
	grows(s, "the batch is stored", s.Rows, before)
	s.Until("all is acknowledged, and the watermark cannot be told", func() error {
		info, err := s.ConsumerInfo()
		if err != nil {
			return err
		}
		return errors.Join(faults.Exactly(info.NumPending, 0), faults.Exactly(info.NumAckPending, 0),
			faults.AtLeast(w.Metric("loginaudit_ingest_watermark_failures_total"), 1))
	})
	return func() {
		s.Exec("RENAME TABLE watermarks_away TO watermarks")
		info, err := s.StreamInfo()
		mark, cause := s.Watermark()
		if err := errors.Join(err, cause); err != nil || mark.StreamSeq+batch/2 > info.State.LastSeq {
			t.Errorf("the watermark is %+v, want what was told before the batch: %v", mark, err)
		}
	}
}

// parking has LOGIN_PARKED refuse, so that the worker does not get beyond it.
func parking(t *testing.T, s *faults.System, w *faults.Worker, p *faults.Publisher) func() {
	t.Helper()
	before := count(t, s.Parked)
	s.Limit(stream.Parked, 1)
	p.PublishInvalid(20)
	s.Until("it cannot park", func() error { return faults.AtLeast(w.Metric("loginaudit_ingest_park_failures_total"), 1) })
	if now := count(t, s.Parked); now != before {
		t.Errorf("%d messages are parked, want %d", now, before)
	}
	return func() { s.EnsureStreams() }
}

// parkedUnanswered makes the word that a message is parked wait on its way.
func parkedUnanswered(t *testing.T, s *faults.System, w *faults.Worker, p *faults.Publisher) func() {
	t.Helper()
	before := count(t, s.Parked)
	w.NATS.Add(faults.ToClient, faults.Latency(2*time.Second, 0))
	p.PublishInvalid(20)
	grows(s, "some are parked", s.Parked, before)
	w.NATS.Cut()
	return nil
}

package faults_test

import (
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/faults"
)

// noWait is a time after which messages come again that no test lives to see.
const noWait = 10 * time.Minute

// TestWorkerKilledAloneLeavesItsMessagesToTheNextOneAtOnce: nobody waits for
// --stream-ack-wait, as nobody else has told lately that they work. Where two begin
// at the same time, both ask for the messages, which does no harm.
func TestWorkerKilledAloneLeavesItsMessagesToTheNextOneAtOnce(t *testing.T) {
	s := faults.Start(t, faults.Options{AckWait: noWait})
	for _, c := range []struct {
		name  string
		reach func(*testing.T, *faults.System, *faults.Worker, *faults.Publisher) func()
		next  int
		// told: the consumer need not go back farther, for what is not told yet.
		told bool
	}{
		{"before its insert, and one comes", fetched, 1, true},
		{"after part of its acknowledgements, and one comes", halfAcknowledged, 1, false},
		{"before its insert, and two come at the same time", fetched, 2, true},
	} {
		s.Step(t, c.name, func(t *testing.T) {
			publisher, first := s.NewPublisher(), s.NewWorker(wholeBatches()...)
			first.Start()
			first.Ready()
			c.reach(t, s, first, publisher)
			first.Kill()
			left := s.InHand()
			if left == 0 {
				t.Fatal("it left no message")
			}
			publisher.Publish(50)
			next := make([]*faults.Worker, c.next)
			for i := range next {
				next[i] = s.NewWorker()
				next[i].Start()
			}
			s.Drain()
			again, logs := 0.0, ""
			for _, w := range next {
				again += w.Metric("loginaudit_ingest_redeliveries_total")
				logs += w.Process().Err()
				w.Stop()
			}
			if c.told && again < float64(left) {
				t.Errorf("%v messages are counted as delivered again, want at least the %d that were left", again, left)
			}
			if c.told && !holds(logs, "messages that another worker left are delivered again at once") {
				t.Error("no log says that what was left is delivered again")
			}
		})
	}
	running(s)
	s.Check()
}

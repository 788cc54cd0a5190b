package faults_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/loginaudit/loginaudit/internal/faults"
)

const retries = `loginaudit_ingest_insert_errors_total`

// slowView lets the projection event_ids take a while for each row, so that
// there is time between the table of facts and it; healView makes it fast again.
// The view itself stays as it is: workers look at it.
func slowView(s *faults.System) {
	s.Exec("ALTER TABLE event_ids ADD CONSTRAINT slow CHECK NOT sleepEachRow(0.05)")
}

func healView(s *faults.System) { s.Exec("ALTER TABLE event_ids DROP CONSTRAINT slow") }

// projected is how many events the projection event_ids has.
func projected(s *faults.System) (uint64, error) {
	return s.Count("SELECT count() FROM event_ids FINAL")
}

// unready waits until it says that it is not ready, in these words, and asks
// nobody to start it again.
func unready(t *testing.T, s *faults.System, of interface{ NotReady() error }, words ...string) {
	t.Helper()
	s.Until(fmt.Sprintf("it is not ready and says %q", words), func() error {
		err := of.NotReady()
		for _, word := range words {
			if err == nil || !holds(err.Error(), word) {
				return fmt.Errorf("it says %q", fmt.Sprint(err))
			}
		}
		return nil
	})
	if live, ok := of.(interface{ NotLive() error }); ok && live.NotLive() != nil {
		t.Errorf("it asks to be started again for a fault of another: %v", live.NotLive())
	}
}

// holds looks for what an error says. What comes after ClickHouse's code may have
// the driver's own words before it.
func holds(text, says string) bool {
	code, rest, _ := strings.Cut(says, ": ")
	return strings.Contains(text, code) && strings.Contains(text, rest)
}

// refusal is a state of ClickHouse in which it takes no events.
type refusal struct {
	name string
	// cause begins it, and heal ends it.
	cause, heal func(s *faults.System)
	// says is in the reason why the worker is not ready.
	says string
}

// isRetried proves of a refusal that the worker tries again, keeps what it has
// in hand and acknowledges nothing, and goes on by itself when it is over.
func isRetried(t *testing.T, s *faults.System, w *faults.Worker, r refusal) {
	t.Helper()
	publisher := s.NewPublisher()
	s.Drain()
	before, failed := count(t, s.Acknowledged), w.Metric(retries)
	heal := sync.OnceFunc(func() { r.heal(s) })
	defer heal() // else nothing works for who comes next
	r.cause(s)
	publisher.Publish(50)
	s.Until("inserts are refused again and again", func() error { return faults.AtLeast(w.Metric(retries), failed+2) })
	unready(t, s, w, "[-] ingest: insert batch", r.says)
	publisher.Publish(50) // publishers do not notice
	if now := count(t, s.Acknowledged); now != before {
		t.Errorf("%d messages are acknowledged, want %d: nothing is stored", now, before)
	}
	if log := w.Process().Err(); !holds(log, "cannot insert batch, trying again") || !holds(log, r.says) {
		t.Errorf("the log does not say that an insert failed with %q", r.says)
	}
	heal()
	w.Ready()
	s.Drain()
}

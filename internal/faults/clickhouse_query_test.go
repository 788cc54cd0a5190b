package faults_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/faults"
)

// TestQueryAnswers503WhileClickHouseDoesNotAnswerAndComesBackByItself breaks
// ClickHouse under a query service that many ask at once. Each gets a problem
// that says so in time; nobody is told that the question was too heavy, the
// process does not ask to be started again, and nothing is left of it.
func TestQueryAnswers503WhileClickHouseDoesNotAnswerAndComesBackByItself(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	running(s)
	s.NewPublisher().Publish(50)
	s.Drain()
	s.Query.Stop()
	s.Query.Env("LOGINAUDIT_QUERY_TIMEOUT=2s")
	s.Query.Start()
	s.Query.Ready()
	link := s.Query.ClickHouse
	for _, c := range []struct {
		name        string
		askers      int
		cause, heal func()
	}{
		{"it refuses connections", many, link.Cut, link.Heal},
		{"it is killed", many, s.ClickHouse.Kill, s.ClickHouse.Start},
		{"it hangs", many, s.ClickHouse.Freeze, s.ClickHouse.Thaw},
		{"no answer arrives", few, func() { link.Add(faults.ToClient, faults.BlackHole()) }, link.Heal},
		{"it is very slow", few, func() { link.Add(faults.ToClient, faults.Latency(3*time.Second, 0)) }, link.Heal},
	} {
		s.Step(t, c.name, func(t *testing.T) {
			ask(t, s, few, http.StatusOK) // so that there are connections
			heal := sync.OnceFunc(c.heal)
			defer heal()
			c.cause()
			ask(t, s, c.askers, http.StatusServiceUnavailable)
			unready(t, s, s.Query, "[-] clickhouse: ping clickhouse: unavailable")
			heal()
			s.Query.Ready()
			ask(t, s, many, http.StatusOK)
		})
	}
	s.Until("nothing is left of all that", func() error {
		if n := s.Query.Metric("go_goroutines"); n > 60 {
			return fmt.Errorf("it has %v goroutines", n)
		}
		return faults.Exactly(s.Query.Metric("loginaudit_web_requests_in_flight"), 0)
	})
	s.Check()
}

// The query service has ten connections to ClickHouse: few find one that is
// open, and many wait for one.
const few, many = 5, 40

// ask asks the API several times at once, and wants one status.
func ask(t *testing.T, s *faults.System, askers, want int) {
	t.Helper()
	wrong := make([]error, askers)
	var asking sync.WaitGroup
	for i := range askers {
		asking.Go(func() {
			answer, err := s.Ask(s.AccountPath("/events"))
			wrong[i] = errors.Join(err, isStatus(answer, want))
		})
	}
	asking.Wait()
	if i := slices.IndexFunc(wrong, func(err error) bool { return err != nil }); i >= 0 {
		t.Errorf("an answer is wrong: %v", wrong[i])
	}
}

// isStatus is nil where an answer has a status, and is a problem if it is one.
func isStatus(answer faults.Answer, want int) error {
	if answer.Status != want {
		return fmt.Errorf("status %d, want %d: %.300s", answer.Status, want, answer.Body)
	}
	if want == http.StatusOK {
		return nil
	}
	var problem struct {
		Type      string `json:"type"`
		Status    int    `json:"status"`
		RequestID string `json:"request_id"`
	}
	err := json.Unmarshal([]byte(answer.Body), &problem)
	if err != nil || problem.Type != "/problems/unavailable" || problem.Status != want || problem.RequestID == "" ||
		answer.Header.Get("Content-Type") != "application/problem+json" || answer.Header.Get("Retry-After") == "" {
		return fmt.Errorf("no problem with Retry-After: %v %s: %w", answer.Header, answer.Body, err)
	}
	return nil
}

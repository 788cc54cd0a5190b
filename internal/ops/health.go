package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// checkTimeout bounds one readiness check, so that a probe always gets an
// answer.
const checkTimeout = 2 * time.Second

// Health knows what must hold for a process to be ready. Its zero value is
// ready. It is safe for concurrent use.
type Health struct {
	mu     sync.Mutex
	checks []healthCheck
}

type healthCheck struct {
	name  string
	check func(context.Context) error
}

// Add adds a condition. check returns nil when it holds, else the reason for
// an operator; it is called at every probe, at once with the others, and must
// end soon after its ctx.
func (h *Health) Add(name string, check func(context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, healthCheck{name, check})
}

// AddGate adds a condition that does not hold, for the reason given, until
// open is called.
func (h *Health) AddGate(name, reason string) (open func()) {
	closed := make(chan struct{})
	h.Add(name, func(context.Context) error {
		select {
		case <-closed:
			return nil
		default:
			return errors.New(reason)
		}
	})
	return sync.OnceFunc(func() { close(closed) })
}

// CheckResult is one condition at one moment; Err is nil when it holds.
type CheckResult struct {
	Name string
	Err  error
}

// Check asks every condition, in the order in which they were added.
func (h *Health) Check(ctx context.Context) []CheckResult {
	h.mu.Lock()
	checks := append([]healthCheck(nil), h.checks...)
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	results := make([]CheckResult, len(checks))
	var wait sync.WaitGroup
	for i, c := range checks {
		wait.Go(func() { results[i] = CheckResult{c.name, c.check(ctx)} })
	}
	wait.Wait()
	return results
}

// ServeHTTP answers 200 when every condition holds, else 503 with the reason
// of each that does not; with ?verbose, every condition.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	results := h.Check(r.Context())
	var lines strings.Builder
	code := http.StatusOK
	for _, c := range results {
		switch {
		case c.Err != nil:
			code = http.StatusServiceUnavailable
			fmt.Fprintf(&lines, "[-] %s: %s\n", c.Name, c.Err)
		case r.URL.Query().Has("verbose"):
			fmt.Fprintf(&lines, "[+] %s\n", c.Name)
		}
	}
	if code == http.StatusOK {
		fmt.Fprintln(&lines, "ready")
	} else {
		fmt.Fprintln(&lines, "not ready")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	fmt.Fprint(w, lines.String())
}

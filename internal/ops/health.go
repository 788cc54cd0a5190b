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

// checkTimeout bounds one round of checks, so that a probe always gets an
// answer.
const checkTimeout = 2 * time.Second

// Health knows what must hold for a process to have started, to be ready and to
// be alive. Its zero value is all of it. It is safe for concurrent use.
type Health struct {
	mu    sync.Mutex
	ready []*healthCheck
	gates []*healthCheck // those of ready that open once
	live  []*healthCheck
}

type healthCheck struct {
	name  string
	check func(context.Context) error

	mu  sync.Mutex
	now *checkCall // the call that is under way
}

// checkCall is a call of a check, for whoever asks meanwhile.
type checkCall struct {
	done chan struct{}
	err  error
}

// call asks the check, or joins the call that is under way: probes do not pile
// up behind one that hangs. It waits no longer than ctx and checkGrace.
func (c *healthCheck) call(ctx context.Context) error {
	c.mu.Lock()
	call := c.now
	if call == nil {
		call = &checkCall{done: make(chan struct{})}
		c.now = call
		go c.run(context.WithoutCancel(ctx), call)
	}
	c.mu.Unlock()
	bound := time.NewTimer(checkTimeout + checkGrace)
	defer bound.Stop()
	select {
	case <-call.done:
		return call.err
	case <-bound.C:
		return fmt.Errorf("does not answer within %s", checkTimeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *healthCheck) run(ctx context.Context, call *checkCall) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	call.err = c.check(ctx)
	c.mu.Lock()
	c.now = nil
	c.mu.Unlock()
	close(call.done)
}

// checkGrace is how long a check may take to notice the end of its ctx.
const checkGrace = 100 * time.Millisecond

func (h *Health) add(to *[]*healthCheck, name string, check func(context.Context) error) *healthCheck {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &healthCheck{name: name, check: check}
	*to = append(*to, c)
	return c
}

// Add adds a condition of being ready. check returns nil when it holds, else the
// reason for an operator; it is called at every probe, at once with the others,
// and should end soon after its ctx. While it does not, it is not called again.
func (h *Health) Add(name string, check func(context.Context) error) {
	h.add(&h.ready, name, check)
}

// AddLive adds a condition of being alive: one that a restart of this very
// process restores, and that no fault of another breaks.
func (h *Health) AddLive(name string, check func(context.Context) error) {
	h.add(&h.live, name, check)
}

// AddGate adds a condition of having started, and of being ready, that does not
// hold, for the reason given, until open is called.
func (h *Health) AddGate(name, reason string) (open func()) {
	closed := make(chan struct{})
	gate := h.add(&h.ready, name, func(context.Context) error {
		select {
		case <-closed:
			return nil
		default:
			return errors.New(reason)
		}
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gates = append(h.gates, gate)
	return sync.OnceFunc(func() { close(closed) })
}

// CheckResult is one condition at one moment; Err is nil when it holds.
type CheckResult struct {
	Name string
	Err  error
}

// Check asks every condition of being ready, in the order in which they were
// added.
func (h *Health) Check(ctx context.Context) []CheckResult { return h.ask(ctx, &h.ready) }

func (h *Health) ask(ctx context.Context, which *[]*healthCheck) []CheckResult {
	h.mu.Lock()
	checks := append([]*healthCheck(nil), *which...)
	h.mu.Unlock()
	results := make([]CheckResult, len(checks))
	var wait sync.WaitGroup
	for i, c := range checks {
		wait.Go(func() { results[i] = CheckResult{c.name, c.call(ctx)} })
	}
	wait.Wait()
	return results
}

// ServeHTTP answers as Ready does.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.Ready(w, r) }

// Ready answers 200 when every condition of being ready holds, else 503 with the
// reason of each that does not; with ?verbose, every condition.
func (h *Health) Ready(w http.ResponseWriter, r *http.Request) {
	answer(w, r, h.Check(r.Context()), "ready", "not ready")
}

// Live answers like Ready whether a restart of the process would not help.
func (h *Health) Live(w http.ResponseWriter, r *http.Request) {
	answer(w, r, h.ask(r.Context(), &h.live), "alive", "stuck")
}

// Started answers like Ready whether the process has come to the end of its
// start; from then on it does for ever.
func (h *Health) Started(w http.ResponseWriter, r *http.Request) {
	answer(w, r, h.ask(r.Context(), &h.gates), "started", "not started")
}

func answer(w http.ResponseWriter, r *http.Request, results []CheckResult, good, bad string) {
	var lines strings.Builder
	code := http.StatusOK
	for _, c := range results {
		switch {
		case c.Err != nil:
			code = http.StatusServiceUnavailable
			fmt.Fprintf(&lines, "[-] %s: %s\n", c.Name, strings.ReplaceAll(c.Err.Error(), "\n", "; "))
		case r.URL.Query().Has("verbose"):
			fmt.Fprintf(&lines, "[+] %s\n", c.Name)
		}
	}
	if code == http.StatusOK {
		fmt.Fprintln(&lines, good)
	} else {
		fmt.Fprintln(&lines, bad)
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	fmt.Fprint(w, lines.String())
}

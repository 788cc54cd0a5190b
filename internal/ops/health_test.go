package ops_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/ops"
)

// ask asks a path of the admin address.
func ask(t testing.TB, h *ops.Health, path string) (status int, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	ops.Admin(h, ops.NewRegistry(), zap.NewAtomicLevel()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestReadinessAndLivenessAreApart(t *testing.T) {
	var h ops.Health
	var neighbour, own error
	h.Add("clickhouse", func(context.Context) error { return neighbour })
	h.AddLive("ingest", func(context.Context) error { return own })
	for _, c := range []struct {
		neighbour, own error
		readyz, livez  int
		says           string
	}{
		{nil, nil, 200, 200, "alive"},
		{errors.New("down"), nil, 503, 200, "alive"},
		{nil, errors.New("has not moved\nfor long"), 200, 503, "[-] ingest: has not moved; for long\nstuck"},
	} {
		neighbour, own = c.neighbour, c.own
		if status, body := ask(t, &h, "/readyz"); status != c.readyz {
			t.Errorf("/readyz is %d %s, want %d", status, body, c.readyz)
		}
		if status, body := ask(t, &h, "/livez"); status != c.livez || !strings.Contains(body, c.says) {
			t.Errorf("/livez is %d %s, want %d %s", status, body, c.livez, c.says)
		}
	}
	own = nil
	if _, body := ask(t, &h, "/livez?verbose"); body != "[+] ingest\nalive\n" {
		t.Errorf("/livez?verbose says %q", body)
	}
}

func TestStartedIsSaidForEverOnceItIsTrue(t *testing.T) {
	var h ops.Health
	open := h.AddGate("start", "still starting")
	var down error
	h.Add("nats", func(context.Context) error { return down })
	if status, body := ask(t, &h, "/startupz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "still starting") {
		t.Errorf("at first: %d %s", status, body)
	}
	open()
	down = errors.New("gone")
	if status, body := ask(t, &h, "/startupz"); status != http.StatusOK || body != "started\n" {
		t.Errorf("once started: %d %s", status, body)
	}
}

// Probes come every few seconds, whatever hangs.
func TestProbesDoNotPileUpBehindACheckThatHangs(t *testing.T) {
	var h ops.Health
	var calls atomic.Int64
	release := make(chan struct{})
	h.Add("hangs", func(context.Context) error {
		calls.Add(1)
		<-release
		return nil
	})
	for range 2 {
		if status, body := ask(t, &h, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "hangs: does not answer within") {
			t.Errorf("%d %s", status, body)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("it was called %d times", n)
	}
	close(release)
	for status := 0; status != http.StatusOK; {
		status, _ = ask(t, &h, "/readyz")
	}
}

func TestProbesAtTheSameTimeShareACheck(t *testing.T) {
	var h ops.Health
	entered, release := make(chan struct{}, 10), make(chan struct{})
	h.Add("slow", func(context.Context) error {
		entered <- struct{}{}
		<-release
		return errors.New("reason")
	})
	answers := make(chan ops.CheckResult, 2)
	probe := func(ctx context.Context) { answers <- h.Check(ctx)[0] }
	gone, leave := context.WithCancel(t.Context())
	go probe(gone)
	<-entered
	go probe(t.Context())
	leave() // who came first does not wait; the other still gets its answer
	if got := <-answers; !errors.Is(got.Err, context.Canceled) {
		t.Errorf("who left got %v", got.Err)
	}
	close(release)
	if got := <-answers; got.Err == nil || got.Err.Error() != "reason" {
		t.Errorf("who stayed got %v", got.Err)
	}
}

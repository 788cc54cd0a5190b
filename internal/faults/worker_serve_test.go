package faults_test

import (
	"fmt"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// TestServeKilledUnderLoadKeepsEveryConfirmedEventOnce kills the whole process
// tree of `loginaudit serve`, three times, while an auth service publishes.
func TestServeKilledUnderLoadKeepsEveryConfirmedEventOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := testsystem.Serve(t, "loginaudit", dir, "--engine-memory=1GiB")
	at := s.Addresses.NATS
	service := newAuthService(t, at)
	for range 3 {
		service.more(t, 150)
		s.Kill(t)
		s = testsystem.Serve(t, "loginaudit", dir, "--engine-memory=1GiB", "--nats-addr", at)
	}
	service.more(t, 150)
	service.stop()
	testsystem.Until(t, "all is there once", func() error {
		times := map[string]int{}
		for _, account := range service.accounts {
			for _, id := range ids(t, s, account) {
				times[id]++
			}
		}
		return service.compare(times)
	})
}

// ids lists all events of an account.
func ids(t *testing.T, s *testsystem.System, account string) (all []string) {
	t.Helper()
	for values := (url.Values{"limit": {"1000"}}); ; {
		var page struct {
			Events []struct {
				ID string `json:"id"`
			} `json:"events"`
			NextCursor *string `json:"next_cursor"`
		}
		s.Ask(t, "/api/v1/accounts/"+account+"/events?"+values.Encode(), &page)
		for _, e := range page.Events {
			all = append(all, e.ID)
		}
		if page.NextCursor == nil {
			return all
		}
		values.Set("cursor", *page.NextCursor)
	}
}

// authService publishes events, and remembers which are confirmed.
type authService struct {
	accounts []string
	stop     func()

	mu        sync.Mutex
	sent      map[string]bool
	confirmed map[string]bool
}

func newAuthService(t *testing.T, addr string) *authService {
	t.Helper()
	source, err := emit.New(emit.Options{Accounts: 2, Users: 60, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect("nats://"+addr, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := publish.New(nc, publish.Options{BatchTimeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	a := &authService{accounts: source.Accounts(), sent: map[string]bool{}, confirmed: map[string]bool{}}
	var done sync.WaitGroup
	ending := make(chan struct{})
	a.stop = sync.OnceFunc(func() {
		close(ending)
		done.Wait()
		nc.Close()
	})
	t.Cleanup(a.stop)
	from := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	done.Go(func() {
		some := make([]publish.Message, 0, 10)
		for e := range source.Generate(from, from.AddDate(0, 6, 0)) {
			m, err := publish.NewMessage(e)
			if err != nil {
				t.Error(err)
				return
			}
			if some = append(some, m); len(some) < cap(some) {
				continue
			}
			a.publish(t, publisher, some)
			some = some[:0]
			select {
			case <-ending:
				return
			default:
			}
		}
	})
	return a
}

func (a *authService) publish(t *testing.T, publisher *publish.Publisher, some []publish.Message) {
	a.note(a.sent, some)
	results, _ := publisher.PublishMessages(t.Context(), some) // each result tells
	for i, r := range results {
		if r.Err == nil {
			a.note(a.confirmed, some[i:i+1])
		}
	}
}

func (a *authService) note(in map[string]bool, some []publish.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range some {
		if e, _, err := event.Decode(m.Body); err == nil {
			in[e.ID] = true
		}
	}
}

// more waits until so many more events are confirmed.
func (a *authService) more(t *testing.T, n int) {
	t.Helper()
	was := a.count()
	testsystem.Until(t, "more events are confirmed", func() error {
		if now := a.count(); now < was+n {
			return fmt.Errorf("%d, want %d", now, was+n)
		}
		return nil
	})
}

func (a *authService) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.confirmed)
}

// compare tells what is there and should not be, or the other way round.
func (a *authService) compare(times map[string]int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id := range a.confirmed {
		if times[id] == 0 {
			return fmt.Errorf("event %s is confirmed and not there", id)
		}
	}
	for id, n := range times {
		if !a.sent[id] || n > 1 {
			return fmt.Errorf("event %s is there %d times; sent: %t", id, n, a.sent[id])
		}
	}
	return nil
}

package app_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
	"github.com/nats-io/nats.go"
)

// TestKilledDuringAnImport kills the whole process tree, engines included, in
// the middle of an import. What was acknowledged before must be there exactly
// once after a new start, and after the import is repeated everything must.
func TestKilledDuringAnImport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	file, all := made(t)
	s := serve(t, dir)

	var mu sync.Mutex
	acknowledged := map[string]bool{}
	nc, err := nats.Connect(s.NATSURL(), nats.MaxReconnects(0))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	publisher, err := publish.New(nc, publish.Options{BatchMessages: 200})
	if err != nil {
		t.Fatal(err)
	}
	bulk := publisher.Bulk(t.Context(), func(r publish.Result) {
		mu.Lock()
		defer mu.Unlock()
		if r.Err == nil {
			acknowledged[all[r.Ref].id] = true
		}
	})
	importing := make(chan struct{})
	go func() {
		defer close(importing)
		for i, e := range all {
			m, err := publish.ParseMessage([]byte(e.body))
			m.Ref = uint64(i)
			if err != nil || bulk.Add(m) != nil {
				break // the server is gone, as it should be
			}
		}
		_ = bulk.Close() // it tells the same
	}()
	enough := func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(acknowledged) < len(all)/3 {
			return fmt.Errorf("%d acknowledged", len(acknowledged))
		}
		return nil
	}
	testsystem.Until(t, "a third is imported", enough)
	s.Kill(t)
	<-importing
	if len(acknowledged) == len(all) {
		t.Fatal("the import was over before the kill: make it longer")
	}
	t.Logf("killed when %d of %d events were acknowledged", len(acknowledged), len(all))

	s = serve(t, dir)
	testsystem.Until(t, "what was acknowledged is there", func() error {
		there, err := s.exactlyOnce(t, all)
		for id := range acknowledged {
			if !there[id] {
				return errors.Join(err, fmt.Errorf("event %s was acknowledged and is not there", id))
			}
		}
		return err
	})
	r := s.Run(t, "", "import", file, "--wait")
	if r.Status != 0 {
		t.Fatalf("%+v", r)
	}
	there, err := s.exactlyOnce(t, all)
	if err != nil || len(there) != len(all) {
		t.Fatalf("%d of %d events after the repeated import, %v", len(there), len(all), err)
	}
	s.Stop(t)
}

type madeEvent struct{ id, account, body string }

// made writes a file of made-up events.
func made(t testing.TB) (file string, all []madeEvent) {
	t.Helper()
	generator, err := emit.New(emit.Options{Accounts: 2, Users: 200, Seed: 4})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "events.ndjson")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	to := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	for e := range generator.Generate(to.AddDate(0, 0, -14), to) {
		m, err := publish.NewMessage(e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, madeEvent{e.ID, e.Account, string(m.Body)})
		fmt.Fprintf(f, "%s\n", m.Body)
	}
	return file, all
}

// exactlyOnce gives the ids that are there, and an error where one is there
// twice or in conflict.
func (s system) exactlyOnce(t testing.TB, all []madeEvent) (map[string]bool, error) {
	accounts, there := map[string]bool{}, map[string]bool{}
	for _, e := range all {
		accounts[e.account] = true
	}
	for account := range accounts {
		events, err := s.events(t, account)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if there[e.ID] || e.Conflict {
				return nil, fmt.Errorf("event %s is there twice", e.ID)
			}
			there[e.ID] = true
		}
	}
	return there, nil
}

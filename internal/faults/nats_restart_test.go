package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/publish"
)

// says is nil where why, the reason for which something is not ready, has a text.
func says(why error, text string) error {
	switch {
	case why == nil:
		return fmt.Errorf("it is ready, want %q", text)
	case !strings.Contains(why.Error(), text):
		return fmt.Errorf("it says %w, want %q", why, text)
	}
	return nil
}

// tells is nil where a worker has logged a text.
func tells(w *faults.Worker, text string) error {
	if !strings.Contains(w.Process().Err(), text) {
		return fmt.Errorf("its log does not say %s", text)
	}
	return nil
}

// NATS ends under load, by kill -9 or in order. Publishers are told while it is
// away, workers say that they are not ready, and both go on by themselves once it
// is back, with every event that was confirmed.
func TestEveryConfirmedEventSurvivesTheEndOfNATS(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	s.NATS.Stop()
	early := s.NewWorker()
	t.Run("a worker that is started before it waits for it", func(t *testing.T) {
		early.Start()
		s.Until("the worker waits for NATS", func() error { return says(early.NotReady(), "[-] nats: connection is RECONNECTING") })
		if err := early.NotLive(); err != nil {
			t.Errorf("the worker asks for another start, which would not help: %v", err)
		}
		s.NATS.Start()
		early.Ready()
	})
	workers := []*faults.Worker{early, s.NewWorker()}
	workers[1].Start()
	publisher := s.NewPublisher()
	load := publisher.Load()
	single := publisher.Messages(2)
	for _, c := range []struct {
		name string
		end  func()
	}{{"kill -9", s.NATS.Kill}, {"in order", s.NATS.Stop}} {
		t.Run(c.name, func(t *testing.T) {
			load.More(200)
			c.end()
			var failure *publish.Error
			if err := publisher.SendOne(single[0]); !errors.As(err, &failure) || !errors.Is(err, publish.ErrUnavailable) {
				t.Errorf("a publisher got %v, want %v", err, publish.ErrUnavailable)
			}
			for _, w := range workers {
				s.Until("the worker is not ready", func() error { return says(w.NotReady(), "[-] nats: connection is RECONNECTING") })
				if err := w.NotLive(); err != nil {
					t.Errorf("the worker asks for another start: %v", err)
				}
			}
			s.NATS.Start()
			load.More(200)
			for _, w := range workers {
				w.Ready()
			}
			if err := publisher.SendOne(single[1]); err != nil {
				t.Errorf("after the restart: %v", err)
			}
		})
	}
	load.Stop()
	s.Check()
	for _, w := range workers {
		if err := errors.Join(tells(w, "nats connection lost"), tells(w, "nats connection is there")); err != nil {
			t.Error(err)
		}
	}
}

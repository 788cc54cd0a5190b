package faults

import (
	"context"
	"os"
	"testing"

	"github.com/loginaudit/loginaudit/internal/stream"
)

// Step runs a part of a test as a subtest, on a system that several share: what
// is started in it ends with it, and what fails is told there.
func (s *System) Step(t *testing.T, name string, run func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		outer := s.tb
		s.tb = t
		t.Cleanup(func() { s.tb = outer }) // the last of its cleanups
		run(t)
	})
}

// Parked is how many messages LOGIN_PARKED holds.
func (s *System) Parked() (uint64, error) {
	ctx, cancel := context.WithTimeout(s.tb.Context(), askWait)
	defer cancel()
	parked, err := s.operator.Stream(ctx, stream.Parked)
	if err != nil {
		return 0, err
	}
	return parked.CachedInfo().State.Msgs, nil
}

// Limit lets a stream take no more than so many bytes, until EnsureStreams.
func (s *System) Limit(name string, bytes int64) {
	s.tb.Helper()
	s.Until("the limit of "+name+" is set", func() error {
		ctx, cancel := context.WithTimeout(s.tb.Context(), askWait)
		defer cancel()
		limited, err := s.operator.Stream(ctx, name)
		if err != nil {
			return err
		}
		config := limited.CachedInfo().Config
		config.MaxBytes = bytes
		_, err = s.operator.UpdateStream(ctx, config)
		return err
	})
}

// Signal sends a signal to its process, and does not wait for what comes of it.
func (s *service) Signal(signal os.Signal) {
	s.system.tb.Helper()
	s.process.Signal(s.system.tb, signal)
}

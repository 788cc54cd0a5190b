package ingest

import (
	"sync"
	"testing"
)

// What a parker has taken must not wait for messages that another parker took,
// or that come much later.
func TestParkersNeverWaitForMoreMessages(t *testing.T) {
	l := &Loop{invalid: make(chan refused, mostWaiting)}
	for range 2000 {
		l.invalid <- refused{}
		var mu sync.Mutex
		taken := 0
		var parking sync.WaitGroup
		for range parkers {
			parking.Go(func() {
				n := len(l.withWaiting(refused{})) - 1
				mu.Lock()
				defer mu.Unlock()
				taken += n
			})
		}
		parking.Wait()
		if taken != 1 {
			t.Fatalf("%d messages were taken, want the one that waits", taken)
		}
	}
}

package access

import (
	"crypto/sha256"
	"sync"
	"time"
)

// expiringSet holds secrets until they expire. It keeps only their hashes:
// what a look-up takes tells nothing about the secret.
type expiringSet struct {
	mu      sync.Mutex
	expires map[[sha256.Size]byte]time.Time
}

func newExpiringSet() *expiringSet {
	return &expiringSet{expires: map[[sha256.Size]byte]time.Time{}}
}

// add puts s in until the given moment, and drops what has expired.
func (e *expiringSet) add(s string, until, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for h, t := range e.expires {
		if !now.Before(t) {
			delete(e.expires, h)
		}
	}
	e.expires[sha256.Sum256([]byte(s))] = until
}

// keep drops those that expire first until at most n are left.
func (e *expiringSet) keep(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.expires) > n {
		var first [sha256.Size]byte
		var earliest time.Time
		for h, t := range e.expires {
			if earliest.IsZero() || t.Before(earliest) {
				first, earliest = h, t
			}
		}
		delete(e.expires, first)
	}
}

// has reports whether s is in the set.
func (e *expiringSet) has(s string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	until, ok := e.expires[sha256.Sum256([]byte(s))]
	return ok && now.Before(until)
}

// take is has, and takes s out.
func (e *expiringSet) take(s string, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	h := sha256.Sum256([]byte(s))
	until, ok := e.expires[h]
	delete(e.expires, h)
	return ok && now.Before(until)
}

package ingest

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// inHand is what the loop has fetched and not yet settled.
type inHand struct {
	mu       sync.Mutex
	batches  map[*batch]struct{}
	messages map[*message]struct{} // those that wait to be parked
	left     []string              // where the messages are given back that nobody finished
}

func newInHand() *inHand {
	return &inHand{batches: make(map[*batch]struct{}), messages: make(map[*message]struct{})}
}

func (h *inHand) add(m *message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages[m] = struct{}{}
}

func (h *inHand) drop(m *message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.messages, m)
}

func (h *inHand) addBatch(b *batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches[b] = struct{}{}
}

func (h *inHand) dropBatch(b *batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.batches, b)
}

// leave notes a batch that will not be finished.
func (h *inHand) leave(b *batch) {
	b.settle()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range b.replies.count() {
		h.left = append(h.left, strings.Clone(b.replies.at(i)))
	}
}

// giveBack gives back what was left, for the server to deliver it to others at
// once. Nothing may be fetched any more: it would come here again.
func (h *inHand) giveBack(nc *nats.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, reply := range h.left {
		_ = nc.Publish(reply, []byte(nak)) // else the server's AckWait does the same
	}
	h.left = nil
}

// keepAlive tells the server that what is in hand is worked on, until ctx ends,
// so that none of it is delivered to another worker meanwhile.
func (l *Loop) keepAlive(ctx context.Context) {
	for {
		wait := idleWait // nothing is in hand until there is a source
		if src := l.source.Load(); src != nil {
			wait = max(ackWait(src)/3, time.Millisecond)
		}
		if !pause(ctx, wait) {
			return
		}
		l.inHand.inProgress(l.config.JetStream.Conn())
	}
}

func (h *inHand) inProgress(nc *nats.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for b := range h.batches {
		b.inProgress(nc)
	}
	for m := range h.messages {
		if !m.settled.Load() {
			_ = m.InProgress() // without it the message comes again, which is harmless
		}
	}
}

package faults

import (
	"maps"
	"sync"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

// Invalid is a message that breaks the contract.
type Invalid struct {
	// Subject is login.events.ACCOUNT.KIND.
	Subject string
	// Body is anything.
	Body []byte
	// Seq is its sequence in LOGIN_EVENTS, once that was confirmed.
	Seq uint64
}

// confirmed is an event that the stream has confirmed to have.
type confirmed struct {
	message publish.Message
	// seq is its first place in the stream, 0 where that was not told.
	seq uint64
}

// ledger remembers what was published.
type ledger struct {
	mu sync.Mutex
	// sent are all messages that were sent, whatever became of them.
	sent      map[sentMessage]bool
	confirmed map[event.Hash]confirmed
	invalid   map[uint64]Invalid
}

// sentMessage is a message byte for byte.
type sentMessage struct{ subject, body string }

func newLedger() *ledger {
	return &ledger{
		sent: map[sentMessage]bool{}, confirmed: map[event.Hash]confirmed{}, invalid: map[uint64]Invalid{},
	}
}

// sending is called before messages are sent.
func (l *ledger) sending(messages ...publish.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range messages {
		l.sent[sentMessage{m.Subject, string(m.Body)}] = true
	}
}

// confirm is called for every message that the stream has confirmed.
func (l *ledger) confirm(m publish.Message, receipt publish.Receipt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have, again := l.confirmed[m.Hash]
	if !again {
		have.message = m
	}
	if receipt.StreamSeq > 0 && (have.seq == 0 || receipt.StreamSeq < have.seq) {
		have.seq = receipt.StreamSeq
	}
	l.confirmed[m.Hash] = have
}

// sendingInvalid is called before an invalid message is sent, confirmInvalid
// when the stream has confirmed it.
func (l *ledger) sendingInvalid(m Invalid) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent[sentMessage{m.Subject, string(m.Body)}] = true
}

func (l *ledger) confirmInvalid(m Invalid) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.invalid[m.Seq] = m
}

// wasSent tells whether anybody sent such a message.
func (l *ledger) wasSent(subject string, body []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent[sentMessage{subject, string(body)}]
}

// events are the confirmed events up to now.
func (l *ledger) events() map[event.Hash]confirmed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.confirmed)
}

// claimed are the confirmed events up to a sequence, but for some.
func (l *ledger) claimed(seq uint64, but map[event.Hash]bool) map[event.Hash]confirmed {
	l.mu.Lock()
	defer l.mu.Unlock()
	some := map[event.Hash]confirmed{}
	for hash, c := range l.confirmed {
		if c.seq > 0 && c.seq <= seq && !but[hash] {
			some[hash] = c
		}
	}
	return some
}

// invalids are the confirmed invalid messages up to now.
func (l *ledger) invalids() map[uint64]Invalid {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.invalid)
}

// count is how many distinct events are confirmed.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.confirmed)
}

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// Publisher is an auth service, with the publisher's key, behind a proxy of its
// own. What it sends and what is confirmed is remembered for Check.
type Publisher struct {
	// NATS is its connection.
	NATS *Link

	system *System
	nc     *nats.Conn
	client *publish.Publisher
}

// NewPublisher connects a publisher. Its bounds are those of package publish,
// but that a batch is given up after 3 s.
func (s *System) NewPublisher() *Publisher {
	s.tb.Helper()
	p := &Publisher{NATS: newLink(s.tb, s.proxies, s.NATS.Addr()), system: s}
	p.nc = s.connect(p.NATS.Addr(), engine.UserPublisher)
	var err error
	if p.client, err = publish.New(p.nc, publish.Options{BatchTimeout: 3 * time.Second}); err != nil {
		s.tb.Fatalf("faults: make publisher: %v", err)
	}
	return p
}

// Publish publishes so many made-up events in batches, repeats and conflicts
// among them, and fails the test unless all are confirmed.
func (p *Publisher) Publish(n int) {
	p.system.tb.Helper()
	messages, err := p.system.events.messages(n)
	if err != nil {
		p.system.tb.Fatalf("faults: %v", err)
	}
	p.must(p.Send(messages))
}

// PublishEvents is Publish for events of the test's own.
func (p *Publisher) PublishEvents(events ...event.Event) {
	p.system.tb.Helper()
	messages := make([]publish.Message, 0, len(events))
	for _, e := range events {
		m, err := publish.NewMessage(e)
		if err != nil {
			p.system.tb.Fatalf("faults: make message: %v", err)
		}
		messages = append(messages, m)
	}
	p.must(p.Send(messages))
}

func (p *Publisher) must(err error) {
	p.system.tb.Helper()
	if err != nil {
		p.system.tb.Fatalf("faults: %v", err)
	}
}

// Messages makes up so many valid messages, for Send or for a client of the
// test's own.
func (p *Publisher) Messages(n int) []publish.Message {
	p.system.tb.Helper()
	messages, err := p.system.events.messages(n)
	p.must(err)
	return messages
}

// Send publishes messages in batches and remembers those that are confirmed. The
// error is the first one's that is not. It may be called by any goroutine.
func (p *Publisher) Send(messages []publish.Message) error {
	ctx := context.WithoutCancel(p.system.tb.Context())
	p.system.ledger.sending(messages...)
	results, err := p.client.PublishMessages(ctx, messages)
	for i, r := range results {
		if r.Err == nil {
			p.system.ledger.confirm(messages[i], r.Receipt)
		}
	}
	return err
}

// SendOne publishes one message by itself, as an auth service does. It may be
// called by any goroutine.
func (p *Publisher) SendOne(m publish.Message) error {
	p.system.ledger.sending(m)
	receipt, err := p.client.PublishMessage(context.WithoutCancel(p.system.tb.Context()), m)
	if err == nil {
		p.system.ledger.confirm(m, receipt)
	}
	return err
}

// PublishInvalid publishes so many made-up messages that break the contract, in
// different ways, and fails the test unless all are confirmed.
func (p *Publisher) PublishInvalid(n int) {
	p.system.tb.Helper()
	for _, m := range p.system.events.invalid(n) {
		p.must(p.SendInvalid(m))
	}
}

// SendInvalid publishes a message that breaks the contract, with any headers,
// and remembers it where it is confirmed. It may be called by any goroutine.
func (p *Publisher) SendInvalid(m Invalid, headers ...nats.Header) error {
	p.system.ledger.sendingInvalid(m)
	msg := &nats.Msg{Subject: m.Subject, Data: m.Body}
	for _, h := range headers {
		msg.Header = h
	}
	seq, err := p.request(msg)
	if err != nil {
		return fmt.Errorf("publish invalid message: %w", err)
	}
	m.Seq = seq
	p.system.ledger.confirmInvalid(m)
	return nil
}

var errNotConfirmed = errors.New("the stream did not confirm it")

// Load is a publisher that publishes until it is stopped.
type Load struct {
	system *System
	stop   context.CancelFunc
	done   sync.WaitGroup
	failed atomic.Int64
}

const (
	// loadPause is about how long a load waits between two batches, failPause
	// after one that was not confirmed; loadBatch is the most messages in one.
	loadPause = 20 * time.Millisecond
	failPause = 100 * time.Millisecond
	loadBatch = 20
	// loadInvalid: of so many batches, one is followed by an invalid message.
	loadInvalid = 20
)

// Load publishes made-up events, alone and in small batches, and now and then an
// invalid message, until Stop or the end of the test. What is not confirmed is
// not repeated: it may be in the stream or not.
func (p *Publisher) Load() *Load { return p.LoadEvery(loadPause, 0) }

// LoadEvery is Load with another pause between two batches, on average. Loads
// of different numbers draw differently.
func (p *Publisher) LoadEvery(pause time.Duration, number uint64) *Load {
	s := p.system
	ctx, stop := context.WithCancel(s.tb.Context())
	l := &Load{system: s, stop: stop}
	rng := rand.New(rand.NewPCG(s.Seed+number, 3))
	l.done.Go(func() {
		for ctx.Err() == nil {
			wait := time.Duration(rng.Int64N(int64(2 * pause)))
			if err := p.some(rng); err != nil {
				l.failed.Add(1)
				wait = failPause
			}
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
	})
	s.tb.Cleanup(l.Stop)
	return l
}

// some publishes a small batch, and perhaps an invalid message.
func (p *Publisher) some(rng *rand.Rand) error {
	messages, err := p.system.events.messages(1 + rng.IntN(loadBatch))
	if err != nil {
		return err
	}
	if len(messages) == 1 {
		err = p.SendOne(messages[0])
	} else {
		err = p.Send(messages)
	}
	if rng.IntN(loadInvalid) == 0 {
		for _, m := range p.system.events.invalid(1) {
			err = errors.Join(err, p.SendInvalid(m))
		}
	}
	return err
}

// Stop ends the load and waits for what is on its way. Twice does no harm.
func (l *Load) Stop() {
	l.stop()
	l.done.Wait()
}

// Failed is how many batches were not confirmed.
func (l *Load) Failed() int { return int(l.failed.Load()) }

// More waits until so many more events are confirmed, by whichever publisher.
func (l *Load) More(n int) {
	l.system.tb.Helper()
	want := l.system.Confirmed() + n
	testsystem.Until(l.system.tb, fmt.Sprintf("%d more events are confirmed", n), func() error {
		return AtLeast(l.system.Confirmed(), want)
	})
}

// Confirmed is how many distinct events are confirmed up to now.
func (s *System) Confirmed() int { return s.ledger.count() }

package stream

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The most bytes of what an operator says of themselves and of their reason.
const (
	MaxBy  = 256
	MaxWhy = 1024
)

// actors is how many messages an operator deals with at the same time.
const actors = 32

// actWait bounds what is done with one message, and so the wait for what is in
// hand when somebody interrupts.
const actWait = 30 * time.Second

// Who is the operator, as notes name them.
type Who struct {
	// By is a person or a machine, user@host as a rule, at most [MaxBy] bytes.
	By string
	// NATSUser is as whom the connection is logged in, or "".
	NATSUser string
}

// Operator replays, discards and erases parked messages, and notes what it did.
// Each call may be interrupted and repeated at no harm, also by kill -9. It is
// safe for concurrent use, also by several operators at once.
type Operator struct {
	js    jetstream.JetStream
	inbox *Inbox
	who   Who
	run   string
}

// NewOperator prepares the work of one operator. It sends nothing.
func NewOperator(js jetstream.JetStream, who Who) *Operator {
	return &Operator{js: js, inbox: NewInbox(js), who: who, run: rand.Text()}
}

// Outcome is what became of one selected message.
type Outcome struct {
	Selected
	// Err is why nothing came of it, or not all, see [ErrNotParked]; nil if it
	// is done.
	Err error

	// Subject, EventSeq and Broken are of a replay: where it was, or would be,
	// published; its sequence in LOGIN_EVENTS; and the rule of the contract that
	// it still breaks, so that it will be parked again.
	Subject  string
	EventSeq uint64
	Broken   error

	// fatal tells that others will fare no better.
	fatal bool
}

// errStopped is why messages are left.
var errStopped = errors.New("stopped")

// each has act deal with every message, limit at a time, and told hear of each,
// one at a time. It stops when ctx ends or an outcome is fatal: the error then
// says how many are left. What is in hand is finished, unless the cause of ctx's
// end is that NATS does not allow it.
func each(ctx context.Context, selected []Selected, limit int, act func(context.Context, Selected) Outcome, told func(Outcome)) error {
	var mu sync.Mutex // guards told and fatal
	var fatal error
	var all sync.WaitGroup
	defer all.Wait()
	places := make(chan struct{}, limit)
	for n, s := range selected {
		select {
		case <-ctx.Done():
		case places <- struct{}{}:
		}
		mu.Lock()
		stop := fatal
		if stop == nil {
			stop = context.Cause(ctx)
		}
		mu.Unlock()
		if stop != nil {
			return fmt.Errorf("%w, %d messages are left: %w", errStopped, len(selected)-n, stop)
		}
		all.Go(func() {
			defer func() { <-places }()
			working, cancel := context.WithTimeout(context.WithoutCancel(ctx), actWait)
			defer cancel()
			watch := context.AfterFunc(ctx, func() {
				if errors.Is(context.Cause(ctx), nats.ErrPermissionViolation) {
					cancel() // no answer will come
				}
			})
			defer watch()
			outcome := act(working, s)
			mu.Lock()
			defer mu.Unlock()
			if outcome.fatal {
				fatal = outcome.Err
			}
			told(outcome)
		})
	}
	return nil
}

// note writes a note about m and its copies, and gives the first error.
func (o *Operator) note(ctx context.Context, n Note, s Selected) error {
	n.By, n.NATSUser, n.Run = o.who.By, o.who.NATSUser, o.run
	if err := n.publish(ctx, o.js); err != nil {
		return err
	}
	for _, seq := range s.Copies {
		twin, err := o.inbox.get(ctx, seq)
		if errors.Is(err, ErrNotParked) {
			continue
		}
		if err != nil {
			return fmt.Errorf("write note of the copy %d: %w", seq, err)
		}
		c := n
		c.Parked, c.ParkedAt, c.label, c.CopyOf = twin.Seq, twin.ParkedAt, twin.label, n.Parked
		if err := c.publish(ctx, o.js); err != nil {
			return err
		}
	}
	return nil
}

// Discard notes of each message that it is to stay as it is, and why. The bytes
// stay until LOGIN_PARKED lets them go. why is 1 to [MaxWhy] bytes.
func (o *Operator) Discard(ctx context.Context, selected []Selected, why string, told func(Outcome)) error {
	return each(ctx, selected, actors, func(ctx context.Context, s Selected) Outcome {
		m, err := o.inbox.get(ctx, s.Seq)
		if err == nil {
			n := noteOf(&m)
			n.Step, n.Why = StepDiscarded, why
			err = o.note(ctx, n, s)
		}
		return failed(s, err)
	}, told)
}

// failed is the outcome of err. A message that is gone says nothing of others.
func failed(s Selected, err error) Outcome {
	return Outcome{Selected: s, Err: err, fatal: err != nil && !errors.Is(err, ErrNotParked)}
}

// Erase removes each message and its copies from LOGIN_PARKED for good,
// overwriting its bytes on the disk of the server. A note keeps the hash and the
// size of the body, where the original is, and why. The original stays in
// LOGIN_EVENTS until that stream lets it go. A message that is gone is erased to
// the end where a note says that this was begun.
func (o *Operator) Erase(ctx context.Context, selected []Selected, why string, told func(Outcome)) error {
	s, err := o.js.Stream(ctx, Parked)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", Parked, err)
	}
	return each(ctx, selected, actors, func(ctx context.Context, chosen Selected) Outcome {
		for _, seq := range append([]uint64{chosen.Seq}, chosen.Copies...) {
			if err := o.erase(ctx, s, seq, why); err != nil {
				return failed(chosen, err)
			}
		}
		return Outcome{Selected: chosen}
	}, told)
}

func (o *Operator) erase(ctx context.Context, s jetstream.Stream, seq uint64, why string) error {
	m, err := o.inbox.get(ctx, seq)
	if errors.Is(err, ErrNotParked) {
		return o.finishErasure(ctx, seq, err)
	}
	if err != nil {
		return err
	}
	n := noteOf(&m)
	n.Step, n.Why = StepErasing, why
	if err := o.note(ctx, n, Selected{}); err != nil {
		return err
	}
	if err := s.SecureDeleteMsg(ctx, seq); err != nil {
		if _, there := o.inbox.get(ctx, seq); !errors.Is(there, ErrNotParked) {
			return fmt.Errorf("erase parked message %d: %w", seq, err)
		}
	}
	n.Step = StepErased
	return o.note(ctx, n, Selected{})
}

// finishErasure notes the end of an erasure that was killed before it could.
func (o *Operator) finishErasure(ctx context.Context, seq uint64, gone error) error {
	notes, err := o.inbox.Notes(ctx, seq)
	if err != nil {
		return err
	}
	if len(notes) == 0 {
		return gone
	}
	last := notes[len(notes)-1]
	switch last.Step {
	case StepErased:
		return nil
	case StepErasing:
		last.Step = StepErased
		return o.note(ctx, last, Selected{})
	default:
		return gone
	}
}

func sha256Hex(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

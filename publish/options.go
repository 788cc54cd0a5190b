package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Options sets the bounds of a [Publisher] in time and memory. The zero value
// of each field means its default.
type Options struct {
	// Stream is the name of the stream that must take the events; another one
	// that happens to listen on the subject is refused. Default LOGIN_EVENTS.
	Stream string
	// Timeout bounds one Publish with all its tries. Default 2 s. The context's
	// deadline holds too. On a disk that syncs every write an acknowledgement
	// takes a few milliseconds.
	Timeout time.Duration
	// TryTimeout bounds the wait for one answer, after which the message is sent
	// again. Default: half of Timeout.
	TryTimeout time.Duration
	// RetryPause is the first pause between two tries; pauses double up to ten
	// times as long, with jitter. Default 25 ms.
	RetryPause time.Duration

	// BatchTimeout bounds the sending of one batch with all its tries. Default 30 s.
	BatchTimeout time.Duration
	// BatchMessages is the most messages in one atomic batch: 1–1,000, which is
	// the server's limit too. Default 1,000.
	BatchMessages int
	// BatchBytes is the most bytes in one batch; one message may exceed it.
	// Default 4 MiB.
	BatchBytes int
	// BatchesInFlight is how many batches a [Bulk] sends at the same time, so it
	// holds at most BatchesInFlight+1 batches in memory. The server takes 50 a
	// stream from all publishers together. Default 4.
	BatchesInFlight int
	// Window is how many single messages of a batch are in flight where atomic
	// batches do not serve. Default 256.
	Window int
	// Linger is how long a [Bulk] waits for a batch to fill. Default 200 ms.
	Linger time.Duration
}

// errOutOfTime is the cause of a context that ended by a bound of Options.
var errOutOfTime = errors.New("the publisher's own timeout is over")

const maxBatchMessages = 1000

func (o Options) withDefaults() Options {
	set(&o.Stream, "LOGIN_EVENTS")
	set(&o.Timeout, 2*time.Second)
	set(&o.TryTimeout, o.Timeout/2)
	set(&o.RetryPause, 25*time.Millisecond)
	set(&o.BatchTimeout, 30*time.Second)
	set(&o.BatchMessages, maxBatchMessages)
	set(&o.BatchBytes, 4<<20)
	set(&o.BatchesInFlight, 4)
	set(&o.Window, 256)
	set(&o.Linger, 200*time.Millisecond)
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) validate() error {
	durations := []struct {
		name  string
		value time.Duration
	}{
		{"Timeout", o.Timeout},
		{"TryTimeout", o.TryTimeout},
		{"RetryPause", o.RetryPause},
		{"BatchTimeout", o.BatchTimeout},
		{"Linger", o.Linger},
	}
	for _, d := range durations {
		if d.value < 0 {
			return fmt.Errorf("option %s is %s, it must be positive", d.name, d.value)
		}
	}
	if o.BatchMessages < 1 || o.BatchMessages > maxBatchMessages {
		return fmt.Errorf("option BatchMessages is %d, it must be 1 to %d", o.BatchMessages, maxBatchMessages)
	}
	if o.BatchBytes < 1 {
		return fmt.Errorf("option BatchBytes is %d, it must be positive", o.BatchBytes)
	}
	if o.BatchesInFlight < 1 || o.BatchesInFlight > 50 {
		return fmt.Errorf("option BatchesInFlight is %d, it must be 1 to 50", o.BatchesInFlight)
	}
	if o.Window < 1 {
		return fmt.Errorf("option Window is %d, it must be positive", o.Window)
	}
	return nil
}

// backoff gives growing pauses with jitter, so that many publishers that failed
// together do not come back together.
type backoff struct {
	base time.Duration
	next time.Duration
}

// leastTry is the least time in which an answer can be expected.
const leastTry = 25 * time.Millisecond

// wait pauses; it reports false when ctx ends first, or would end right after.
func (b *backoff) wait(ctx context.Context) bool {
	if b.next == 0 {
		b.next = b.base
	}
	pause := b.next/2 + rand.N(b.next+1)
	b.next = min(2*b.next, 10*b.base)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	if end, ok := ctx.Deadline(); ok && time.Until(end) < pause+leastTry {
		timer.Stop() // what is left is no time for another try
	}
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

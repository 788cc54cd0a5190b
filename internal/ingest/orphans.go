package ingest

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// orphans are messages that were delivered before the loop began, and that nobody
// has settled: those of a worker that died, perhaps. The server delivers them again
// after AckWait; where nobody works on them any more they are asked for at once.
//
// Who died is not known, only who has told something lately. So the loop waits
// until all are silent who were not at its beginning. Who began later holds none of
// these messages. Nothing depends on the answer being right: a message that
// somebody has in hand is delivered twice, and changes no answer.
type orphans struct {
	begun bool
	// wanted is true until there is nothing more to be done about them.
	wanted bool
	// consumer is when theirs was created, upTo the last sequence that was delivered.
	consumer time.Time
	upTo     uint64
	// until is when the server has delivered by itself what nobody works on.
	until time.Time
	// asked is set with others: who else was there when it was first known.
	asked  bool
	others []string
	// again is the sequence up to which messages that come are not new, although the
	// server counts their deliveries anew. It is read by the goroutine that fetches.
	again atomic.Uint64
}

// begin notes what the first open consumer has delivered, before the loop takes
// anything from it.
func (o *orphans) begin(info *jetstream.ConsumerInfo, now time.Time, wait time.Duration) {
	if o.begun { // what was delivered since then, this loop may hold
		o.again.Store(0)
		return
	}
	o.begun, o.wanted = true, info.NumAckPending > 0
	o.consumer, o.upTo, o.until = info.Created, info.Delivered.Stream, now.Add(wait)
}

// left tells whether it is time to have them delivered again.
func (o *orphans) left(k Known, v verdict, s *sight, now time.Time) bool {
	if !o.wanted {
		return false
	}
	switch {
	case v.backTo > 0, // set back, it delivers them anyway
		!s.consumer.Created.Equal(o.consumer), s.consumer.NumAckPending == 0, s.floor() >= o.upTo, now.After(o.until):
		o.wanted = false
		return false
	}
	if !o.asked {
		o.asked, o.others = true, k.Others
	}
	for _, name := range o.others {
		if slices.Contains(k.Others, name) {
			return false
		}
	}
	// What is known must reach the floor, or the consumer may have to go back
	// farther.
	return v.mark.Seq >= s.floor()
}

// takeOver has the consumer deliver again what it has delivered and nobody has
// settled, where that was a worker that is gone. It begins at the floor, which is
// known: so the watermark stays as it is and needs no new proof. Where it does not
// work the server's AckWait does the same.
func (w *watch) takeOver(ctx context.Context, c *Config, k Known, v verdict, s *sight) {
	now := time.Now()
	if !w.orphans.left(k, v, s, now) {
		return
	}
	w.orphans.wanted = false
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	log := c.Logger.With(zap.Uint64("stream_seq", s.floor()+1), zap.Int("messages", s.consumer.NumAckPending))
	// Before: they may come sooner than the answer.
	w.orphans.again.Store(s.consumer.Delivered.Stream)
	answer, err := c.JetStream.ResetConsumerToSequence(ctx, s.consumer.Stream, s.consumer.Name, s.floor()+1)
	if err != nil {
		log.Warn("cannot have messages delivered again at once that another worker left; they come after the consumer's ack wait", zap.Error(err))
		return
	}
	w.completeness.setBack(answer.ConsumerInfo, v.mark.Generation, now)
	log.Info("messages that another worker left are delivered again at once")
}

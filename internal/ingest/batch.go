package ingest

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/loginaudit/loginaudit/event"
)

// ReasonRowRefused is the reason of a valid message whose row the store refuses
// while it takes the others.
const ReasonRowRefused event.Reason = "row_refused"

// row is a decoded message.
type row struct {
	message *message
	event   event.Stored
}

// refused is a message that must be parked, and why.
type refused struct {
	message *message
	reason  error
}

// errUnfinished: the time for finishing the batch is over. It is not
// acknowledged and will be delivered again.
var errUnfinished = errors.New("the batch in hand could not be finished in time")

// parkers is how many messages are parked at the same time.
const parkers = 16

// ackTimeout bounds the wait for the server's word on acknowledgements.
const ackTimeout = 3 * time.Second

// process works through one batch: decode, insert, acknowledge, park. Messages
// that are invalid wait until the valid ones are stored, so that a flood of them
// costs the others nothing. An error means that Run must end.
func (l *Loop) process(work context.Context, messages []*message, ackWait time.Duration) error {
	started := time.Now()
	release := l.keepAlive(messages, ackWait)
	defer release()
	l.observe(messages)

	rows, invalid := decode(messages)
	bad, err := l.insert(work, rows)
	if errors.Is(err, errUnfinished) {
		l.log.Warn("batch is not finished at the stop; it will be delivered again", zap.Int("batch_size", len(messages)))
		for _, m := range messages {
			_ = m.Nak() // else the server's AckWait does the same
		}
		return nil
	}
	if err != nil {
		l.setTrouble(err)
		return err
	}
	stored := make([]*message, 0, len(rows))
	for _, r := range rows {
		if _, isBad := bad[r.message]; !isBad {
			stored = append(stored, r.message)
		}
	}
	l.acknowledge(work, stored)
	for m, reason := range bad {
		invalid = append(invalid, refused{m, reason})
	}
	parked := l.park(work, invalid)
	l.acknowledge(work, parked)
	l.metrics.events.WithLabelValues(resultStored).Add(float64(len(stored)))
	l.metrics.events.WithLabelValues(resultParked).Add(float64(len(parked)))
	l.log.Debug("batch is stored",
		zap.Int("batch_size", len(messages)),
		zap.Int("parked", len(parked)),
		zap.Uint64("stream_seq", messages[len(messages)-1].meta.Sequence.Stream),
		zap.Duration("elapsed", time.Since(started)))
	select {
	case l.progress <- struct{}{}:
	default: // it is told already
	}
	return nil
}

func (l *Loop) observe(messages []*message) {
	bytes := 0
	for _, m := range messages {
		bytes += len(m.msg.Data)
		if m.meta.NumDelivered > 1 {
			l.metrics.redeliveries.Inc()
		}
	}
	l.metrics.batchMessages.Observe(float64(len(messages)))
	l.metrics.batchBytes.Observe(float64(bytes))
}

// decode checks each message alone.
func decode(messages []*message) (rows []row, invalid []refused) {
	rows = make([]row, 0, len(messages))
	for _, m := range messages {
		stored, err := decodeOne(m)
		if err != nil {
			invalid = append(invalid, refused{m, err})
			continue
		}
		rows = append(rows, row{m, stored})
	}
	return rows, invalid
}

func decodeOne(m *message) (event.Stored, error) {
	e, hash, err := event.Decode(m.msg.Data)
	if err != nil {
		return event.Stored{}, err
	}
	if err := e.CheckSubject(m.msg.Subject); err != nil {
		return event.Stored{}, err
	}
	received := m.meta.Timestamp.UTC()
	if err := e.CheckReceived(received); err != nil {
		return event.Stored{}, err
	}
	return event.Stored{
		Event: e, Hash: hash, Raw: m.msg.Data,
		ReceivedAt: received, StreamSeq: m.meta.Sequence.Stream,
	}, nil
}

// keepAlive tells the server that the messages are worked on, until release is
// called, so that none is delivered to another worker meanwhile.
func (l *Loop) keepAlive(messages []*message, ackWait time.Duration) (release func()) {
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() {
		ticker := time.NewTicker(max(ackWait/3, time.Millisecond))
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			for _, m := range messages {
				if !m.settled.Load() {
					_ = m.InProgress() // without it the message comes again, which is harmless
				}
			}
		}
	})
	return func() {
		close(done)
		beating.Wait()
	}
}

// park parks messages and gives those for which it is confirmed. The others are
// given back for a later time.
func (l *Loop) park(work context.Context, invalid []refused) []*message {
	var mu sync.Mutex
	parked := make([]*message, 0, len(invalid))
	var group errgroup.Group
	group.SetLimit(parkers)
	for _, r := range invalid {
		group.Go(func() error {
			if l.parkOne(work, r) {
				mu.Lock()
				defer mu.Unlock()
				parked = append(parked, r.message)
			}
			return nil
		})
	}
	_ = group.Wait() // failures are told by parkOne
	return parked
}

func (l *Loop) parkOne(work context.Context, r refused) bool {
	code := reasonLabel(r.reason)
	seq := zap.Uint64("stream_seq", r.message.meta.Sequence.Stream)
	ctx, cancel := context.WithTimeout(work, l.config.InsertTimeout)
	defer cancel()
	if err := l.config.Park(ctx, r.message, r.reason); err != nil {
		l.metrics.parkFailures.Inc()
		l.log.Error("cannot park message; it stays unacknowledged", seq, zap.String("reason", code), zap.Error(err))
		_ = r.message.NakWithDelay(l.config.ParkAgainAfter) // else the server's AckWait does the same
		return false
	}
	l.metrics.parked.WithLabelValues(code).Inc()
	l.log.Warn("message is parked", seq, zap.String("reason", code))
	return true
}

// acknowledge acknowledges messages and waits for the server's word on the last
// of them, which comes after it has taken the others. What gets lost is
// delivered and inserted again.
func (l *Loop) acknowledge(work context.Context, messages []*message) {
	if len(messages) == 0 {
		return
	}
	last := len(messages) - 1
	for _, m := range messages[:last] {
		if err := m.Ack(); err != nil {
			l.metrics.ackFailures.Inc()
		}
	}
	ctx, cancel := context.WithTimeout(work, ackTimeout)
	defer cancel()
	if err := messages[last].DoubleAck(ctx); err != nil {
		l.metrics.ackFailures.Inc()
		l.log.Warn("no word on acknowledgements; the batch may be delivered again",
			zap.Int("batch_size", len(messages)), zap.Error(err))
	}
}

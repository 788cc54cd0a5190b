package ingest

import (
	"context"
	"errors"
	"sync"
	"time"
	"unsafe"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/event"
)

// batch is what one insert takes, from its first message until it is
// acknowledged. It is used again and again: an event costs it no allocation.
type batch struct {
	block Block // nil once it is stored
	// source is where the messages are from.
	source *source
	// replies are where each row's message is acknowledged, seqs its sequence.
	replies subjects
	seqs    []uint64
	// refused are the rows that the store refused, and why.
	refused map[int]error

	bytes    int       // of the messages, as the server counts them
	began    time.Time // when the first message came
	ready    time.Time // when it would be handed over, if somebody took it
	received time.Time // when the stream took the oldest message

	mu      sync.Mutex // guards settled, and the growth of replies
	settled bool       // its messages need no more InProgress
}

// subjects are many subjects in one piece of memory: to the garbage collector
// they are nothing, where as many strings would be most of its work.
type subjects struct {
	text []byte
	ends []uint32
}

func (s *subjects) add(subject string) {
	s.text = append(s.text, subject...)
	s.ends = append(s.ends, uint32(len(s.text)))
}

func (s *subjects) count() int { return len(s.ends) }

// at is the i-th subject, from 0. It is valid until reset.
func (s *subjects) at(i int) string {
	start := uint32(0)
	if i > 0 {
		start = s.ends[i-1]
	}
	subject := s.text[start:s.ends[i]]
	return unsafe.String(&subject[0], len(subject)) // no subject is empty, and what was added does not change
}

func (s *subjects) reset() { s.text, s.ends = s.text[:0], s.ends[:0] }

// reset empties the batch for other messages.
func (b *batch) reset() {
	b.seqs, b.bytes, b.refused = b.seqs[:0], 0, nil
	b.began, b.ready, b.received = time.Time{}, time.Time{}, time.Time{}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replies.reset()
	b.settled = false
}

func (b *batch) rows() int { return len(b.seqs) }

// add adds an event and where its message is acknowledged.
func (b *batch) add(e *event.Stored, m *delivery) {
	if b.rows() == 0 {
		b.began, b.received = time.Now(), e.ReceivedAt
	}
	if e.ReceivedAt.Before(b.received) {
		b.received = e.ReceivedAt
	}
	b.block.Add(e)
	b.seqs = append(b.seqs, m.seq)
	b.mu.Lock()
	b.replies.add(m.msg.Reply)
	b.mu.Unlock()
	b.bytes += m.msg.Size()
}

// inProgress tells the server that the messages are worked on.
func (b *batch) inProgress(nc *nats.Conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.settled {
		return
	}
	for row := range b.replies.count() {
		_ = nc.Publish(b.replies.at(row), []byte(inProgress)) // without it the message comes again, which is harmless
	}
}

// settle says that nothing but a last word on its messages follows.
func (b *batch) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settled = true
}

// errUnfinished: the time for finishing the batch is over. It is not
// acknowledged and will be delivered again.
var errUnfinished = errors.New("the batch in hand could not be finished in time")

// ackTimeout bounds the wait for the server's word on acknowledgements.
const ackTimeout = 3 * time.Second

// process stores one batch; it reports false when it could not be finished in
// time. An error means that Run must end.
func (l *Loop) process(work context.Context, b *batch) (bool, error) {
	started := time.Now()
	l.observe(b, started)
	refused, err := l.insert(work, b)
	b.refused = refused
	inserted := time.Now()
	switch {
	case errors.Is(err, errUnfinished):
		l.log.Warn("batch is not finished at the stop; it will be delivered again", zap.Int("batch_size", b.rows()))
		l.inHand.leave(b)
		return false, nil
	case err != nil:
		l.inserting.is(err)
		return false, err
	}
	l.metrics.batchStage(stageInsert, inserted.Sub(started))
	l.metrics.committed(b.received, inserted)
	for row, reason := range refused {
		l.parkRow(work, b, row, reason)
	}
	l.metrics.events.WithLabelValues(resultStored).Add(float64(b.rows() - len(refused)))
	l.log.Debug("batch is stored",
		zap.Int("batch_size", b.rows()),
		zap.Int("refused", len(refused)),
		zap.Uint64("stream_seq", b.seqs[b.rows()-1]),
		zap.Duration("elapsed", time.Since(started)))
	return true, nil
}

// progressed has the watermark told soon.
func (l *Loop) progressed() {
	select {
	case l.progress <- struct{}{}:
	default: // it is told already
	}
}

func (l *Loop) observe(b *batch, taken time.Time) {
	l.metrics.batchStage(stageFill, b.ready.Sub(b.began))
	l.metrics.batchStage(stageWait, taken.Sub(b.ready))
	l.metrics.batchMessages.Observe(float64(b.rows()))
	l.metrics.batchBytes.Observe(float64(b.bytes))
}

// acknowledge acknowledges the messages of the rows that are stored, and waits
// for the server's word on the last of them, which comes after it has taken the
// others. What gets lost is delivered and inserted again.
func (l *Loop) acknowledge(work context.Context, b *batch) {
	if !l.mayAcknowledge(work, b) {
		b.settle()
		return
	}
	b.settle()
	last := b.rows() - 1
	for last >= 0 && b.refused[last] != nil {
		last--
	}
	if last < 0 {
		return
	}
	nc := l.config.JetStream.Conn()
	for row := range last {
		if b.refused[row] != nil {
			continue
		}
		if err := nc.Publish(b.replies.at(row), []byte(ack)); err != nil {
			l.metrics.ackFailures.Inc()
		}
	}
	ctx, cancel := context.WithTimeout(work, ackTimeout)
	defer cancel()
	if _, err := nc.RequestWithContext(ctx, b.replies.at(last), []byte(ack)); err != nil {
		l.metrics.ackFailures.Inc()
		l.log.Warn("no word on acknowledgements; the batch may be delivered again",
			zap.Int("batch_size", b.rows()), zap.Error(err))
	}
}

// mayAcknowledge waits until it is known whether the batch's messages are still
// the stream's. While the server does not answer, the batch stays in hand. It
// reports false where the stream was made again, or where there is no time left to
// know.
func (l *Loop) mayAcknowledge(work context.Context, b *batch) bool {
	back := l.backoff()
	for {
		lives, err := l.lives(work, b.source)
		if err == nil {
			return lives
		}
		l.metrics.ackFailures.Inc()
		l.log.Warn("cannot acknowledge a batch that is stored, trying again",
			zap.Int("batch_size", b.rows()), zap.Error(err))
		if !pause(work, back.next()) {
			return false
		}
	}
}

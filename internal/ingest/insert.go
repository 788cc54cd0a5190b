package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/event"
)

// ErrEveryRowRefused: the store refuses every row of a batch, so that no row can
// be at fault. Run returns it, and nothing is parked.
var ErrEveryRowRefused = errors.New("the store refuses every row of the batch")

// enoughRefused is how many rows must be refused, and none taken, until the
// halving of a batch is given up: it is not the rows.
const enoughRefused = 8

// insert stores rows. It gives those that the store refuses alone, with the
// reason, once all others are stored. An error is errUnfinished, or one that Run
// must return; then nothing may be acknowledged.
func (l *Loop) insert(work context.Context, rows []row) (map[*message]error, error) {
	if len(rows) == 0 {
		return nil, nil //nolint:nilnil // nothing to insert, nothing refused
	}
	events := make([]event.Stored, len(rows))
	for i, r := range rows {
		events[i] = r.event
	}
	s := splitter{insert: func(part []event.Stored) error { return l.insertSurely(work, part) }}
	if err := s.split(events, 0); err != nil {
		return nil, err
	}
	if len(s.refused) == 0 {
		l.inserted = true
		return nil, nil //nolint:nilnil // all are stored, nothing refused
	}
	if err := s.verdict(len(rows), l.inserted); err != nil {
		return nil, err
	}
	l.inserted = l.inserted || s.taken > 0
	bad := make(map[*message]error, len(s.refused))
	for i, cause := range s.refused {
		bad[rows[i].message] = &event.Error{
			Reason: ReasonRowRefused,
			Detail: "is valid, but the store refuses its row: " + cause.Error(),
		}
	}
	return bad, nil
}

// splitError is an error of class Split.
type splitError struct{ cause error }

func (e *splitError) Error() string { return e.cause.Error() }
func (e *splitError) Unwrap() error { return e.cause }

// splitter halves a batch until it knows the rows that the store refuses.
type splitter struct {
	insert  func([]event.Stored) error
	refused map[int]error // by place in the batch
	taken   int           // rows that were stored
}

// split inserts part, whose first row has the place first in the batch.
func (s *splitter) split(part []event.Stored, first int) error {
	err := s.insert(part)
	var refusal *splitError
	switch {
	case err == nil:
		s.taken += len(part)
		return nil
	case !errors.As(err, &refusal):
		return err
	case len(part) == 1:
		if s.refused == nil {
			s.refused = make(map[int]error)
		}
		s.refused[first] = refusal.cause
		if s.taken == 0 && len(s.refused) >= enoughRefused {
			return everyRow(refusal.cause)
		}
		return nil
	}
	middle := len(part) / 2
	if err := s.split(part[:middle], first); err != nil {
		return err
	}
	return s.split(part[middle:], first+middle)
}

// verdict tells whether the refused rows are at fault. Where all of a batch are
// refused, they are not. A batch of one tells nothing by itself: it counts as the
// row's fault only where the store has taken others before.
func (s *splitter) verdict(rows int, insertedBefore bool) error {
	if s.taken > 0 || (rows == 1 && insertedBefore) {
		return nil
	}
	for _, cause := range s.refused {
		return everyRow(cause)
	}
	return nil
}

func everyRow(cause error) error {
	return fmt.Errorf("insert batch: %w: %w", ErrEveryRowRefused, cause)
}

// insertSurely inserts events until the store has them. It gives a *splitError,
// errUnfinished when work ends first, or the error of class Stop.
func (l *Loop) insertSurely(work context.Context, events []event.Stored) error {
	back := l.backoff()
	for try := 1; ; try++ {
		err := l.insertOnce(work, events)
		if err == nil {
			l.setTrouble(nil)
			return nil
		}
		if work.Err() != nil {
			return errUnfinished
		}
		class := l.classify(err)
		l.metrics.retries.WithLabelValues(class.String()).Inc()
		switch class {
		case Split:
			return &splitError{err}
		case Stop:
			return fmt.Errorf("insert batch: %w", err)
		case Retry, Unknown:
		}
		l.setTrouble(fmt.Errorf("insert batch: %w", err))
		l.log.Warn("cannot insert batch, trying again",
			zap.Stringer("class", class), zap.Int("try", try), zap.Int("batch_size", len(events)), zap.Error(err))
		if !pause(work, back.next()) {
			return errUnfinished
		}
	}
}

// classify asks the table of errors. A timeout of ours tells nothing about the
// rows: they may be stored.
func (l *Loop) classify(err error) Class {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Retry
	}
	return l.config.Classify(err)
}

func (l *Loop) insertOnce(work context.Context, events []event.Stored) error {
	ctx, cancel := context.WithTimeout(work, l.config.InsertTimeout)
	defer cancel()
	started := time.Now()
	err := l.config.Sink.Insert(ctx, events)
	result := resultStored
	if err != nil {
		result = resultFailed
	}
	l.metrics.insertSeconds.WithLabelValues(result).Observe(time.Since(started).Seconds())
	return err
}

package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// ErrEveryRowRefused: the store refuses every row of a batch, so that no row can
// be at fault. Run returns it, and nothing is parked.
var ErrEveryRowRefused = errors.New("the store refuses every row of the batch")

// enoughRefused is how many rows must be refused, and none taken, until the
// halving of a batch is given up: it is not the rows.
const enoughRefused = 8

// insert stores the rows of a batch. It gives those that the store refuses
// alone, with the reason, once all others are stored. An error is errUnfinished,
// or one that Run must return; then nothing may be acknowledged.
func (l *Loop) insert(work context.Context, b *batch) (map[int]error, error) {
	s := splitter{insert: func(from, to int) error { return l.insertSurely(work, b, from, to) }}
	if err := s.split(0, b.rows()); err != nil {
		return nil, err
	}
	if len(s.refused) == 0 {
		l.inserted.Store(true)
		return nil, nil //nolint:nilnil // all are stored, nothing refused
	}
	if err := s.verdict(b.rows(), l.inserted.Load()); err != nil {
		return nil, err
	}
	if s.taken > 0 {
		l.inserted.Store(true)
	}
	return s.refused, nil
}

// splitError is an error of class Split.
type splitError struct{ cause error }

func (e *splitError) Error() string { return e.cause.Error() }
func (e *splitError) Unwrap() error { return e.cause }

// splitter halves a batch until it knows the rows that the store refuses.
type splitter struct {
	insert  func(from, to int) error
	refused map[int]error // by place in the batch
	taken   int           // rows that were stored
}

// split inserts the rows [from, to).
func (s *splitter) split(from, to int) error {
	err := s.insert(from, to)
	var refusal *splitError
	switch {
	case err == nil:
		s.taken += to - from
		return nil
	case !errors.As(err, &refusal):
		return err
	case to-from == 1:
		if s.refused == nil {
			s.refused = make(map[int]error)
		}
		s.refused[from] = refusal.cause
		if s.taken == 0 && len(s.refused) >= enoughRefused {
			return everyRow(refusal.cause)
		}
		return nil
	}
	middle := from + (to-from)/2
	if err := s.split(from, middle); err != nil {
		return err
	}
	return s.split(middle, to)
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

// insertSurely inserts rows until the store has them, in portions of as many as it
// takes at once. It gives a *splitError, errUnfinished when work ends first, or the
// error of class Stop.
func (l *Loop) insertSurely(work context.Context, b *batch, from, to int) error {
	for from < to {
		end, err := l.insertPortion(work, b, from, to)
		if err != nil {
			return err
		}
		from = end
	}
	return nil
}

// insertPortion inserts rows from the first on until the store has them, and tells
// up to which.
func (l *Loop) insertPortion(work context.Context, b *batch, from, to int) (end int, err error) {
	back, late := l.backoff(), 0
	for try := 1; ; try++ {
		end := l.portion.end(from, to)
		err := l.insertOnce(work, b, from, end)
		l.config.watch.beat()
		if err == nil {
			l.inserting.ok()
			l.fits()
			return end, nil
		}
		if work.Err() != nil {
			return from, errUnfinished
		}
		class := l.classify(err)
		l.metrics.retries.WithLabelValues(class.String()).Inc()
		switch class {
		case Split:
			return from, &splitError{err}
		case Stop:
			return from, fmt.Errorf("insert batch: %w", err)
		case TooLarge:
			l.portion.tooLarge(end - from)
		case Retry, Unknown:
			// Once may be a stall; twice, and so many rows may be too many for a slow
			// store: as often as before they would never get in.
			if errors.Is(err, context.DeadlineExceeded) {
				if late++; late%2 == 0 {
					l.portion.tooLarge(end - from)
				}
			}
		}
		l.inserting.is(fmt.Errorf("insert batch: %w", err))
		l.log.Warn("cannot insert batch, trying again",
			zap.Stringer("class", class), zap.Int("try", try), zap.Int("batch_size", end-from),
			zap.Int("next_size", l.portion.end(from, to)-from), zap.Error(err))
		if !pause(work, back.next()) {
			return from, errUnfinished
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

func (l *Loop) insertOnce(work context.Context, b *batch, from, to int) error {
	started := time.Now()
	err := l.config.Sink.Insert(work, b.block, from, to, l.beginStep)
	result := resultStored
	if err != nil {
		result = resultFailed
	}
	l.metrics.insertSeconds.WithLabelValues(result).Observe(time.Since(started).Seconds())
	return err
}

// beginStep bounds a step of an insert, and is a sign of life: there may be many.
func (l *Loop) beginStep(ctx context.Context) (context.Context, context.CancelFunc) {
	l.config.watch.beat()
	return context.WithTimeout(ctx, l.config.InsertTimeout)
}

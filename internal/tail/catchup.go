package tail

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/query"
)

// catchUp reads what the reader lacks, up to where it has joined the live ones, by
// pages from the store: none is read before the one before it is delivered.
func (f *follower) catchUp(ctx context.Context) error {
	h, to := f.hub, f.from.at
	if f.at < to && to-f.at > h.config.Behind {
		if err := f.sendGap(tooFarBehind(f.at, to)); err != nil {
			return err
		}
	}
	if f.at >= to {
		f.reading = false
		return nil
	}
	h.metrics.catchUps.Inc()
	f.reading = true
	for span := uint64(window); f.at < to; {
		of := query.Stretch{Edge: f.from.edge, After: f.at, UpTo: f.at + min(span, to-f.at), Limit: h.config.Page}
		events, upTo, err := f.read(ctx, of)
		if err != nil {
			if err := f.unread(ctx, err); err != nil {
				return err
			}
			continue
		}
		messages := make([]query.TailMessage, len(events))
		for i, e := range events {
			messages[i] = query.TailMessage{ID: e.StreamSeq, Event: &query.Arrival{Event: e}}
		}
		if len(messages) > 0 {
			if err := f.send(messages...); err != nil {
				return err
			}
		}
		// A wide span reads the store less often, one that holds too much reads rows
		// that the next statement reads again.
		if f.at = upTo; upTo == of.UpTo {
			span = min(span*4, h.config.Behind)
		} else {
			span = max(span/2, uint64(h.config.Page))
		}
		if err := f.dueBeat(ctx); err != nil {
			return err
		}
	}
	f.reading = false
	return f.sendMark()
}

// read reads a stretch, when it is the reader's turn.
func (f *follower) read(ctx context.Context, of query.Stretch) (events []query.Event, upTo uint64, err error) {
	h := f.hub
	for turn := false; !turn; {
		select {
		case h.slots <- struct{}{}:
			turn = true
		case <-f.beat.C:
			err = f.sendMark()
		case <-h.ending.Done():
			err = errStopped
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	defer func() { <-h.slots }()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	defer context.AfterFunc(h.ending, cancel)()
	events, upTo, err = h.config.Source.ArrivedOf(ctx, f.reader.account, f.reader.filter, of)
	if err != nil {
		return nil, 0, err
	}
	events, err = h.config.Source.News(ctx, of.Edge, events)
	return events, upTo, err
}

// unread decides what follows from an error of read: the reader waits for a store that
// cannot be read now.
func (f *follower) unread(ctx context.Context, err error) error {
	switch {
	case f.hub.ending.Err() != nil:
		return errStopped
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, errDeliver):
		return err
	}
	f.hub.metrics.failures.Inc()
	f.hub.log.Warn("cannot read the tail", zap.Error(err))
	return f.pause(ctx, retryPause)
}

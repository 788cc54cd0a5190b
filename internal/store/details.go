package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/loginaudit/loginaudit/internal/query"
)

// Event answers everything about the events of one id; query.ErrNotFound when
// there is none, or none with q.StreamSeq.
func (db *DB) Event(ctx context.Context, account string, q query.EventQuestion) (query.EventDetails, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.EventDetails{}, err
	}
	d := query.EventDetails{Watermark: mark}
	if err := db.readVersions(ctx, account, q, &d); err != nil {
		return query.EventDetails{}, err
	}
	asOf := q.Now
	if d.Event.OccurredAt.After(asOf) {
		asOf = d.Event.OccurredAt.Time
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return db.describeAttempt(gctx, account, &d, asOf) })
	g.Go(func() (err error) {
		d.Neighbours, err = db.neighbours(gctx, account, d.Event.Event)
		return err
	})
	if err := g.Wait(); err != nil {
		return query.EventDetails{}, err
	}
	return d, db.markConflicts(ctx, account, d.AttemptEvents, d.Neighbours)
}

// describeAttempt fills in the attempt of the event and its events.
func (db *DB) describeAttempt(ctx context.Context, account string, d *query.EventDetails, asOf time.Time) error {
	e := d.Event.Event
	if e.SessionID == nil {
		d.Attempt = loneAttempt(e)
		d.AttemptEvents = []query.Event{e}
		return nil
	}
	spans, err := db.readSpans(ctx, account, []sessionKey{keyOf(e)})
	if err != nil {
		return err
	}
	span, ok := spans[keyOf(e)]
	if !ok { // an insert that has not reached attempts yet: the event is all that is known
		d.Attempt = loneAttempt(e)
		d.Attempt.SessionID = e.SessionID
		d.AttemptEvents = []query.Event{e}
		return nil
	}
	if until := asOf.Add(time.Microsecond); until.Before(span.End) {
		span.End = until
	}
	events, whole, err := db.attemptEvents(ctx, account, e, span)
	if err != nil {
		return err
	}
	d.AttemptEvents = events
	row, err := db.foldShown(ctx, account, asOf, events, whole)
	d.Attempt = row.attempt()
	return err
}

// foldShown folds the session of the events that are shown of it.
func (db *DB) foldShown(ctx context.Context, account string, asOf time.Time, shown []query.Event, whole bool) (attemptRow, error) {
	key := keyOf(shown[0])
	if !whole {
		folded, err := db.foldSessions(ctx, account, asOf, []sessionKey{key})
		return folded[key], err
	}
	events := make([]attemptEvent, len(shown))
	for i, e := range shown {
		var err error
		if events[i], err = attemptEventOf(e); err != nil {
			return attemptRow{}, err
		}
	}
	return foldAttempt(events, asOf.Add(-db.sessionLimit)), nil
}

// attemptEvents reads the events of e's session, oldest first; where there are
// more than query.MaxAttemptEvents those around e, and whole is false.
func (db *DB) attemptEvents(ctx context.Context, account string, e query.Event, span query.TimeRange) (events []query.Event, whole bool, err error) {
	f := query.EventFilter{
		Username: &e.Username, SessionID: e.SessionID, Range: span,
		Order: query.Ascending, Limit: query.MaxAttemptEvents,
	}
	all, more, err := db.readEvents(ctx, account, f)
	switch {
	case err != nil:
		return nil, false, err
	case len(all) == 0: // an insert that has reached attempts, and not events_by_user
		return []query.Event{e}, true, nil
	case !more:
		return all, true, nil
	}
	at := e.Position()
	f.After, f.Limit = &at, query.MaxAttemptEvents/2
	behind, _, err := db.readEvents(ctx, account, f)
	if err != nil {
		return nil, false, err
	}
	f.Order, f.Limit = query.Descending, query.MaxAttemptEvents-1-len(behind)
	before, _, err := db.readEvents(ctx, account, f)
	if err != nil {
		return nil, false, err
	}
	slices.Reverse(before)
	return slices.Concat(before, []query.Event{e}, behind), false, nil
}

// loneAttempt is the attempt that an event without session_id is.
func loneAttempt(e query.Event) query.Attempt {
	a := query.Attempt{
		Username: e.Username, StartedAt: e.OccurredAt,
		Entry: e.Entry, EntryName: e.EntryName, Status: e.Status, StatusName: e.StatusName,
		Outcome: e.Outcome, State: query.StateNone, IP: e.IP, UserAgent: e.UserAgent,
		Events: 1, EventIDs: []string{e.ID},
	}
	if opens(e.Status) {
		a.LoginAt = &e.OccurredAt
	}
	if closes(e.Status) {
		a.LogoutAt = &e.OccurredAt
	}
	return a
}

// neighbours reads the events around e of the same user or the same address,
// without those of its attempt, newest first.
func (db *DB) neighbours(ctx context.Context, account string, e query.Event) ([]query.Event, error) {
	f := query.EventFilter{Limit: query.MaxNeighbours, Range: query.TimeRange{
		Start: e.OccurredAt.Add(-query.NeighbourSpan),
		End:   e.OccurredAt.Add(query.NeighbourSpan + time.Microsecond),
	}}
	filters := []query.EventFilter{f}
	filters[0].Username = &e.Username
	if e.IP != nil {
		ip, err := netip.ParseAddr(*e.IP)
		if err != nil {
			return nil, fmt.Errorf("parse address: %w", err)
		}
		f.IP = netip.PrefixFrom(ip, ip.BitLen())
		filters = append(filters, f)
	}
	lists := make([][]query.Event, len(filters))
	g, gctx := errgroup.WithContext(ctx)
	for i, f := range filters {
		g.Go(func() (err error) {
			lists[i], _, err = db.readEventsBut(gctx, account, f, &e)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	found := append([]query.Event{}, slices.Concat(lists...)...) // never nil
	slices.SortFunc(found, func(a, b query.Event) int { return comparePositions(b.Position(), a.Position()) })
	found = collapse(found)
	return found[:min(len(found), query.MaxNeighbours)], nil
}

// comparePositions is the contract's order of events.
func comparePositions(a, b query.Position) int {
	if byTime := a.At.Compare(b.At); byTime != 0 {
		return byTime
	}
	if a.Rank != b.Rank {
		return int(a.Rank) - int(b.Rank)
	}
	return slices.Compare(a.Hash[:], b.Hash[:])
}

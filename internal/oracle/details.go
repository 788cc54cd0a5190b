package oracle

import (
	"slices"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// Details answers everything about the events of one id; false when there is
// none, or none with the sequence that was asked for.
func (o *Oracle) Details(account string, q query.EventQuestion) (query.EventDetails, bool) {
	versions := o.pick(account, func(e event.Stored) bool { return e.ID == q.ID })
	if len(versions) == 0 {
		return query.EventDetails{}, false
	}
	chosen := versions[len(versions)-1]
	found := q.StreamSeq == 0
	d := query.EventDetails{VersionsTotal: len(versions)}
	for _, v := range slices.Backward(versions) {
		d.Versions = append(d.Versions, query.RawEvent{Event: o.answer(v), Raw: string(v.Raw)})
		if q.StreamSeq != 0 && v.StreamSeq == q.StreamSeq {
			chosen, found = v, true
		}
	}
	if !found {
		return query.EventDetails{}, false
	}
	d.Event = query.RawEvent{Event: o.answer(chosen), Raw: string(chosen.Raw)}

	asOf := q.Now
	if chosen.OccurredAt.After(asOf) {
		asOf = chosen.OccurredAt
	}
	own := []event.Stored{chosen}
	if chosen.SessionID != "" {
		own = o.pick(account, func(e event.Stored) bool {
			return e.Username == chosen.Username && e.SessionID == chosen.SessionID && !e.OccurredAt.After(asOf)
		})
	}
	d.Attempt = o.attempt(own, asOf)
	if chosen.SessionID == "" {
		d.Attempt.State = query.StateNone
	}
	for _, e := range own {
		d.AttemptEvents = append(d.AttemptEvents, o.answer(e))
	}
	d.Neighbours = []query.Event{}
	near := o.pick(account, func(e event.Stored) bool {
		return e.OccurredAt.Sub(chosen.OccurredAt).Abs() <= query.NeighbourSpan &&
			(e.Username == chosen.Username || chosen.IP.IsValid() && e.IP == chosen.IP) &&
			!sameAttempt(chosen, e)
	})
	for _, e := range slices.Backward(near) {
		if len(d.Neighbours) < query.MaxNeighbours {
			d.Neighbours = append(d.Neighbours, o.answer(e))
		}
	}
	return d, true
}

// sameAttempt reports whether two events belong to one attempt.
func sameAttempt(a, b event.Stored) bool {
	return a.Hash == b.Hash || a.SessionID != "" && a.SessionID == b.SessionID && a.Username == b.Username
}

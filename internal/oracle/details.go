package oracle

import (
	"slices"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// Details answers everything about the events of one id; false when there is
// none.
func (o *Oracle) Details(account, id string, now time.Time) (query.EventDetails, bool) {
	versions := o.pick(account, func(e event.Stored) bool { return e.ID == id })
	if len(versions) == 0 {
		return query.EventDetails{}, false
	}
	latest := versions[len(versions)-1]
	d := query.EventDetails{}
	for _, v := range slices.Backward(versions) {
		d.Versions = append(d.Versions, query.RawEvent{Event: o.answer(v), Raw: string(v.Raw)})
	}
	d.Event = d.Versions[0]

	asOf := now
	if latest.OccurredAt.After(asOf) {
		asOf = latest.OccurredAt
	}
	own := []event.Stored{latest}
	if latest.SessionID != "" {
		own = o.pick(account, func(e event.Stored) bool {
			return e.Username == latest.Username && e.SessionID == latest.SessionID && !e.OccurredAt.After(asOf)
		})
	}
	d.Attempt = o.attempt(own, asOf)
	if latest.SessionID == "" {
		d.Attempt.State = query.StateNone
	}
	for _, e := range own {
		d.AttemptEvents = append(d.AttemptEvents, o.answer(e))
	}
	d.Neighbours = []query.Event{}
	near := o.pick(account, func(e event.Stored) bool {
		return e.OccurredAt.Sub(latest.OccurredAt).Abs() <= query.NeighbourSpan &&
			(e.Username == latest.Username || latest.IP.IsValid() && e.IP == latest.IP) &&
			!slices.ContainsFunc(own, func(m event.Stored) bool { return m.Hash == e.Hash })
	})
	for _, e := range slices.Backward(near) {
		if len(d.Neighbours) < query.MaxNeighbours {
			d.Neighbours = append(d.Neighbours, o.answer(e))
		}
	}
	return d, true
}

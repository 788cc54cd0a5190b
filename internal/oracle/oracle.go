// Package oracle gives the contract's answers by a plain fold over all events,
// in memory, with no thought for speed. Tests hold the store against it; no
// program imports it. It is written from the contract alone and shares no
// logic with the store: where the two agree, two readings of the contract do.
package oracle

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// Oracle knows a set of events.
type Oracle struct {
	limit  time.Duration
	events []event.Stored // distinct, in the contract's order
}

// New folds repeats: of events with one identity the earliest in the stream is
// kept. limit is the session limit.
func New(events []event.Stored, limit time.Duration) *Oracle {
	type identity struct {
		account string
		hash    event.Hash
	}
	distinct := make(map[identity]event.Stored)
	for _, e := range events {
		key := identity{e.Account, e.Hash}
		if have, ok := distinct[key]; !ok || e.StreamSeq < have.StreamSeq {
			distinct[key] = e
		}
	}
	o := &Oracle{limit: limit}
	for _, e := range distinct {
		o.events = append(o.events, e)
	}
	slices.SortFunc(o.events, compare)
	return o
}

// compare is the contract's order: occurred_at, rank, content hash.
func compare(a, b event.Stored) int {
	return cmp.Or(
		a.OccurredAt.Compare(b.OccurredAt),
		cmp.Compare(a.Status.Rank(), b.Status.Rank()),
		bytes.Compare(a.Hash[:], b.Hash[:]),
	)
}

// Accounts lists the accounts, sorted by bytes.
func (o *Oracle) Accounts() []string {
	accounts := []string{}
	for _, e := range o.events {
		accounts = append(accounts, e.Account)
	}
	slices.Sort(accounts)
	return slices.Compact(accounts)
}

// pick lists, in order, the events of the account that keep accepts.
func (o *Oracle) pick(account string, keep func(event.Stored) bool) []event.Stored {
	var picked []event.Stored
	for _, e := range o.events {
		if e.Account == account && keep(e) {
			picked = append(picked, e)
		}
	}
	return picked
}

// Events lists every event that the filter lets through, whatever its limit.
func (o *Oracle) Events(account string, f query.EventFilter) []query.Event {
	events := []query.Event{}
	for _, e := range o.pick(account, func(e event.Stored) bool { return f.Matches(shown(e)) }) {
		events = append(events, o.answer(e))
	}
	if f.Order != query.Ascending {
		slices.Reverse(events)
	}
	return events
}

func within(t time.Time, r query.TimeRange) bool {
	return (r.Start.IsZero() || !t.Before(r.Start)) && (r.End.IsZero() || t.Before(r.End))
}

func among[T comparable](allowed []T, v T) bool {
	return len(allowed) == 0 || slices.Contains(allowed, v)
}

func (o *Oracle) answer(e event.Stored) query.Event {
	a := shown(e)
	a.Conflict = len(o.pick(e.Account, func(t event.Stored) bool { return t.ID == e.ID })) > 1
	return a
}

// shown is the event in the words of an answer, but for whether it is in conflict.
func shown(e event.Stored) query.Event {
	a := query.Event{
		ID: e.ID, Account: e.Account, Username: e.Username, OccurredAt: query.At(e.OccurredAt),
		Entry: e.Entry, EntryName: e.Entry.Name(), Status: e.Status, StatusName: e.Status.Name(),
		Kind: e.Status.Kind(), Outcome: e.Status.Outcome(),
		SessionID: present(e.SessionID), UserAgent: present(e.UserAgent), Service: present(e.Service),
		MFAMethod: present(e.MFAMethod), DeviceID: present(e.DeviceID), RequestID: present(e.RequestID),
		Reason: present(e.Reason), ReceivedAt: query.At(e.ReceivedAt), StreamSeq: e.StreamSeq,
		Hash: e.Hash, IP: address(e.IP),
	}
	if len(e.Attributes) > 0 {
		a.Attributes = e.Attributes
	}
	return a
}

func present[S ~string](s S) *S {
	if s == "" {
		return nil
	}
	return &s
}

func address(ip netip.Addr) *string {
	if !ip.IsValid() {
		return nil
	}
	return present(ip.Unmap().String())
}

// mustAddr reads back an address that this package has written.
func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

package event

import (
	"bytes"
	"strings"
	"time"
)

// SubjectPrefix begins the subject of every event.
const SubjectPrefix = "login.events."

// Subject is the subject on which the event is published:
// login.events.<account>.<kind>. It makes sense for a valid event only.
func (e Event) Subject() string {
	return SubjectPrefix + e.Account + "." + string(e.Status.Kind())
}

// CheckSubject reports whether a message with this event may have come on the
// subject: nil, or an [*Error] with [ReasonSubjectMismatch] or
// [ReasonKindMismatch].
func (e Event) CheckSubject(subject string) error {
	rest, ok := strings.CutPrefix(subject, SubjectPrefix)
	account, kind, two := strings.Cut(rest, ".")
	switch {
	case !ok || !two || account == "" || kind == "" || strings.Contains(kind, "."):
		return &Error{ReasonSubjectMismatch, "subject", "is " + excerpt(subject) +
			"; only login.events.<account>.<kind> is allowed"}
	case account != e.Account:
		return fail(ReasonSubjectMismatch, fieldAccount,
			"is %s, but the subject's account is %s; only the same is allowed", excerpt(e.Account), excerpt(account))
	case kind != string(e.Status.Kind()):
		return fail(ReasonKindMismatch, fieldStatus,
			"is %d of kind %s, but the subject's kind is %s; only the same is allowed", e.Status, e.Status.Kind(), excerpt(kind))
	}
	return nil
}

// CheckReceived reports whether occurred_at is at most [MaxAhead] after the
// time at which the stream received the message: nil, or an [*Error] with
// [ReasonTooFarAhead].
func (e Event) CheckReceived(received time.Time) error {
	if e.OccurredAt.After(received.Add(MaxAhead)) {
		return fail(ReasonTooFarAhead, fieldOccurredAt,
			"is %s, the stream received the message at %s; at most 10 minutes ahead are allowed",
			e.OccurredAt.UTC().Format(timeLayout), received.UTC().Format(timeLayout))
	}
	return nil
}

// Before reports whether s comes before o in the contract's order of events:
// by occurred_at, then rank, then content hash.
func (s Stored) Before(o Stored) bool {
	if c := s.OccurredAt.Compare(o.OccurredAt); c != 0 {
		return c < 0
	}
	if a, b := s.Status.Rank(), o.Status.Rank(); a != b {
		return a < b
	}
	return bytes.Compare(s.Hash[:], o.Hash[:]) < 0
}

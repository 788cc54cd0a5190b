// Package query holds the words of a question and of its answer: filters,
// ranges, cursors, and the rows that come back. It knows no SQL and no HTTP:
// the parameters come in as url.Values, because the API, the page and the
// command line all speak them, and the answers go out as values with the
// JSON names of the contract.
package query

import (
	"net/netip"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// The bounds of a page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
)

// TimeRange is half-open: Start is in it, End is not. A zero bound is open.
type TimeRange struct {
	Start, End time.Time
}

// Order is the direction of a list by time.
type Order string

// The directions; Descending, newest first, is the default.
const (
	Descending Order = "desc"
	Ascending  Order = "asc"
)

// Position is a place in the contract's order of events.
type Position struct {
	At   time.Time
	Rank uint8
	Hash event.Hash
}

// EventFilter asks for events of an account.
type EventFilter struct {
	Range    TimeRange
	Statuses []event.Status  // any of; empty: every status
	Entries  []event.Entry   // any of; empty: every entry
	Kinds    []event.Kind    // any of; empty: every kind
	Outcomes []event.Outcome // any of; empty: every outcome

	// Username, SessionID, Service and MFAMethod match exactly; nil does not
	// filter, a pointer to "" matches what is absent.
	Username, SessionID, Service, MFAMethod *string
	// IP is a range of one family; the zero Prefix does not filter.
	IP netip.Prefix
	// Text is sought in username, reason and user agent, whatever the case.
	Text string

	Order Order
	Limit int
	// After is the last row of the page before; nil asks for the first page.
	After *Position
}

// StatusSet is the statuses that the filter lets through; all is true when
// it lets every status through. An empty set with all false matches nothing.
func (f EventFilter) StatusSet() (set []event.Status, all bool) {
	if len(f.Statuses) == 0 && len(f.Kinds) == 0 && len(f.Outcomes) == 0 {
		return nil, true
	}
	for _, s := range event.Statuses() {
		if anyOf(f.Statuses, s) && anyOf(f.Kinds, s.Kind()) && anyOf(f.Outcomes, s.Outcome()) {
			set = append(set, s)
		}
	}
	return set, false
}

// anyOf reports whether allowed is empty, which allows everything, or holds v.
func anyOf[T comparable](allowed []T, v T) bool {
	if len(allowed) == 0 {
		return true
	}
	for _, a := range allowed {
		if a == v {
			return true
		}
	}
	return false
}

// UserSort is the column by which users are listed.
type UserSort string

// The sorts of users.
const (
	SortUsername   UserSort = "username"
	SortLastLogin  UserSort = "last_login"
	SortLastLogout UserSort = "last_logout"
)

// UserFilter asks for the users of an account.
type UserFilter struct {
	// AsOf is the moment of the answer: later events do not exist in it. It is
	// always set.
	AsOf time.Time
	// Text is sought in the username, whatever the case.
	Text     string
	Statuses []event.Status // any of; empty: every status
	Entries  []event.Entry  // any of; empty: every entry
	LoggedIn *bool          // nil does not filter
	// LastLogin is the half-open range in which the user's last_login lies;
	// a user without one is in no bounded range.
	LastLogin TimeRange
	// NeverLoggedIn true: users without a successful log-in; false: the others.
	NeverLoggedIn *bool

	Sort       UserSort
	Descending bool
	Limit      int
	After      *UserPosition
}

// UserPosition is the last user of the page before: its username and, where
// the sort is by a time, the place of that event; nil where it had none.
type UserPosition struct {
	Username string
	Event    *Position
}

// State is what a session is at the moment of the answer.
type State string

// The states of the contract. StateNone is what never opened.
const (
	StateOpen    State = "open"
	StateClosed  State = "closed"
	StateExpired State = "expired"
	StateNone    State = "none"
)

// AttemptFilter asks for the log-in history of one user.
type AttemptFilter struct {
	// AsOf is the moment of the answer: later events do not exist in it. It is
	// always set.
	AsOf     time.Time
	Username string
	Range    TimeRange       // of the attempt's start
	Statuses []event.Status  // any of; empty: every status
	Entries  []event.Entry   // any of; empty: every entry
	Outcomes []event.Outcome // any of; empty: every outcome
	States   []State         // any of; empty: every state
	IP       netip.Prefix    // the zero Prefix does not filter

	Order Order
	Limit int
	After *AttemptPosition
}

// Narrows reports whether attempts are chosen by what they became, not by their
// start alone.
func (f AttemptFilter) Narrows() bool {
	return len(f.Statuses)+len(f.Entries)+len(f.Outcomes)+len(f.States) > 0 || f.IP.IsValid()
}

// EventQuestion asks for everything about the events of one id.
type EventQuestion struct {
	ID string
	// StreamSeq chooses among the versions of an id in conflict the one with
	// this sequence; 0 asks for the latest version.
	StreamSeq uint64
	// Now is the moment at which the state of the attempt is told.
	Now time.Time
}

// AttemptPosition is a place in the order of attempts: by start, then by the
// content hash of the first event.
type AttemptPosition struct {
	StartedAt time.Time
	FirstHash event.Hash
}

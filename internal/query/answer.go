package query

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// timestampLayout is RFC 3339 in UTC with microseconds.
const timestampLayout = "2006-01-02T15:04:05.000000Z"

// Timestamp is a time in an answer: RFC 3339, UTC, always six fraction digits.
type Timestamp struct{ time.Time }

// At makes a Timestamp.
func At(t time.Time) Timestamp { return Timestamp{t.UTC()} }

// String is the form in answers.
func (t Timestamp) String() string { return t.UTC().Format(timestampLayout) }

// MarshalJSON writes the form in answers.
func (t Timestamp) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.String() + `"`), nil
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Timestamp) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("parse timestamp: %w", err)
	}
	*t = At(at)
	return nil
}

// Watermark tells how complete an answer is.
type Watermark struct {
	// StreamSeq is the sequence up to which every message of the stream is in
	// the answer, or parked, or lost and named in Gaps.
	StreamSeq uint64 `json:"stream_seq"`
	// Time is the moment, by the stream's clock, up to which the same holds for
	// everything that the stream received; null before the first report.
	Time *Timestamp `json:"time"`
	// LagMS is how far Time lies behind the answer, in milliseconds. It is
	// measured by one clock, whatever the others say.
	LagMS int64 `json:"lag_ms"`
	// Gaps are the messages that no answer can ever have, the latest found first,
	// at most MaxGaps; absent where there is none. GapsTotal counts all of them.
	Gaps      []Gap `json:"gaps,omitempty"`
	GapsTotal int   `json:"gaps_total,omitempty"`

	// Stand is a name of what is stored, as far as the workers have told: it
	// changes with StreamSeq, with the gaps, with the history of the stream and with
	// the last batch that a worker finished. It is empty where none has told anything.
	Stand string `json:"-"`
}

// Activity is one of a user's latest events.
type Activity struct {
	At      Timestamp     `json:"at"`
	EventID string        `json:"event_id"`
	Status  event.Status  `json:"status"`
	Outcome event.Outcome `json:"outcome"`
}

// User is a user's latest activity.
type User struct {
	Username         string       `json:"username"`
	LastLogin        *Activity    `json:"last_login"`
	LastLoginSuccess *Activity    `json:"last_login_success"`
	LastLoginFailure *Activity    `json:"last_login_failure"`
	LastLogout       *Activity    `json:"last_logout"`
	Entry            event.Entry  `json:"entry"`
	EntryName        string       `json:"entry_name"`
	Status           event.Status `json:"status"`
	StatusName       string       `json:"status_name"`
	LoggedIn         bool         `json:"logged_in"`
	OpenSessions     int          `json:"open_sessions"`
}

// UserPage is one page of users.
type UserPage struct {
	Users     []User
	Next      *UserPosition // nil on the last page
	Watermark Watermark
}

// Session is the events of one user with one session_id, folded.
type Session struct {
	Username   string       `json:"username"`
	SessionID  *string      `json:"session_id"` // null: the unnamed session
	OpenedAt   *Timestamp   `json:"opened_at"`
	ClosedAt   *Timestamp   `json:"closed_at"`
	Status     event.Status `json:"status"`
	StatusName string       `json:"status_name"`
	State      State        `json:"state"`
	IP         *string      `json:"ip"`
	UserAgent  *string      `json:"user_agent"`
	Events     int          `json:"events"`
}

// UserDetail is one user with the sessions that are open.
type UserDetail struct {
	User
	Sessions  []Session `json:"sessions"`
	Watermark Watermark `json:"watermark"`
}

// Attempt is a row of the log-in history: a session folded, or an event
// without session_id alone.
type Attempt struct {
	SessionID  *string       `json:"session_id"` // null: an event alone
	Username   string        `json:"username"`
	StartedAt  Timestamp     `json:"started_at"`
	LoginAt    *Timestamp    `json:"login_at"`
	LogoutAt   *Timestamp    `json:"logout_at"`
	Entry      event.Entry   `json:"entry"`
	EntryName  string        `json:"entry_name"`
	Status     event.Status  `json:"status"`
	StatusName string        `json:"status_name"`
	Outcome    event.Outcome `json:"outcome"`
	State      State         `json:"state"`
	IP         *string       `json:"ip"`
	UserAgent  *string       `json:"user_agent"`
	Events     int           `json:"events"`
	EventIDs   []string      `json:"event_ids"` // oldest first
}

// AttemptPage is one page of attempts.
type AttemptPage struct {
	Attempts  []Attempt
	Next      *AttemptPosition // nil on the last page
	Watermark Watermark
}

// Event is an event in an answer. What is absent is null.
type Event struct {
	ID         string            `json:"id"`
	Account    string            `json:"account"`
	Username   string            `json:"username"`
	OccurredAt Timestamp         `json:"occurred_at"`
	Entry      event.Entry       `json:"entry"`
	EntryName  string            `json:"entry_name"`
	Status     event.Status      `json:"status"`
	StatusName string            `json:"status_name"`
	Kind       event.Kind        `json:"kind"`
	Outcome    event.Outcome     `json:"outcome"`
	SessionID  *string           `json:"session_id"`
	IP         *string           `json:"ip"`
	UserAgent  *string           `json:"user_agent"`
	Service    *string           `json:"service"`
	MFAMethod  *event.MFAMethod  `json:"mfa_method"`
	DeviceID   *string           `json:"device_id"`
	RequestID  *string           `json:"request_id"`
	Reason     *string           `json:"reason"`
	Attributes map[string]string `json:"attributes"`
	ReceivedAt Timestamp         `json:"received_at"`
	IngestedAt Timestamp         `json:"ingested_at"`
	StreamSeq  uint64            `json:"stream_seq"`
	// Conflict is true when another event of the account has the same id.
	Conflict bool `json:"conflict"`

	// Hash is the event's identity and its last tie in the order.
	Hash event.Hash `json:"-"`
}

// Position is the event's place in the contract's order.
func (e Event) Position() Position {
	return Position{At: e.OccurredAt.Time, Rank: e.Status.Rank(), Hash: e.Hash}
}

// EventPage is one page of events.
type EventPage struct {
	Events    []Event
	Next      *Position // nil on the last page
	Watermark Watermark
}

// RawEvent is an event with the message as it was received.
type RawEvent struct {
	Event
	// Raw is the body of the message, byte for byte.
	Raw string `json:"raw"`
}

// EventDetails is everything about the events of one id.
type EventDetails struct {
	// Event is the version that was asked for, else the latest.
	Event RawEvent `json:"event"`
	// Versions are the events with the id, newest first; more than one is a
	// conflict. At most MaxVersions are listed, with Event in any case: whoever
	// reuses an id many times hides none, each can be asked for.
	Versions []RawEvent `json:"versions"`
	// VersionsTotal is how many there are.
	VersionsTotal int `json:"versions_total"`
	// Attempt is the attempt that Event belongs to.
	Attempt Attempt `json:"attempt"`
	// AttemptEvents are the attempt's events, oldest first; of an attempt of
	// more than MaxAttemptEvents those around Event.
	AttemptEvents []Event `json:"attempt_events"`
	// Neighbours are events of the same user or the same address within five
	// minutes, outside the attempt, newest first, at most MaxNeighbours.
	Neighbours []Event   `json:"neighbours"`
	Watermark  Watermark `json:"watermark"`
}

// The bounds of EventDetails. NeighbourSpan is how far away neighbours may be.
const (
	MaxVersions      = 1000
	MaxAttemptEvents = 1000
	MaxNeighbours    = 50
	NeighbourSpan    = 5 * time.Minute
)

package client

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// timeLayout is RFC 3339 in UTC with microseconds.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Time is a time in an answer: UTC, to the microsecond. It is encoded as the API
// does it, with six fraction digits.
type Time struct{ time.Time }

// String is the form in answers.
func (t Time) String() string { return t.UTC().Format(timeLayout) }

// MarshalText writes the form in answers.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON writes the form in answers.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("read time: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return fmt.Errorf("read time: %w", err)
	}
	t.Time = at.UTC()
	return nil
}

// Watermark tells how complete an answer is.
type Watermark struct {
	// StreamSeq is the sequence up to which every message of the stream is in
	// the answer, or parked, or lost and named in Gaps.
	StreamSeq uint64 `json:"stream_seq"`
	// Time is the moment, by the stream's clock, up to which the same holds; nil
	// before the first worker has reported.
	Time *Time `json:"time"`
	// LagMS is how far Time lies behind the answer, in milliseconds.
	LagMS int64 `json:"lag_ms"`
	// Gaps are messages that no answer can ever have, at most 10, the latest found
	// first; GapsTotal counts all.
	Gaps      []Gap `json:"gaps,omitempty"`
	GapsTotal int   `json:"gaps_total,omitempty"`
}

// Gap is messages that the stream lost before they were ingested.
type Gap struct {
	// FromSeq and ToSeq are the first and the last; ToSeq is nil where nobody knows.
	FromSeq uint64  `json:"from_seq"`
	ToSeq   *uint64 `json:"to_seq"`
	// Messages is how many of these are lost; nil where nobody knows.
	Messages *uint64 `json:"messages"`
	// Reason is expired, deleted, replaced or rewound.
	Reason        string `json:"reason"`
	FoundAt       Time   `json:"found_at"`
	StreamCreated Time   `json:"stream_created"`
}

// Activity is one of a user's latest events.
type Activity struct {
	At      Time          `json:"at"`
	EventID string        `json:"event_id"`
	Status  event.Status  `json:"status"`
	Outcome event.Outcome `json:"outcome"`
}

// User is a user's latest activity. What there was not is nil.
type User struct {
	Username string `json:"username"`
	// LastLogin is the latest attempt to log in, whatever its outcome.
	LastLogin        *Activity    `json:"last_login"`
	LastLoginSuccess *Activity    `json:"last_login_success"`
	LastLoginFailure *Activity    `json:"last_login_failure"`
	LastLogout       *Activity    `json:"last_logout"`
	Entry            event.Entry  `json:"entry"`
	EntryName        string       `json:"entry_name"`
	Status           event.Status `json:"status"`
	StatusName       string       `json:"status_name"`
	// LoggedIn is whether some session is open; OpenSessions is how many.
	LoggedIn     bool `json:"logged_in"`
	OpenSessions int  `json:"open_sessions"`
}

// UserDetail is one user with the sessions that are open.
type UserDetail struct {
	User
	Sessions  []Session `json:"sessions"`
	Watermark Watermark `json:"watermark"`
}

// State is what a session is at the moment of the answer.
type State string

// The states. StateExpired is inferred: the session got older than the server's
// limit without a log-out. StateNone is what never opened.
const (
	StateOpen    State = "open"
	StateClosed  State = "closed"
	StateExpired State = "expired"
	StateNone    State = "none"
)

// States lists them.
func States() []State { return []State{StateOpen, StateClosed, StateExpired, StateNone} }

// Session is the events of one user with one session id, folded.
type Session struct {
	Username string `json:"username"`
	// SessionID is nil for the user's one unnamed session.
	SessionID  *string      `json:"session_id"`
	OpenedAt   *Time        `json:"opened_at"`
	ClosedAt   *Time        `json:"closed_at"`
	Status     event.Status `json:"status"`
	StatusName string       `json:"status_name"`
	State      State        `json:"state"`
	IP         *string      `json:"ip"`
	UserAgent  *string      `json:"user_agent"`
	Events     int          `json:"events"`
}

// Attempt is a row of the log-in history: a session folded, or an event without
// session id alone.
type Attempt struct {
	// SessionID is nil for an event alone.
	SessionID  *string       `json:"session_id"`
	Username   string        `json:"username"`
	StartedAt  Time          `json:"started_at"`
	LoginAt    *Time         `json:"login_at"`
	LogoutAt   *Time         `json:"logout_at"`
	Entry      event.Entry   `json:"entry"`
	EntryName  string        `json:"entry_name"`
	Status     event.Status  `json:"status"`
	StatusName string        `json:"status_name"`
	Outcome    event.Outcome `json:"outcome"`
	State      State         `json:"state"`
	IP         *string       `json:"ip"`
	UserAgent  *string       `json:"user_agent"`
	Events     int           `json:"events"`
	// EventIDs are its events, oldest first.
	EventIDs []string `json:"event_ids"`
}

// Event is an event as the API gives it. What is absent is nil.
type Event struct {
	ID         string            `json:"id"`
	Account    string            `json:"account"`
	Username   string            `json:"username"`
	OccurredAt Time              `json:"occurred_at"`
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
	ReceivedAt Time              `json:"received_at"`
	IngestedAt Time              `json:"ingested_at"`
	// StreamSeq is its place in the stream, which also tells the versions of an id
	// in conflict apart.
	StreamSeq uint64 `json:"stream_seq"`
	// Conflict is whether another event of the account has the same id.
	Conflict bool `json:"conflict"`
}

// RawEvent is an event with the body of its message, byte for byte.
type RawEvent struct {
	Event
	Raw string `json:"raw"`
}

// EventDetails is everything about the events of one id.
type EventDetails struct {
	// Event is the version that was asked for, else the latest.
	Event RawEvent `json:"event"`
	// Versions are the events with the id, newest first, at most 1,000 of
	// VersionsTotal; more than one is a conflict.
	Versions      []RawEvent `json:"versions"`
	VersionsTotal int        `json:"versions_total"`
	Attempt       Attempt    `json:"attempt"`
	// AttemptEvents are the attempt's events, oldest first, at most 1,000 around
	// Event.
	AttemptEvents []Event `json:"attempt_events"`
	// Neighbours are at most 50 events of the same user or address within five
	// minutes, outside the attempt, newest first.
	Neighbours []Event   `json:"neighbours"`
	Watermark  Watermark `json:"watermark"`
}

// Bar is the events at Start or later and before End.
type Bar struct {
	Start   Time   `json:"start"`
	End     Time   `json:"end"`
	Total   uint64 `json:"total"`
	Success uint64 `json:"success"`
	Failure uint64 `json:"failure"`
	Pending uint64 `json:"pending"`
}

// Histogram is the number of events over time. The bars follow one another
// without a gap.
type Histogram struct {
	Interval  string    `json:"interval"`
	Buckets   []Bar     `json:"buckets"`
	Watermark Watermark `json:"watermark"`
}

// Facets is how many events have which value. The counts of a field and its
// Others add up to Total.
type Facets struct {
	Facets map[string][]FacetValue `json:"facets"`
	// Others counts, by field, the events whose value is not told.
	Others    map[string]uint64 `json:"others,omitempty"`
	Total     uint64            `json:"total"`
	Watermark Watermark         `json:"watermark"`
}

// FacetValue is a value of a field and its number of events.
type FacetValue struct {
	Value FacetKey `json:"value"`
	// Name is that of a code.
	Name  string `json:"name,omitempty"`
	Count uint64 `json:"count"`
}

// FacetKey is a value of a field: the number of a code, a text, or nothing where
// the field is absent. The zero value is nothing.
type FacetKey struct {
	code *int
	text *string
}

// Code is the number, where it is one.
func (k FacetKey) Code() (code int, ok bool) {
	if k.code == nil {
		return 0, false
	}
	return *k.code, true
}

// Text is the text, where it is one.
func (k FacetKey) Text() (text string, ok bool) {
	if k.text == nil {
		return "", false
	}
	return *k.text, true
}

// String is the number or the text; empty for nothing.
func (k FacetKey) String() string {
	if k.code != nil {
		return strconv.Itoa(*k.code)
	}
	text, _ := k.Text()
	return text
}

// MarshalJSON writes what was read.
func (k FacetKey) MarshalJSON() ([]byte, error) {
	if k.code != nil {
		return json.Marshal(*k.code)
	}
	return json.Marshal(k.text)
}

// UnmarshalJSON reads a number, a text or null.
func (k *FacetKey) UnmarshalJSON(b []byte) error {
	*k = FacetKey{}
	if len(b) > 0 && (b[0] == '"' || b[0] == 'n') {
		return json.Unmarshal(b, &k.text)
	}
	return json.Unmarshal(b, &k.code)
}

// Codes is the two tables of codes.
type Codes struct {
	Entries  []EntryCode  `json:"entries"`
	Statuses []StatusCode `json:"statuses"`
	// Columns tells what each column means.
	Columns map[string]string `json:"columns"`
}

// EntryCode is a row of the table of entries.
type EntryCode struct {
	Code event.Entry `json:"code"`
	Name string      `json:"name"`
}

// StatusCode is a row of the table of statuses. Attempt and Session are nil where
// the status is none and does nothing.
type StatusCode struct {
	Code    event.Status         `json:"code"`
	Name    string               `json:"name"`
	Kind    event.Kind           `json:"kind"`
	Attempt *event.Attempt       `json:"attempt"`
	Outcome event.Outcome        `json:"outcome"`
	Session *event.SessionEffect `json:"session"`
	Rank    uint8                `json:"rank"`
}

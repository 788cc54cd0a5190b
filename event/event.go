// Package event is the contract of loginaudit's events in Go: what an auth
// service may publish, what each code means, how a message is decoded, checked
// and encoded, and what makes two messages the same event.
//
// It imports only the standard library, so that an auth service can import it
// at no cost. All of it is safe for concurrent use.
package event

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Event is one log-in, log-out, MFA or reset event, as the auth service tells it.
// The zero value of an optional field means that the field is absent.
type Event struct {
	// ID names the event within the account: 1–128 printable ASCII characters,
	// no space. UUIDv7 is advised.
	ID string
	// Account is the tenant: 1–64 of A-Za-z0-9_-.
	Account string
	// Username is who tried, kept exactly as typed: UTF-8, at most 256 bytes.
	// It may be empty only for the statuses of [Status.AllowsEmptyUsername].
	Username string
	// OccurredAt is the publisher's clock, in UTC, cut to microseconds.
	OccurredAt time.Time
	// Entry is how the user came in.
	Entry Entry
	// Status is what happened.
	Status Status

	// SessionID names the log-in attempt and the session that it opens, from
	// the first step to the log-out. At most 128 bytes.
	SessionID string
	// IP is the address of the client; the zero Addr means absent. An
	// IPv4-mapped IPv6 address is held as the IPv4 address.
	IP netip.Addr
	// UserAgent is the client's own description, at most 1,024 bytes.
	UserAgent string
	// Service is the emitting service, at most 64 bytes.
	Service string
	// MFAMethod is the second factor, where there was one.
	MFAMethod MFAMethod
	// DeviceID and RequestID are the publisher's names, at most 128 bytes each.
	DeviceID, RequestID string
	// Reason is human text from the auth service, at most 512 bytes.
	Reason string
	// Attributes are up to 32 pairs, key at most 64, value at most 1,024 bytes.
	Attributes map[string]string
	// Unknown holds the members that the contract does not name, each as its
	// JSON text. They are kept and shown, never dropped.
	Unknown map[string]json.RawMessage
}

// Hash is the identity of an event: the first 16 bytes of SHA-256 over the
// canonical form (RFC 8785) of its message.
type Hash [16]byte

// Stored is an event with what the stream knows of it.
type Stored struct {
	Event
	// Hash is the content hash, the event's identity.
	Hash Hash
	// Raw is the message's body, byte for byte.
	Raw []byte
	// ReceivedAt is the stream's clock when it took the message.
	ReceivedAt time.Time
	// StreamSeq is the message's sequence in the stream LOGIN_EVENTS.
	StreamSeq uint64
}

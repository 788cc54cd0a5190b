package event

import "time"

// The limits of the contract. Sizes are bytes of UTF-8.
const (
	// MaxBody is the size of a message's body.
	MaxBody = 64 * 1024
	// MaxDepth is how deep objects and arrays may nest, the message itself
	// being the first.
	MaxDepth = 64

	MaxID             = 128  // characters of ASCII
	MaxAccount        = 64   // characters of ASCII
	MaxUsername       = 256  // bytes
	MaxSessionID      = 128  // bytes
	MaxUserAgent      = 1024 // bytes
	MaxService        = 64   // bytes
	MaxDeviceID       = 128  // bytes
	MaxRequestID      = 128  // bytes
	MaxReason         = 512  // bytes
	MaxAttributes     = 32   // pairs
	MaxAttributeKey   = 64   // bytes
	MaxAttributeValue = 1024 // bytes
)

// MaxAhead is how far occurred_at may lie after the time at which the stream
// received the message: publishers' clocks run fast by minutes, not by more.
const MaxAhead = 10 * time.Minute

// Earliest is the first moment that occurred_at may name.
func Earliest() time.Time { return time.Date(1990, time.January, 1, 0, 0, 0, 0, time.UTC) }

// field is a member that the contract names, in the order of its table: that
// is also the order in which the rules are checked, so that the reason for
// refusing a message does not depend on the order of its members.
type field uint8

const (
	fieldID field = iota
	fieldAccount
	fieldUsername
	fieldOccurredAt
	fieldEntry
	fieldStatus
	fieldSessionID
	fieldIP
	fieldUserAgent
	fieldService
	fieldMFAMethod
	fieldDeviceID
	fieldRequestID
	fieldReason
	fieldAttributes
	fieldCount   // the number of fields
	fieldUnknown = fieldCount
)

var fieldNames = [fieldCount]string{
	"id", "account", "username", "occurred_at", "entry", "status",
	"session_id", "ip", "user_agent", "service", "mfa_method",
	"device_id", "request_id", "reason", "attributes",
}

// String is the member's name, or "" for fieldUnknown.
func (f field) String() string {
	if f >= fieldCount {
		return ""
	}
	return fieldNames[f]
}

// fieldOf finds a member's field. A switch, because the compiler turns it into
// a search by length and content that needs no hash.
func fieldOf(name string) field {
	switch name {
	case "id":
		return fieldID
	case "account":
		return fieldAccount
	case "username":
		return fieldUsername
	case "occurred_at":
		return fieldOccurredAt
	case "entry":
		return fieldEntry
	case "status":
		return fieldStatus
	case "session_id":
		return fieldSessionID
	case "ip":
		return fieldIP
	case "user_agent":
		return fieldUserAgent
	case "service":
		return fieldService
	case "mfa_method":
		return fieldMFAMethod
	case "device_id":
		return fieldDeviceID
	case "request_id":
		return fieldRequestID
	case "reason":
		return fieldReason
	case "attributes":
		return fieldAttributes
	}
	return fieldUnknown
}

package event

import (
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Reason is the rule of the contract that a message breaks: one of [Reasons].
// The codes are stable; parked messages and metrics carry them.
type Reason string

// The reasons. The first group is about the message as JSON, the second about
// its fields, the third about what lies around the message.
const (
	// ReasonTooLarge: the body is larger than [MaxBody].
	ReasonTooLarge Reason = "too_large"
	// ReasonInvalidUTF8: the body, or a text to encode, is not UTF-8 (RFC 3629).
	ReasonInvalidUTF8 Reason = "invalid_utf8"
	// ReasonNotJSON: the body is not JSON (RFC 8259).
	ReasonNotJSON Reason = "not_json"
	// ReasonTrailingData: something other than white space follows the value.
	ReasonTrailingData Reason = "trailing_data"
	// ReasonNotObject: the body is JSON, but not an object.
	ReasonNotObject Reason = "not_object"
	// ReasonTooDeep: objects and arrays nest deeper than [MaxDepth].
	ReasonTooDeep Reason = "too_deep"
	// ReasonLoneSurrogate: an escape names half of a surrogate pair (RFC 7493 §2.1).
	ReasonLoneSurrogate Reason = "lone_surrogate"
	// ReasonBadNumber: a number is outside the range of a double (RFC 7493 §2.2).
	ReasonBadNumber Reason = "bad_number"
	// ReasonDuplicateMember: an object, at any depth, has a member twice (RFC 7493 §2.3).
	ReasonDuplicateMember Reason = "duplicate_member"

	// ReasonMissing: a required field is absent or null.
	ReasonMissing Reason = "missing"
	// ReasonWrongType: a field has another JSON type than the contract says.
	ReasonWrongType Reason = "wrong_type"
	// ReasonTooShort: a required text is empty.
	ReasonTooShort Reason = "too_short"
	// ReasonTooLong: a text is longer than its limit.
	ReasonTooLong Reason = "too_long"
	// ReasonBadCharacters: id or account holds a character outside its set.
	ReasonBadCharacters Reason = "bad_characters"
	// ReasonEmptyUsername: the username is empty and the status does not allow it.
	ReasonEmptyUsername Reason = "empty_username"
	// ReasonBadTime: occurred_at is not an RFC 3339 time with offset.
	ReasonBadTime Reason = "bad_time"
	// ReasonLeapSecond: occurred_at names second 60.
	ReasonLeapSecond Reason = "leap_second"
	// ReasonTooEarly: occurred_at is before [Earliest].
	ReasonTooEarly Reason = "too_early"
	// ReasonUnknownEntry: entry is not in the table of entries.
	ReasonUnknownEntry Reason = "unknown_entry"
	// ReasonUnknownStatus: status is not in the table of statuses.
	ReasonUnknownStatus Reason = "unknown_status"
	// ReasonBadAddress: ip is not an IPv4 or IPv6 address without port and zone.
	ReasonBadAddress Reason = "bad_address"
	// ReasonBadMFAMethod: mfa_method is not one of [MFAMethods].
	ReasonBadMFAMethod Reason = "bad_mfa_method"
	// ReasonTooManyAttributes: attributes has more than [MaxAttributes] pairs.
	ReasonTooManyAttributes Reason = "too_many_attributes"
	// ReasonReservedMember: Unknown holds a name that the contract uses. Only
	// [Encode] and [Event.Validate] meet it.
	ReasonReservedMember Reason = "reserved_member"

	// ReasonSubjectMismatch: the subject is not that of an event of this account.
	ReasonSubjectMismatch Reason = "subject_mismatch"
	// ReasonKindMismatch: the subject's kind is not the kind of the status.
	ReasonKindMismatch Reason = "kind_mismatch"
	// ReasonTooFarAhead: occurred_at is more than [MaxAhead] after the time at
	// which the stream received the message.
	ReasonTooFarAhead Reason = "too_far_ahead"
)

var reasons = [...]struct {
	reason Reason
	rule   string
}{
	{ReasonTooLarge, "the body is at most 65,536 bytes"},
	{ReasonInvalidUTF8, "the body is valid UTF-8"},
	{ReasonNotJSON, "the body is JSON (RFC 8259)"},
	{ReasonTrailingData, "nothing follows the JSON object"},
	{ReasonNotObject, "the body is one JSON object"},
	{ReasonTooDeep, "objects and arrays nest at most 64 deep"},
	{ReasonLoneSurrogate, "surrogates come in pairs, also in names and in members that the contract does not name"},
	{ReasonBadNumber, "numbers are within the range of a double"},
	{ReasonDuplicateMember, "no object has a member twice, at any depth and after unescaping"},
	{ReasonMissing, "id, account, username, occurred_at, entry and status are required"},
	{ReasonWrongType, "entry and status are integers, attributes is an object of strings, the other fields are strings"},
	{ReasonTooShort, "id and account have at least one character"},
	{ReasonTooLong, "a text has at most the bytes of UTF-8 that the contract gives its field"},
	{ReasonBadCharacters, "id is printable ASCII without space, account is of A-Za-z0-9_-"},
	{ReasonEmptyUsername, "username may be empty only for status 3, 9, 13 and 14"},
	{ReasonBadTime, "occurred_at is an RFC 3339 time with offset"},
	{ReasonLeapSecond, "occurred_at has no leap second"},
	{ReasonTooEarly, "occurred_at is not before 1990-01-01T00:00:00Z"},
	{ReasonUnknownEntry, "entry is an integer from 1 to 8"},
	{ReasonUnknownStatus, "status is an integer from 1 to 26, except 4"},
	{ReasonBadAddress, "ip is an IPv4 or IPv6 address without port and zone"},
	{ReasonBadMFAMethod, "mfa_method is totp, sms, email, push, webauthn, call, backup_code or other"},
	{ReasonTooManyAttributes, "attributes has at most 32 pairs"},
	{ReasonReservedMember, "an unknown member has no name of the contract"},
	{ReasonSubjectMismatch, "the subject is login.events.<account>.<kind> with the event's account"},
	{ReasonKindMismatch, "the subject's kind is the kind of the status"},
	{ReasonTooFarAhead, "occurred_at is at most 10 minutes after the time at which the stream received the message"},
}

// Reasons lists every reason, in the order in which the rules are checked.
func Reasons() []Reason {
	all := make([]Reason, len(reasons))
	for i, r := range reasons {
		all[i] = r.reason
	}
	return all
}

// Rule is the rule that the reason stands for, as a sentence without a full
// stop, or "" for what is not in [Reasons].
func (r Reason) Rule() string {
	i := slices.IndexFunc(reasons[:], func(x struct {
		reason Reason
		rule   string
	}) bool {
		return x.reason == r
	})
	if i < 0 {
		return ""
	}
	return reasons[i].rule
}

// Error tells which rule of the contract a message or an event breaks. Every
// error of [Decode], [Encode], [Canonical], [ContentHash] and the checks of an
// [Event] is one.
type Error struct {
	// Reason is the rule.
	Reason Reason
	// Field is the contract's name of the field, "subject", or "" where the
	// message as a whole, or a member that the contract does not name, is
	// meant. It is a closed set, fit for a metric's label.
	Field string
	// Detail is the rest of the sentence: what is wrong and what is allowed.
	// It quotes at most a short escaped excerpt of a member's name or of a
	// value, and never a username, an address or an id. It is for the
	// publisher and the operator, not for logs.
	Detail string
}

// Error is one sentence that names the field and what is allowed.
func (e *Error) Error() string {
	if e.Field == "" {
		return "message " + e.Detail
	}
	return e.Field + " " + e.Detail
}

func fail(r Reason, f field, format string, args ...any) *Error {
	return &Error{Reason: r, Field: f.String(), Detail: fmt.Sprintf(format, args...)}
}

// asError keeps a nil *Error from becoming an error that is not nil.
func asError(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

// excerptBytes bounds how much foreign text an error quotes.
const excerptBytes = 32

// excerpt quotes the beginning of foreign text in ASCII, so that it can do no
// harm in a terminal, a log or a page.
func excerpt(s string) string {
	if len(s) <= excerptBytes {
		return strconv.QuoteToASCII(s)
	}
	end := excerptBytes
	for end > excerptBytes-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return strconv.QuoteToASCII(s[:end]) + "..."
}

// excerptNumber is the beginning of a JSON number, which is harmless text.
func excerptNumber(s string) string {
	if len(s) <= excerptBytes {
		return s
	}
	return s[:excerptBytes] + "..."
}

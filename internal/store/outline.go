package store

import (
	"bytes"
	"net/netip"
	"strconv"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// An outline is a message's body in which every value that a column of the row
// has too is one control character: `{"id":\x01,"account":\x02}`. A body
// is text of JSON and holds no such character (RFC 8259 §7), so that the row
// gives the body back, byte for byte: the column raw of events is computed from
// it (schema/clickhouse/00001_events.sql). The bodies of one publisher have
// nearly the same outline, and so it costs next to nothing on disk, where the
// bodies were a quarter of all. A body in which nothing was replaced is its own
// outline.
const (
	markID byte = iota + 1
	markAccount
	markUsername
	markMicros // occurred_at in UTC, with six fraction digits
	markEntry
	markStatus
	markSessionID
	markService
	_ // \t, \n, \v, \f and \r are white space, at least to some
	_
	_
	_
	_
	markIPv4 // an IPv6 address has several spellings and stays as it is
	markUserAgent
	markMFAMethod
	markDeviceID
	markRequestID
	markReason
	markMillis  // occurred_at in UTC, with three fraction digits
	markSeconds // occurred_at in UTC, without a fraction
)

// The ways to write a time that have a mark.
const (
	microsLayout  = `"2006-01-02T15:04:05.000000Z"`
	millisLayout  = `"2006-01-02T15:04:05.000Z"`
	secondsLayout = `"2006-01-02T15:04:05Z"`
)

// outliner makes outlines; it keeps its memory.
type outliner struct{ text, value []byte }

// outline is the outline of an event's body; it is valid until the next one.
func (o *outliner) outline(e *event.Stored) []byte {
	o.text = o.text[:0]
	rest := e.Raw
	for {
		name, end := quoted(rest)
		if end < 0 {
			break
		}
		// The value follows the name, the colon and, maybe, spaces.
		for end < len(rest) && (rest[end] == ':' || rest[end] == ' ') {
			end++
		}
		o.text = append(o.text, rest[:end]...)
		rest = rest[end:]
		if mark := markOf(name, rest); mark != 0 {
			o.value = appendMarked(o.value[:0], mark, &e.Event)
			if len(o.value) > 0 && bytes.HasPrefix(rest, o.value) {
				o.text, rest = append(o.text, mark), rest[len(o.value):]
			}
		}
	}
	o.text = append(o.text, rest...)
	return o.text
}

// quoted finds the first text in quotes, and where it ends; -1 is nowhere. A
// quote that is escaped ends it too early, which costs a replacement and no more.
func quoted(s []byte) (text []byte, end int) {
	start := bytes.IndexByte(s, '"')
	if start < 0 {
		return nil, -1
	}
	size := bytes.IndexByte(s[start+1:], '"')
	if size < 0 {
		return nil, -1
	}
	return s[start+1 : start+1+size], start + size + 2
}

// markOf is the mark that may stand for the value of a member; 0 is none.
func markOf(name, value []byte) byte {
	switch string(name) {
	case "id":
		return markID
	case "account":
		return markAccount
	case "username":
		return markUsername
	case "occurred_at":
		return timeMark(value)
	case "entry":
		return markEntry
	case "status":
		return markStatus
	case "session_id":
		return markSessionID
	case "ip":
		return markIPv4
	case "user_agent":
		return markUserAgent
	case "service":
		return markService
	case "mfa_method":
		return markMFAMethod
	case "device_id":
		return markDeviceID
	case "request_id":
		return markRequestID
	case "reason":
		return markReason
	}
	return 0
}

// timeMark tells the ways to write a time apart by their size.
func timeMark(value []byte) byte {
	_, size := quoted(value)
	switch size {
	case len(microsLayout):
		return markMicros
	case len(millisLayout):
		return markMillis
	case len(secondsLayout):
		return markSeconds
	}
	return 0
}

// appendMarked adds what a mark stands for, as JSON; nothing where the row has
// no such value. A text with escapes never equals it, and stays as it is.
func appendMarked(to []byte, mark byte, e *event.Event) []byte {
	text := ""
	switch mark {
	case markID:
		text = e.ID
	case markAccount:
		text = e.Account
	case markUsername:
		text = e.Username
	case markSessionID:
		text = e.SessionID
	case markUserAgent:
		text = e.UserAgent
	case markService:
		text = e.Service
	case markMFAMethod:
		text = string(e.MFAMethod)
	case markDeviceID:
		text = e.DeviceID
	case markRequestID:
		text = e.RequestID
	case markReason:
		text = e.Reason
	case markEntry:
		return strconv.AppendUint(to, uint64(e.Entry), 10)
	case markStatus:
		return strconv.AppendUint(to, uint64(e.Status), 10)
	case markMicros:
		return e.OccurredAt.AppendFormat(to, microsLayout)
	case markMillis:
		return e.OccurredAt.AppendFormat(to, millisLayout)
	case markSeconds:
		return e.OccurredAt.AppendFormat(to, secondsLayout)
	case markIPv4:
		if !e.IP.Is4() {
			return to
		}
		return append(e.IP.AppendTo(append(to, '"')), '"')
	}
	if text == "" {
		return to
	}
	return append(append(append(to, '"'), text...), '"')
}

// restore is the inverse of outline.
func restore(outline string, e *event.Event) []byte {
	var raw []byte
	for i := range len(outline) {
		if whole := appendMarked(raw, outline[i], e); len(whole) > len(raw) {
			raw = whole
		} else {
			raw = append(raw, outline[i])
		}
	}
	return raw
}

// rawOf is the body of an event, of its outline.
func rawOf(e query.Event, outline string) string {
	stored := event.Event{
		ID: e.ID, Account: e.Account, Username: e.Username, OccurredAt: e.OccurredAt.Time, Entry: e.Entry, Status: e.Status,
		SessionID: orEmpty(e.SessionID), Service: orEmpty(e.Service), UserAgent: orEmpty(e.UserAgent), MFAMethod: orEmpty(e.MFAMethod),
		DeviceID: orEmpty(e.DeviceID), RequestID: orEmpty(e.RequestID), Reason: orEmpty(e.Reason),
	}
	if e.IP != nil {
		stored.IP, _ = netip.ParseAddr(*e.IP) // it was written by netip
	}
	return string(restore(outline, &stored))
}

// orEmpty is the inverse of optional.
func orEmpty[S ~string](s *S) S {
	if s == nil {
		return ""
	}
	return *s
}

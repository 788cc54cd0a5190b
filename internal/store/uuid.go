package store

import (
	"encoding/binary"
	"encoding/hex"
	"time"
)

// An id is stored as two numbers where it is a UUID in lower case with hyphens
// (RFC 9562 §4), else as text. What a UUIDv7 tells of the time, which is nearly
// always the event's own, is taken out of the first number:
// schema/clickhouse/00001_events.sql.

const uuidSize = 36

// splitID splits an id into its columns. For a UUID text is empty.
func splitID(id string, at time.Time) (text string, high, low uint64) {
	var b [16]byte
	if !parseUUID(&b, id) {
		return id, 0, 0
	}
	return "", binary.BigEndian.Uint64(b[:8]) - timePart(at), binary.BigEndian.Uint64(b[8:])
}

// joinID is the inverse of splitID.
func joinID(text string, high, low uint64, at time.Time) string {
	if text != "" {
		return text
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], high+timePart(at))
	binary.BigEndian.PutUint64(b[8:], low)
	var s [uuidSize]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// timePart is a time as the first 48 bits of a UUIDv7 hold it. It may wrap
// around, as the difference to it does.
func timePart(at time.Time) uint64 { return uint64(at.UnixMilli()) << 16 }

// parseUUID reads a UUID, and reports whether the text is one in the one form
// that joinID writes.
func parseUUID(to *[16]byte, s string) bool {
	if len(s) != uuidSize || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	at := 0
	for i := 0; i < uuidSize; i += 2 {
		if s[i] == '-' {
			i++
		}
		high, low := hexDigit(s[i]), hexDigit(s[i+1])
		if high > 15 || low > 15 {
			return false
		}
		to[at] = high<<4 | low
		at++
	}
	return true
}

// hexDigit is the value of a digit in lower case; 255 is none.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	default:
		return 255
	}
}

package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"net/url"
	"slices"
	"sort"
	"time"
	"unicode/utf8"

	"github.com/loginaudit/loginaudit/event"
)

// A cursor is base64url over
//
//	version (1 byte) · sum (16) · now (8) · position (the rest)
//
// sum is over the question (route, account, username, every parameter but
// cursor and limit), now and position, so that a cursor is refused with
// another question and when it was damaged. now is that of the first page:
// relative times and as_of mean the same on every page. Numbers are
// big-endian, times are microseconds since 1970.
//
// The sum is no signature: who forges a cursor can only ask for another place
// or another now of a question that they may ask anyway.
const (
	cursorVersion = 1
	sumSize       = 16
	headSize      = 1 + sumSize + 8
	eventPosSize  = 8 + 1 + len(event.Hash{})
	// maxCursor is above the longest cursor, whose position is a username.
	maxCursor = 1024
)

var errCursor = errors.New("is damaged, or belongs to another path, account or filter")

// encoding is strict: one position has one cursor.
func cursorEncoding() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// Cursors makes the cursors of one question.
type Cursors struct {
	route  string
	asked  Asked
	values url.Values
}

// Event is the cursor for the events after p; nil for nil, the last page.
func (c Cursors) Event(p *Position) *string {
	if p == nil {
		return nil
	}
	return c.encode(appendPosition(nil, *p))
}

// User is the cursor for the users after p; nil for nil, the last page.
func (c Cursors) User(p *UserPosition) *string {
	if p == nil {
		return nil
	}
	if p.Event == nil {
		return c.encode(append([]byte{0}, p.Username...))
	}
	return c.encode(append(appendPosition([]byte{1}, *p.Event), p.Username...))
}

// Attempt is the cursor for the attempts after p; nil for nil, the last page.
func (c Cursors) Attempt(p *AttemptPosition) *string {
	if p == nil {
		return nil
	}
	return c.encode(append(appendTime(nil, p.StartedAt), p.FirstHash[:]...))
}

func (c Cursors) encode(position []byte) *string {
	body := append(appendTime(nil, c.asked.Now), position...)
	raw := append([]byte{cursorVersion}, c.sum(body)...)
	s := cursorEncoding().EncodeToString(append(raw, body...))
	return &s
}

// decode checks a cursor and gives the now of the first page and the position.
func (c Cursors) decode(s string) (now time.Time, position []byte, err error) {
	if len(s) > maxCursor {
		return now, nil, errCursor
	}
	raw, err := cursorEncoding().DecodeString(s)
	if err != nil || len(raw) < headSize || raw[0] != cursorVersion {
		return now, nil, errCursor
	}
	sum, body := raw[1:1+sumSize], raw[1+sumSize:]
	if !bytes.Equal(sum, c.sum(body)) {
		return now, nil, errCursor
	}
	now, ok := decodeTime(body)
	if !ok {
		return now, nil, errCursor
	}
	return now, body[8:], nil
}

// sum binds body to the question.
func (c Cursors) sum(body []byte) []byte {
	h := sha256.New()
	writeText(h, string(body))
	writeText(h, c.route) // tells whether there is a username
	writeText(h, c.asked.Account)
	if c.asked.Username != nil {
		writeText(h, *c.asked.Username)
	}
	names := make([]string, 0, len(c.values))
	for name := range c.values {
		if name != "cursor" && name != "limit" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		// The order of repeated values means nothing.
		for _, value := range slices.Sorted(slices.Values(c.values[name])) {
			writeText(h, name)
			writeText(h, value)
		}
	}
	return h.Sum(nil)[:sumSize]
}

// writeText writes s so that two different lists never give the same bytes.
func writeText(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	_, _ = io.WriteString(h, s) // a hash never fails
}

// cursors makes cursors for the question that was read.
func (in *input) cursors() Cursors {
	a := in.asked
	a.Now = in.clock.now
	return Cursors{route: in.route.name, asked: a, values: in.values}
}

// readCursor checks the cursor and takes over the now of the first page.
func (in *input) readCursor() {
	s, ok := in.one("cursor")
	if !ok {
		return
	}
	now, position, err := in.cursors().decode(s)
	if err != nil {
		in.fail("cursor", err.Error())
		return
	}
	in.clock.now, in.after = now, position
}

// after is the position in the cursor; nil on the first page.
func after[T any](in *input, decode func([]byte) (T, bool)) *T {
	if in.after == nil {
		return nil
	}
	p, ok := decode(in.after)
	if !ok {
		in.fail("cursor", errCursor.Error())
		return nil
	}
	return &p
}

func appendTime(b []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixMicro()))
}

// decodeTime reads the first 8 bytes; what the store cannot hold is refused.
func decodeTime(b []byte) (time.Time, bool) {
	t := time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
	return t, clamp(t).Equal(t)
}

func appendPosition(b []byte, p Position) []byte {
	return append(append(appendTime(b, p.At), p.Rank), p.Hash[:]...)
}

func decodeEventPosition(b []byte) (p Position, ok bool) {
	if len(b) != eventPosSize {
		return p, false
	}
	p.At, ok = decodeTime(b)
	p.Rank = b[8]
	copy(p.Hash[:], b[9:])
	return p, ok
}

func decodeUserPosition(b []byte) (p UserPosition, ok bool) {
	if len(b) == 0 {
		return p, false
	}
	kind, b := b[0], b[1:]
	switch {
	case kind == 0:
	case kind == 1 && len(b) >= eventPosSize:
		at, ok := decodeEventPosition(b[:eventPosSize])
		if !ok {
			return p, false
		}
		p.Event, b = &at, b[eventPosSize:]
	default:
		return p, false
	}
	p.Username = string(b)
	return p, utf8.ValidString(p.Username)
}

func decodeAttemptPosition(b []byte) (p AttemptPosition, ok bool) {
	if len(b) != 8+len(p.FirstHash) {
		return p, false
	}
	p.StartedAt, ok = decodeTime(b)
	copy(p.FirstHash[:], b[8:])
	return p, ok
}

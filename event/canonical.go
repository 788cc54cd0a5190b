package event

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Canonical is the canonical form of a message (RFC 8785): no white space,
// members sorted by UTF-16 code units, numbers as ECMAScript writes them, the
// fewest escapes. Nulls and members that the contract does not name are kept.
//
// It refuses, with an [*Error], what is not one JSON object of at most
// [MaxBody] bytes by the rules of the contract; it does not look at the fields.
func Canonical(body []byte) ([]byte, error) {
	d, err := scanMessage(string(body), nil)
	if err != nil {
		return nil, err
	}
	out, err := d.appendCanonical(make([]byte, 0, len(body)))
	if err != nil {
		return nil, err
	}
	return out, nil
}

// ContentHash is the identity of a message: the first 16 bytes of SHA-256 over
// its canonical form. It refuses what [Canonical] refuses.
func ContentHash(body []byte) (Hash, error) {
	d, err := scanMessage(string(body), nil)
	if err != nil {
		return Hash{}, err
	}
	var decoder Decoder
	h, err := decoder.hash(&d)
	return h, asError(err)
}

// appendCanonical writes the canonical form of a message.
func (d *document) appendCanonical(dst []byte) ([]byte, *Error) {
	w := canonicalWriter{document: d, out: dst, whole: true}
	err := w.value(0)
	return w.out, err
}

func sum(canonical []byte) Hash {
	full := sha256.Sum256(canonical)
	return Hash(full[:len(Hash{})])
}

// String is the hash in 32 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what [Hash.String] writes, and nothing else.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != hex.EncodedLen(len(h)) || strings.ContainsAny(s, "ABCDEF") {
		return Hash{}, fmt.Errorf("parse hash: %w", errHashForm)
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, fmt.Errorf("parse hash: %w", errHashForm)
	}
	return h, nil
}

var errHashForm = errors.New("a content hash has 32 lower-case hexadecimal digits")

// MessageID is the Nats-Msg-Id of an event. The content holds the account and
// the id, so a guessed id can suppress nobody's event, while the same content
// published twice is one message.
func MessageID(h Hash) string { return h.String() }

// canonicalWriter writes the values of a document in their canonical form.
type canonicalWriter struct {
	*document
	out []byte
	// whole is true when the document is a message, not a part of one.
	whole bool
	// top is the name of the message's member that is being written.
	top string
}

// value writes the value at the index.
func (w *canonicalWriter) value(at int32) *Error {
	switch n := &w.nodes[at]; n.kind {
	case valueNumber:
		w.out = appendNumberText(w.out, w.source(at))
	case valueString:
		w.out = appendString(w.out, w.text(at))
	case valueArray:
		return w.array(at)
	case valueObject:
		if n.sorted {
			return w.object(at)
		}
		return w.unsorted(at)
	default: // null, true and false have one form
		w.out = append(w.out, w.source(at)...)
	}
	return nil
}

func (w *canonicalWriter) array(at int32) *Error {
	w.out = append(w.out, '[')
	for i, end := at+1, w.next(at); i < end; i = w.next(i) {
		if i > at+1 {
			w.out = append(w.out, ',')
		}
		if err := w.value(i); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *canonicalWriter) object(at int32) *Error {
	w.out = append(w.out, '{')
	for i, end := at+1, w.next(at); i < end; i = w.next(i + 1) {
		if i > at+1 {
			w.out = append(w.out, ',')
		}
		if err := w.member(at, i); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// member is the place of a member of an object.
type member struct {
	name string
	at   int32
}

// unsorted writes the members of an object in their order; two of one name
// come to lie side by side.
func (w *canonicalWriter) unsorted(at int32) *Error {
	var room [roomNodes / 2]member
	members := room[:0]
	for i, end := at+1, w.next(at); i < end; i = w.next(i + 1) {
		members = append(members, member{w.text(i), i})
	}
	slices.SortFunc(members, func(a, b member) int { return compareUTF16(a.name, b.name) })
	w.out = append(w.out, '{')
	for i, m := range members {
		if i > 0 {
			if m.name == members[i-1].name {
				return w.duplicate(at, m.name)
			}
			w.out = append(w.out, ',')
		}
		if err := w.member(at, m.at); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// member writes the member whose name is at index i of the object at index at.
func (w *canonicalWriter) member(at, i int32) *Error {
	name := w.text(i)
	if at == 0 && w.whole {
		w.top = name
	}
	w.out = append(appendString(w.out, name), ':')
	return w.value(i + 1)
}

func (w *canonicalWriter) duplicate(object int32, name string) *Error {
	if object == 0 && w.whole {
		if f := fieldOf(name); f != fieldUnknown {
			return fail(ReasonDuplicateMember, f, "is there twice; only once is allowed")
		}
		w.top = ""
	}
	return fail(ReasonDuplicateMember, fieldOf(w.top),
		"has the member %s twice in one object; only once is allowed", excerpt(name))
}

func appendNumberText(dst []byte, text string) []byte {
	if isPlainInteger(text) {
		return append(dst, text...)
	}
	// The scanner has refused what does not parse.
	f, _ := strconv.ParseFloat(text, 64)
	return appendNumber(dst, f)
}

const lowerHex = "0123456789abcdef"

// appendString writes a string with the escapes that RFC 8785 §3.2.2.2 asks
// for and no others.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(append(dst, s[from:i]...), '\\')
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, c)
		case '\b':
			dst = append(dst, 'b')
		case '\f':
			dst = append(dst, 'f')
		case '\n':
			dst = append(dst, 'n')
		case '\r':
			dst = append(dst, 'r')
		case '\t':
			dst = append(dst, 't')
		default:
			dst = append(dst, 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}

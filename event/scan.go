package event

import (
	"strings"
	"unicode/utf8"
)

// valueKind is the type of a JSON value; containers come last.
type valueKind uint8

// roomNodes is what an ordinary message needs.
const roomNodes = 48

const (
	valueNull valueKind = iota
	valueBool
	valueNumber
	valueString
	valueArray
	valueObject
)

// name is the word for the kind in a sentence.
func (k valueKind) name() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[k]
}

// node is a JSON value or a member's name. The nodes of a message lie in one
// slice in the order of the text: an array is followed by its items, an object
// by its members, name and value in turn. They hold no pointers, which spares
// the garbage collector.
type node struct {
	start, end int32 // the source text, quotes and brackets included
	// link is, of an array and an object, the index of the first node after
	// all that is in it; of a string with escapes, one more than the index of
	// its text in document.texts; else 0.
	link   int32
	kind   valueKind
	sorted bool // object: names strictly ascending, hence no duplicates
}

// document is a JSON text that was read.
type document struct {
	src   string
	nodes []node
	// texts are the strings that had escapes.
	texts []string
	// canonical is true while the text is its own canonical form.
	canonical bool
}

// next is the index of the first node after the one at the index and what is
// in it.
func (d *document) next(at int32) int32 {
	if n := &d.nodes[at]; n.kind >= valueArray {
		return n.link
	}
	return at + 1
}

// text is the value of the string at the index.
func (d *document) text(at int32) string {
	n := &d.nodes[at]
	if n.link != 0 {
		return d.texts[n.link-1]
	}
	return d.src[n.start+1 : n.end-1]
}

// source is the text of the value at the index as it was written.
func (d *document) source(at int32) string {
	return d.src[d.nodes[at].start:d.nodes[at].end]
}

// scanner reads JSON (RFC 8259) in one pass, with the restrictions of I-JSON
// (RFC 7493) except for duplicates, which the canonical writer finds when it
// sorts. The source must be valid UTF-8.
type scanner struct {
	document
	pos int
	// top is the name of the message's member that is being read.
	top string
}

// scanMessage reads a whole message: one object and nothing after it. The nodes
// are added to room.
func scanMessage(src string, room []node) (document, *Error) {
	if len(src) > MaxBody {
		return document{}, fail(ReasonTooLarge, fieldUnknown,
			"has %d bytes; at most %d are allowed", len(src), MaxBody)
	}
	d, err := scanText(src, 0, room)
	if err == nil && d.nodes[0].kind != valueObject {
		err = fail(ReasonNotObject, fieldUnknown, "is %s; only an object is allowed", d.nodes[0].kind.name())
	}
	return d, err
}

// scanText reads one JSON value that lies depth levels deep. The nodes are added
// to room.
func scanText(src string, depth int, room []node) (document, *Error) {
	if !utf8.ValidString(src) {
		return document{}, fail(ReasonInvalidUTF8, fieldUnknown,
			"is not valid UTF-8 at byte %d; only UTF-8 is allowed", invalidAt(src))
	}
	if strings.HasPrefix(src, byteOrderMark) {
		return document{}, fail(ReasonNotJSON, fieldUnknown,
			"is not JSON: it begins with a UTF-8 byte order mark; only JSON text without one is allowed")
	}
	if cap(room) == 0 {
		room = make([]node, 0, roomNodes)
	}
	s := scanner{document: document{src: src, nodes: room, canonical: true}}
	s.space()
	if depth == 0 && !s.begins() {
		return document{}, s.syntax("a JSON object")
	}
	if err := s.value(depth); err != nil {
		return document{}, err
	}
	s.space()
	if s.pos < len(s.src) {
		return document{}, fail(ReasonTrailingData, fieldUnknown,
			"goes on at byte %d after its JSON value; nothing may follow", s.pos)
	}
	return s.document, nil
}

// byteOrderMark is what some editors put before a text (RFC 8259 §8.1).
const byteOrderMark = "\ufeff"

// begins reports whether the text goes on as any JSON value does. A word that
// only shares a letter with null is no attempt at null.
func (s *scanner) begins() bool {
	c := s.peek()
	if c == '-' || isDigit(c) || c == '"' || c == '{' || c == '[' {
		return true
	}
	rest := s.src[s.pos:]
	return strings.HasPrefix(rest, "null") || strings.HasPrefix(rest, "true") || strings.HasPrefix(rest, "false")
}

// invalidAt is the place of the first byte that is not UTF-8.
func invalidAt(src string) int {
	for at := 0; ; {
		r, size := utf8.DecodeRuneInString(src[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
}

// fail names the contract's field that is being read, if any.
func (s *scanner) fail(r Reason, format string, args ...any) *Error {
	return fail(r, fieldOf(s.top), format, args...)
}

func (s *scanner) syntax(expected string) *Error {
	if s.pos >= len(s.src) {
		return s.fail(ReasonNotJSON, "is not JSON: it ends at byte %d, where only %s is allowed", s.pos, expected)
	}
	return s.fail(ReasonNotJSON, "is not JSON: at byte %d only %s is allowed", s.pos, expected)
}

// peek is the next byte, or 0 at the end: no token begins with 0.
func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.canonical = false
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value(depth int) *Error {
	switch c := s.peek(); c {
	case '"':
		return s.quoted()
	case '{':
		return s.object(depth + 1)
	case '[':
		return s.array(depth + 1)
	case 't':
		return s.literal("true", valueBool)
	case 'f':
		return s.literal("false", valueBool)
	case 'n':
		return s.literal("null", valueNull)
	default:
		if c == '-' || isDigit(c) {
			return s.number()
		}
		return s.syntax("a JSON value")
	}
}

func (s *scanner) literal(word string, kind valueKind) *Error {
	start := s.pos
	if !strings.HasPrefix(s.src[start:], word) {
		return s.syntax(word)
	}
	s.pos += len(word)
	s.leaf(kind, start)
	return nil
}

// leaf adds the node of a value without parts that ends here.
func (s *scanner) leaf(kind valueKind, start int) {
	s.nodes = append(s.nodes, node{kind: kind, start: int32(start), end: int32(s.pos)})
}

// open adds the node of an array or an object at its bracket and steps over
// that; close completes the node.
func (s *scanner) open(kind valueKind) (at int) {
	at = len(s.nodes)
	s.nodes = append(s.nodes, node{kind: kind, sorted: true, start: int32(s.pos)})
	s.pos++
	s.space()
	return at
}

func (s *scanner) close(at int) {
	s.pos++
	s.nodes[at].end, s.nodes[at].link = int32(s.pos), int32(len(s.nodes))
}

func (s *scanner) object(depth int) *Error {
	if depth > MaxDepth {
		return s.tooDeep()
	}
	at := s.open(valueObject)
	if s.peek() == '}' {
		s.close(at)
		return nil
	}
	for last := ""; ; {
		name, err := s.name()
		if err != nil {
			return err
		}
		if s.nodes[at].sorted && len(s.nodes) > at+2 && compareUTF16(last, name) >= 0 {
			s.nodes[at].sorted, s.canonical = false, false
		}
		last = name
		if depth == 1 {
			s.top = name
		}
		if err = s.value(depth); err != nil {
			return err
		}
		if depth == 1 {
			s.top = ""
		}
		switch s.space(); s.peek() {
		case ',':
			s.pos++
			s.space()
		case '}':
			s.close(at)
			return nil
		default:
			return s.syntax("a comma or a closing brace")
		}
	}
}

// name reads the name of a member and the colon after it.
func (s *scanner) name() (string, *Error) {
	if s.peek() != '"' {
		return "", s.syntax("a member's name in quotes")
	}
	if err := s.quoted(); err != nil {
		return "", err
	}
	s.space()
	if s.peek() != ':' {
		return "", s.syntax("a colon")
	}
	s.pos++
	s.space()
	return s.text(int32(len(s.nodes) - 1)), nil
}

func (s *scanner) array(depth int) *Error {
	if depth > MaxDepth {
		return s.tooDeep()
	}
	at := s.open(valueArray)
	if s.peek() == ']' {
		s.close(at)
		return nil
	}
	for {
		if err := s.value(depth); err != nil {
			return err
		}
		switch s.space(); s.peek() {
		case ',':
			s.pos++
			s.space()
		case ']':
			s.close(at)
			return nil
		default:
			return s.syntax("a comma or a closing bracket")
		}
	}
}

func (s *scanner) tooDeep() *Error {
	return s.fail(ReasonTooDeep, "nests objects and arrays too deep at byte %d; at most %d levels are allowed", s.pos, MaxDepth)
}

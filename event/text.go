package event

import (
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads a string at its opening quote. A string without escapes, nearly
// every one, stays a part of the source and costs nothing.
func (s *scanner) quoted() *Error {
	start := s.pos
	for i := start + 1; i < len(s.src); i++ {
		switch c := s.src[i]; {
		case c == '"':
			s.pos = i + 1
			s.leaf(valueString, start)
			return nil
		case c == '\\':
			text, err := s.escaped(start+1, i)
			if err != nil {
				return err
			}
			s.leaf(valueString, start)
			s.texts = append(s.texts, text)
			s.nodes[len(s.nodes)-1].link = int32(len(s.texts))
			return nil
		case c < ' ':
			s.pos = i
			return s.syntax("an escape instead of a control character")
		}
	}
	s.pos = len(s.src)
	return s.syntax("a closing quote")
}

// escaped reads the rest of a string that begins at start and has its first
// backslash at i.
func (s *scanner) escaped(start, i int) (string, *Error) {
	out := append(make([]byte, 0, 2*(i-start)+16), s.src[start:i]...)
	for s.pos = i; s.pos < len(s.src); {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return string(out), nil
		case c < ' ':
			return "", s.syntax("an escape instead of a control character")
		case c != '\\':
			out = append(out, c)
			s.pos++
		default:
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, r)
		}
	}
	return "", s.syntax("a closing quote")
}

// escape reads one escape at its backslash, or two that are one character.
func (s *scanner) escape() (rune, *Error) {
	if s.pos+1 < len(s.src) {
		switch c := s.src[s.pos+1]; c {
		case 'u':
			return s.unicodeEscape()
		case '/': // allowed, but never needed
			s.canonical = false
			fallthrough
		case '"', '\\':
			s.pos += 2
			return rune(c), nil
		case 'b', 'f', 'n', 'r', 't':
			s.pos += 2
			return rune(shortEscape(c)), nil
		}
	}
	return 0, s.syntax(`one of the escapes \" \\ \/ \b \f \n \r \t \u`)
}

func shortEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	default:
		return '\t'
	}
}

func (s *scanner) unicodeEscape() (rune, *Error) {
	start := s.pos
	r, ok := s.hex4(start)
	if !ok {
		return 0, s.syntax(`four hexadecimal digits after \u`)
	}
	s.pos += 6
	if utf16.IsSurrogate(r) {
		low, ok := s.hex4(s.pos)
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, s.fail(ReasonLoneSurrogate,
				"has a lone surrogate at byte %d; only pairs are allowed", start)
		}
		s.pos += 6
	}
	if s.canonical {
		var room [8]byte
		quoted := appendString(room[:0], string(r))
		s.canonical = string(quoted[1:len(quoted)-1]) == s.src[start:s.pos]
	}
	return r, nil
}

// hex4 reads the code unit of the escape \uXXXX at i.
func (s *scanner) hex4(i int) (rune, bool) {
	if i+6 > len(s.src) || s.src[i] != '\\' || s.src[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s.src[i+2 : i+6]) {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// compareUTF16 orders valid UTF-8 by UTF-16 code units (RFC 8785 §3.2.3). That
// is the order of the bytes, except that a character beyond U+FFFF (first byte
// F0 or more) begins with a surrogate, which is below U+E000 (EE) and above.
func compareUTF16(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0) {
			x, y = y, x
		}
		return int(x) - int(y)
	}
	return len(a) - len(b)
}

package event

import (
	"math"
	"strconv"
)

// number reads the grammar of RFC 8259 §6 and refuses what no double can hold.
func (s *scanner) number() *Error {
	start := s.pos
	if s.src[s.pos] == '-' {
		s.pos++
	}
	switch whole := s.digits(); {
	case whole == 0:
		return s.syntax("a digit")
	case whole > 1 && s.src[s.pos-whole] == '0':
		s.pos -= whole
		return s.syntax("a number without leading zeros")
	}
	if s.peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.syntax("a digit after the decimal point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c = s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return s.syntax("a digit of the exponent")
		}
	}
	if text := s.src[start:s.pos]; !isPlainInteger(text) {
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return s.fail(ReasonBadNumber,
				"has the number %s at byte %d; only numbers within the range of a double are allowed", excerptNumber(text), start)
		}
		if s.canonical {
			var room [maxNumber]byte
			s.canonical = string(appendNumber(room[:0], value)) == text
		}
	}
	s.leaf(valueNumber, start)
	return nil
}

// digits steps over digits and counts them.
func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.src) && isDigit(s.src[s.pos]) {
		s.pos++
	}
	return s.pos - start
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// maxNumber is more than the longest number that appendNumber writes:
// "-1.2345678901234567e-308" has 24 bytes.
const maxNumber = 32

// appendNumber writes a finite double as ECMAScript does (RFC 8785 §3.2.2.3):
// the fewest digits that read back as the same double, with an exponent only
// below 1e-6 and from 1e21.
func appendNumber(dst []byte, f float64) []byte {
	if f == 0 {
		return append(dst, '0') // negative zero as well
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes two digits of exponent at least, ECMAScript one: e-07 is e-7.
	if n := len(dst); dst[n-2] == '0' && dst[n-3] == '-' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// isPlainInteger reports whether the text of a JSON number is an integer that
// is exact in a double and its own canonical form. It may say no to some.
func isPlainInteger(text string) bool {
	if len(text) > 15 {
		return false
	}
	for i := range len(text) {
		if !isDigit(text[i]) {
			return false
		}
	}
	return true
}

// integer is the value of a JSON number, if it is integral: to JSON Schema and
// to the canonical form 1, 1.0 and 1e0 are the same. What lies outside an int32
// is reported as the nearest bound, which no table holds.
func integer(text string) (int, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) {
		return 0, false
	}
	return int(max(math.MinInt32, min(math.MaxInt32, f))), true
}

package export

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/loginaudit/loginaudit/internal/query"
)

// The functions of this file append JSON as encoding/json writes it without
// escapes for HTML, an order of magnitude faster; a test compares the two.

// plain are the bytes that stand for themselves within quotes.
var plain = func() (is [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// appendText appends a text in quotes.
func appendText[S ~string](b []byte, text S) []byte {
	s := string(text)
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = appendEscape(append(b, s[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript, but not in JSON
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

const hexDigits = "0123456789abcdef"

func appendEscape(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\b':
		return append(b, '\\', 'b')
	case '\f':
		return append(b, '\\', 'f')
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	default:
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
}

// appendOptional appends a text, or null.
func appendOptional[S ~string](b []byte, text *S) []byte {
	if text == nil {
		return append(b, "null"...)
	}
	return appendText(b, *text)
}

func appendNumber[N ~uint8 | ~uint64](b []byte, n N) []byte {
	return strconv.AppendUint(b, uint64(n), 10)
}

func appendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

// appendMoment appends a time in quotes.
func appendMoment(b []byte, t query.Timestamp) []byte {
	return append(appendTime(append(b, '"'), t), '"')
}

// appendTime appends a time as query.Timestamp writes it.
func appendTime(b []byte, t query.Timestamp) []byte {
	at := t.UTC()
	year, month, day := at.Date()
	if year < 0 || year > 9999 {
		return append(b, t.String()...)
	}
	hour, minute, second := at.Clock()
	micros := at.Nanosecond() / 1000
	b = appendDigits(appendDigits(b, year/100), year%100)
	b = appendDigits(append(b, '-'), int(month))
	b = appendDigits(append(b, '-'), day)
	b = appendDigits(append(b, 'T'), hour)
	b = appendDigits(append(b, ':'), minute)
	b = appendDigits(append(b, ':'), second)
	b = appendDigits(append(b, '.'), micros/10000)
	return append(appendDigits(appendDigits(b, micros/100%100), micros%100), 'Z')
}

// appendDigits appends two digits.
func appendDigits(b []byte, n int) []byte { return append(b, byte('0'+n/10), byte('0'+n%10)) }

// appendPairs appends a map of texts, sorted by its names; a nil one is null. names
// is memory that may be used.
func appendPairs(b []byte, pairs map[string]string, names []string) ([]byte, []string) {
	if pairs == nil {
		return append(b, "null"...), names
	}
	names = names[:0]
	for name := range pairs {
		names = append(names, name)
	}
	slices.Sort(names)
	b = append(b, '{')
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(appendText(b, name), ':'), pairs[name])
	}
	return append(b, '}'), names
}

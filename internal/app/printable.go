package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxMarks is how many marks in a row a letter of any living script carries; more
// are a heap that covers the lines above and below.
const maxMarks = 4

// Printable makes text from elsewhere safe for a terminal: control characters,
// invisible and direction-changing ones, heaps of marks, and bytes that are no
// UTF-8 come out as escapes.
func Printable(text string) string {
	var b strings.Builder
	marks := maxMarks // a mark that comes first has nothing to stand on
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		marks++
		if !unicode.Is(unicode.M, r) {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !hidden(r) && marks <= maxMarks:
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += size
	}
	return b.String()
}

// hidden reports whether r shows nothing, or changes how other text is shown.
func hidden(r rune) bool {
	return !unicode.IsPrint(r) || // control, format, separators but the space, private, unassigned
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u2800' // a Braille pattern without dots
}

// printableJSON is v as JSON that is safe for a terminal. The value is the same:
// what is not printable is escaped.
func printableJSON(v any, indent string) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", indent)
	if indent == "" {
		text, err = json.Marshal(v)
	}
	if err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	out := make([]byte, 0, len(text))
	for _, r := range string(text) { // json has replaced what is no UTF-8
		switch {
		case r == '\n' || !hidden(r):
			out = utf8.AppendRune(out, r)
		case r < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		}
	}
	return out, nil
}

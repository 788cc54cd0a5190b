package app

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Printable makes text from elsewhere safe for a terminal: control characters,
// invisible and direction-changing ones and bytes that are no UTF-8 come out as
// escapes.
func Printable(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case unicode.IsPrint(r):
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
		case r == '\n' || unicode.IsPrint(r):
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

package web

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Usernames, user agents and reasons of failed log-ins are the text of whoever
// tried. What could reorder, hide or imitate the text around it is shown as its
// code, so that two different texts never look the same by such means.

// segment is a piece of a text: as it is, or a code point that is shown as
// its code.
type segment struct{ Text, Code string }

// visible cuts a text for one line.
func visible(s string) []segment { return segments(s, false) }

// visibleLines cuts a text in which line feeds and tabs mean what they do.
func visibleLines(s string) []segment { return segments(s, true) }

// plain is visible for attributes and titles, which hold no markup.
func plain(s string) string {
	var b strings.Builder
	for _, piece := range visible(s) {
		if piece.Code != "" {
			b.WriteString("⟨" + piece.Code + "⟩")
		}
		b.WriteString(piece.Text)
	}
	return b.String()
}

// maxMarks is how many marks in a row a letter of any living script carries;
// more are a heap that covers the lines above and below.
const maxMarks = 4

func segments(s string, lines bool) []segment {
	var cut []segment
	start, marks := 0, maxMarks // a mark that comes first has nothing to stand on
	flush := func(end int) {
		if end > start {
			cut = append(cut, segment{Text: s[start:end]})
		}
	}
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		broken := r == utf8.RuneError && size == 1 // no event has such a byte; an address may
		edge := r == ' ' && !lines && (i == 0 || i+1 == len(s))
		if broken || edge || marks > maxMarks || hidden(r, lines) {
			flush(i)
			cut = append(cut, segment{Code: fmt.Sprintf("U+%04X", r)})
			start, marks = i+size, maxMarks
		}
		i += size
	}
	flush(len(s))
	return cut
}

// hidden reports whether r shows nothing, or changes how other text is shown.
func hidden(r rune, lines bool) bool {
	if lines && (r == '\n' || r == '\t') {
		return false
	}
	return !unicode.IsPrint(r) || // control, format, separators but the space, private, unassigned
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		r == '\u2800' // a Braille pattern without dots
}

package app

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// look is how answers for people look.
type look struct {
	colour bool
	wide   bool // cells are not shortened
	zone   *time.Location
}

// colourful tells whether out is a terminal whose user wants colours
// (https://no-color.org).
func colourful(out io.Writer) bool {
	return isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// tone is the colour of a cell: an SGR parameter of ECMA-48.
type tone string

const (
	plain  tone = ""
	strong tone = "1"
	faint  tone = "2"
	bad    tone = "31"
	good   tone = "32"
	open   tone = "33"
)

// cell is text for a person, which may be anybody's: it is made printable when it
// is written.
type cell struct {
	text string
	tone tone
}

// shown is the text in its tone.
func (l look) shown(text string, t tone) string {
	if !l.colour || t == plain || text == "" {
		return text
	}
	return "\x1b[" + string(t) + "m" + text + "\x1b[0m"
}

// column is a column of a table of Ts.
type column[T any] struct {
	head string
	// least and most are its width; more is cut off, unless most is 0.
	least, most int
	cell        func(T, look) cell
}

// table writes rows in columns that are aligned, a portion at a time: its columns
// grow where a later portion needs it.
type table[T any] struct {
	out     io.Writer
	look    look
	columns []column[T]
	widths  []int
}

func newTable[T any](out io.Writer, l look, columns []column[T]) *table[T] {
	t := &table[T]{out: out, look: l, columns: columns}
	return t
}

// head writes the names of the columns, once.
func (t *table[T]) head(rows [][]cell) error {
	names := make([]cell, len(t.columns))
	for i, c := range t.columns {
		names[i] = cell{c.head, strong}
	}
	first := t.widths == nil
	if first {
		t.widths = make([]int, len(t.columns))
		for i, c := range t.columns {
			t.widths[i] = c.least
		}
		rows = append(rows, names)
	}
	for _, row := range rows {
		for i, c := range row {
			t.widths[i] = max(t.widths[i], uniseg.StringWidth(c.text))
		}
	}
	if first {
		return t.write(names)
	}
	return nil
}

// add writes a portion of rows.
func (t *table[T]) add(portion []T) error {
	rows := make([][]cell, len(portion))
	for i, v := range portion {
		for _, c := range t.columns {
			made := c.cell(v, t.look)
			made.text = Printable(made.text)
			if c.most > 0 && !t.look.wide {
				made.text = shorten(made.text, c.most)
			}
			rows[i] = append(rows[i], made)
		}
	}
	if err := t.head(rows); err != nil {
		return err
	}
	for _, row := range rows {
		if err := t.write(row); err != nil {
			return err
		}
	}
	return nil
}

func (t *table[T]) write(row []cell) error {
	var line strings.Builder
	for i, c := range row {
		line.WriteString(t.look.shown(c.text, c.tone))
		if i < len(row)-1 {
			line.WriteString(strings.Repeat(" ", t.widths[i]-uniseg.StringWidth(c.text)+2))
		}
	}
	if _, err := fmt.Fprintln(t.out, strings.TrimRight(line.String(), " ")); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// shorten cuts a text to a width. Wide letters count two, marks on a letter none,
// and no letter is cut from its marks.
func shorten(text string, most int) string {
	if uniseg.StringWidth(text) <= most {
		return text
	}
	var kept strings.Builder
	left, state := most-1, -1
	for text != "" {
		var cluster string
		var width int
		cluster, text, width, state = uniseg.FirstGraphemeClusterInString(text, state)
		if width > left {
			break
		}
		kept.WriteString(cluster)
		left -= width
	}
	return kept.String() + "…"
}

package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/loginaudit/loginaudit/client"
)

// rowWriter writes a list in one of the forms, a portion at a time.
type rowWriter[T any] interface {
	add(rows []T) error
	// end closes the list; next is where it goes on, nil where it does not.
	end(next *string, mark client.Watermark) error
}

// newRows makes the writer of a form. member is what the API calls the list.
func newRows[T any](s AskSettings, out io.Writer, member string, columns []column[T]) rowWriter[T] {
	l := s.look(out)
	switch s.Output {
	case outputJSON:
		return &jsonRows[T]{out: out, member: member}
	case outputNDJSON:
		return ndjsonRows[T]{out}
	case outputCSV:
		return &csvRows[T]{out: out, escape: isTerminal(out)}
	default:
		return &tableRows[T]{newTable(out, l, columns)}
	}
}

func (s AskSettings) look(out io.Writer) look {
	zone, _ := s.zone() // validated
	return look{colour: colourful(out), wide: s.Wide, zone: zone}
}

type tableRows[T any] struct{ table *table[T] }

func (w *tableRows[T]) add(rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	return w.table.add(rows)
}

func (w *tableRows[T]) end(*string, client.Watermark) error {
	if w.table.widths == nil {
		fmt.Fprintln(w.table.out, nothingMatches)
	}
	return nil
}

type ndjsonRows[T any] struct{ out io.Writer }

func (w ndjsonRows[T]) add(rows []T) error {
	for _, row := range rows {
		if err := writeJSON(w.out, row, ""); err != nil {
			return err
		}
	}
	return nil
}

func (ndjsonRows[T]) end(*string, client.Watermark) error { return nil }

// jsonRows writes the document of the API with all rows in one, without holding
// them.
type jsonRows[T any] struct {
	out    io.Writer
	member string
	begun  bool
}

func (w *jsonRows[T]) add(rows []T) error {
	for _, row := range rows {
		text, err := printableJSON(row, "  ")
		if err != nil {
			return err
		}
		before := ",\n    "
		if !w.begun {
			before, w.begun = "{\n  "+strconv.Quote(w.member)+": [\n    ", true
		}
		if _, err := io.WriteString(w.out, before+string(bytes.ReplaceAll(text, []byte("\n"), []byte("\n    ")))); err != nil {
			return fmt.Errorf("write list: %w", err)
		}
	}
	return nil
}

func (w *jsonRows[T]) end(next *string, mark client.Watermark) error {
	text := "\n  ]"
	if !w.begun {
		text = "{\n  " + strconv.Quote(w.member) + ": []"
	}
	cursor, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	watermark, err := json.MarshalIndent(mark, "  ", "  ")
	if err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	if _, err := fmt.Fprintf(w.out, "%s,\n  \"next_cursor\": %s,\n  \"watermark\": %s\n}\n", text, cursor, watermark); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

// csvRows writes a header and a record for each row. The cells are exact; for a
// terminal they are made printable.
type csvRows[T any] struct {
	out    io.Writer
	escape bool
	begun  bool
}

func (w *csvRows[T]) add(rows []T) error {
	for _, row := range rows {
		names, cells, err := record(row)
		if err != nil {
			return err
		}
		if err := w.write(names, cells); err != nil {
			return err
		}
	}
	return nil
}

func (w *csvRows[T]) write(names, cells []string) error {
	var text []byte
	if !w.begun {
		text, w.begun = csvLine(names), true
	}
	if w.escape {
		for i := range cells {
			cells[i] = Printable(cells[i])
		}
	}
	if _, err := w.out.Write(append(text, csvLine(cells)...)); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

// end writes the header where there was no row to write it above.
func (w *csvRows[T]) end(*string, client.Watermark) error {
	if w.begun {
		return nil
	}
	var none T
	names, _, err := record(none)
	if err != nil {
		return err
	}
	if _, err := w.out.Write(csvLine(names)); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

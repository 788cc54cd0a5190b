package store

import (
	"encoding/binary"

	"github.com/ClickHouse/ch-go/proto"
)

// textColumn is a column of type String in the very form in which it is sent:
// each value behind its length (ClickHouse's native format). Adding a value
// copies its bytes once; sending the column copies nothing.
type textColumn struct {
	sent []byte
	rows int
}

var _ proto.ColInput = (*textColumn)(nil)

func (c *textColumn) add(value string) {
	c.sent = append(binary.AppendUvarint(c.sent, uint64(len(value))), value...)
	c.rows++
}

func (c *textColumn) addBytes(value []byte) {
	c.sent = append(binary.AppendUvarint(c.sent, uint64(len(value))), value...)
	c.rows++
}

// pick adds those values of another column whose rows are wanted, in order.
func (c *textColumn) pick(from *textColumn, wanted func(row int) bool) {
	rest := from.sent
	for row := range from.rows {
		size, head := binary.Uvarint(rest)
		end := head + int(size)
		if wanted(row) {
			c.addBytes(rest[head:end])
		}
		rest = rest[end:]
	}
}

// at is a copy of the value of a row. It reads all rows before it.
func (c *textColumn) at(row int) string {
	rest := c.sent
	for {
		size, head := binary.Uvarint(rest)
		end := head + int(size)
		if row == 0 {
			return string(rest[head:end])
		}
		rest, row = rest[end:], row-1
	}
}

// keepBelow is the size of a column's memory that is always kept.
const keepBelow = 1 << 20

// Reset empties the column. Memory of which the last rows used little is given
// back: one block of long texts must not be paid for by all later ones.
func (c *textColumn) Reset() {
	if cap(c.sent) > keepBelow && cap(c.sent) > 4*len(c.sent) {
		c.sent = nil
	}
	c.sent, c.rows = c.sent[:0], 0
}

// Type implements proto.ColInput.
func (c *textColumn) Type() proto.ColumnType { return proto.ColumnTypeString }

// Rows implements proto.ColInput.
func (c *textColumn) Rows() int { return c.rows }

// EncodeColumn implements proto.ColInput.
func (c *textColumn) EncodeColumn(b *proto.Buffer) { b.PutRaw(c.sent) }

// WriteColumn implements proto.ColInput.
func (c *textColumn) WriteColumn(w *proto.Writer) { w.ChainWrite(c.sent) }

// wordColumn is a column of type LowCardinality(String). It keeps its own copy
// of each different value, so that it shares no memory with what it was given.
type wordColumn struct {
	*proto.ColLowCardinality[string]
	known map[string]string
}

// mostWords bounds what is kept of values that were not as few as the type
// promises.
const mostWords = 10_000

func newWordColumn() *wordColumn {
	return &wordColumn{new(proto.ColStr).LowCardinality(), make(map[string]string)}
}

// Append implements proto.ColumnOf.
func (c *wordColumn) Append(value string) {
	word, ok := c.known[value]
	if !ok {
		if len(c.known) >= mostWords {
			clear(c.known)
		}
		word = string([]byte(value)) // a copy: value may lie in a message
		c.known[word] = word
	}
	c.ColLowCardinality.Append(word)
}

// AppendArr implements proto.ColumnOf.
func (c *wordColumn) AppendArr(values []string) {
	for _, v := range values {
		c.Append(v)
	}
}

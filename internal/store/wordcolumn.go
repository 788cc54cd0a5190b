package store

import (
	"errors"
	"fmt"

	"github.com/ClickHouse/ch-go/proto"
)

// wordReader receives a column of type LowCardinality(String): each different value
// once, and for every row which of them it is. The driver's own type makes a text
// of its own for every row.
type wordReader struct {
	dictionary proto.ColStr
	keys8      proto.ColUInt8
	keys16     proto.ColUInt16
	keys32     proto.ColUInt32
	keys       []int
}

var (
	_ proto.ColResult    = (*wordReader)(nil)
	_ proto.StateDecoder = (*wordReader)(nil)
)

var errWords = errors.New("unknown form of a LowCardinality column")

// Type implements proto.ColResult.
func (c *wordReader) Type() proto.ColumnType {
	return proto.ColumnTypeLowCardinality.Sub(proto.ColumnTypeString)
}

// Rows implements proto.ColResult.
func (c *wordReader) Rows() int { return len(c.keys) }

// Reset implements proto.ColResult.
func (c *wordReader) Reset() {
	c.dictionary.Reset()
	c.keys8, c.keys16, c.keys32 = c.keys8[:0], c.keys16[:0], c.keys32[:0]
	c.keys = c.keys[:0]
}

// The parts of the head of a column in ClickHouse's native format.
const (
	wordsVersion        = 1      // shared dictionaries with additional keys
	wordsKeyType        = 0xff   // the size of a key: 0 is one byte, 1 two, 2 four
	wordsGlobal         = 1 << 8 // the dictionary was sent before
	wordsHaveDictionary = 1 << 9 // the dictionary follows
)

// DecodeState implements proto.StateDecoder.
func (c *wordReader) DecodeState(r *proto.Reader) error {
	version, err := r.Int64()
	if err == nil && version != wordsVersion {
		err = errWords
	}
	return err
}

// DecodeColumn implements proto.ColResult.
func (c *wordReader) DecodeColumn(r *proto.Reader, rows int) error {
	c.Reset()
	if rows == 0 {
		return nil
	}
	head, err := r.Int64()
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	if head&wordsGlobal != 0 || head&wordsHaveDictionary == 0 {
		return errWords
	}
	size, err := r.Int64()
	if err != nil {
		return fmt.Errorf("read size of dictionary: %w", err)
	}
	if size < 0 || size > int64(rows)+1 { // no more values than rows, and the empty one
		return errWords
	}
	if err := c.dictionary.DecodeColumn(r, int(size)); err != nil {
		return fmt.Errorf("read dictionary: %w", err)
	}
	n, err := r.Int64()
	if err == nil && n != int64(rows) {
		err = errWords
	}
	if err != nil {
		return fmt.Errorf("read number of keys: %w", err)
	}
	return c.decodeKeys(r, rows, head&wordsKeyType)
}

func (c *wordReader) decodeKeys(r *proto.Reader, rows int, keyType int64) (err error) {
	switch keyType {
	case 0:
		err = c.keys8.DecodeColumn(r, rows)
		c.keys = appendKeys(c.keys, c.keys8)
	case 1:
		err = c.keys16.DecodeColumn(r, rows)
		c.keys = appendKeys(c.keys, c.keys16)
	case 2:
		err = c.keys32.DecodeColumn(r, rows)
		c.keys = appendKeys(c.keys, c.keys32)
	default:
		err = errWords
	}
	if err != nil {
		return fmt.Errorf("read keys: %w", err)
	}
	for _, key := range c.keys {
		if key >= len(c.dictionary.Pos) {
			return errWords
		}
	}
	return nil
}

func appendKeys[K uint8 | uint16 | uint32](to []int, keys []K) []int {
	for _, key := range keys {
		to = append(to, int(key))
	}
	return to
}

// optional are the values of the rows, nil where one is empty.
func (c *wordReader) optional() []*string {
	values := optionalTexts(texts(&c.dictionary))
	all := make([]*string, len(c.keys))
	for i, key := range c.keys {
		all[i] = values[key]
	}
	return all
}

// attributeColumn receives a column of type Map(LowCardinality(String), String).
type attributeColumn struct {
	offsets proto.ColUInt64
	keys    wordReader
	values  proto.ColStr

	keyTexts, valueTexts []string // of the block, made when first asked for
}

var (
	_ proto.ColResult    = (*attributeColumn)(nil)
	_ proto.StateDecoder = (*attributeColumn)(nil)
)

// Type implements proto.ColResult.
func (c *attributeColumn) Type() proto.ColumnType {
	return proto.ColumnTypeMap.Sub(c.keys.Type(), proto.ColumnTypeString)
}

// Rows implements proto.ColResult.
func (c *attributeColumn) Rows() int { return len(c.offsets) }

// Reset implements proto.ColResult.
func (c *attributeColumn) Reset() {
	c.offsets.Reset()
	c.keys.Reset()
	c.values.Reset()
	c.keyTexts, c.valueTexts = nil, nil
}

// DecodeState implements proto.StateDecoder.
func (c *attributeColumn) DecodeState(r *proto.Reader) error { return c.keys.DecodeState(r) }

// DecodeColumn implements proto.ColResult.
func (c *attributeColumn) DecodeColumn(r *proto.Reader, rows int) error {
	c.Reset()
	if rows == 0 {
		return nil
	}
	if err := c.offsets.DecodeColumn(r, rows); err != nil {
		return fmt.Errorf("read offsets: %w", err)
	}
	pairs := int(c.offsets[rows-1])
	if err := c.keys.DecodeColumn(r, pairs); err != nil {
		return fmt.Errorf("read names: %w", err)
	}
	if err := c.values.DecodeColumn(r, pairs); err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	c.keyTexts, c.valueTexts = texts(&c.keys.dictionary), texts(&c.values)
	return nil
}

// row is the attributes of a row, nil where it has none.
func (c *attributeColumn) row(i int) map[string]string {
	from, to := uint64(0), c.offsets[i]
	if i > 0 {
		from = c.offsets[i-1]
	}
	if from == to {
		return nil
	}
	attributes := make(map[string]string, to-from)
	for j := from; j < to; j++ {
		attributes[c.keyTexts[c.keys.keys[j]]] = c.valueTexts[j]
	}
	return attributes
}

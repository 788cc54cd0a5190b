package publish

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"
)

// cursor keeps on disk up to which sequence everything is delivered. It is
// written in place, in two slots by turns, each with a checksum: a torn write
// costs one step, and a full disk does not matter. It may lag behind, which
// costs repeats and never an event.
type cursor struct {
	f      *os.File
	slot   int64
	synced time.Time
}

const (
	cursorSlot  = 512 // a disk's sector, so that one torn write hits one slot
	cursorSize  = 8 + 4
	cursorEvery = time.Second // the longest that a written cursor is not synced
)

var errCursor = errors.New("the file of the delivery's place is damaged: everything in the outbox is sent again")

// openCursor gives the sequence too; with errCursor it is 0 and the cursor serves.
func openCursor(path string) (*cursor, uint64, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open cursor: %w", err)
	}
	data := make([]byte, 2*cursorSlot)
	n, err := io.ReadFull(f, data)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, 0, errors.Join(fmt.Errorf("read cursor: %w", err), f.Close())
	}
	c := &cursor{f: f}
	var seq uint64
	valid := n == 0
	for slot := range int64(2) {
		at := data[slot*cursorSlot:]
		if binary.LittleEndian.Uint32(at[8:]) != crc32.Checksum(at[:8], crc32.MakeTable(crc32.Castagnoli)) {
			continue
		}
		valid = true
		if s := binary.LittleEndian.Uint64(at); s >= seq {
			seq, c.slot = s, 1-slot
		}
	}
	if !valid {
		return c, 0, errCursor
	}
	return c, seq, nil
}

// write notes that everything up to seq is delivered. It survives the end of
// the process at once, and that of the machine after cursorEvery or sync.
func (c *cursor) write(seq uint64) error {
	data := binary.LittleEndian.AppendUint64(make([]byte, 0, cursorSize), seq)
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)))
	if _, err := c.f.WriteAt(data, c.slot*cursorSlot); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	c.slot = 1 - c.slot
	if time.Since(c.synced) < cursorEvery {
		return nil
	}
	return c.sync()
}

func (c *cursor) sync() error {
	if err := c.f.Sync(); err != nil {
		return fmt.Errorf("sync cursor: %w", err)
	}
	c.synced = time.Now()
	return nil
}

func (c *cursor) close() error {
	return errors.Join(c.sync(), c.f.Close())
}

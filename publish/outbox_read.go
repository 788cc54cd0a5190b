package publish

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// fill reads the next window. It reports false when nothing is left to read.
func (d *delivery) fill() (bool, error) {
	if len(d.buf) == 0 && d.at == d.end {
		if !d.pick() {
			return false, nil
		}
		if err := d.load(); err != nil {
			d.end = d.at
			return false, err
		}
	}
	size := 0
	for len(d.buf) > 0 && len(d.window) < windowMessages && size < windowBytes {
		r, n, err := decodeRecord(d.buf)
		if err != nil {
			d.skip()
			continue
		}
		d.buf, d.at = d.buf[n:], d.at+int64(n)
		d.read = r.seq
		d.window, d.sizes = append(d.window, r), append(d.sizes, n)
		size += n
	}
	if len(d.buf) == 0 && d.at < d.end {
		d.lost(d.end-d.at, d.last-d.read)
		d.at, d.read = d.end, d.last
	}
	if len(d.window) > 0 {
		d.b.mu.Lock()
		d.b.oldest = d.window[0].stored
		d.b.mu.Unlock()
	}
	return true, nil
}

// pick chooses the segment, and how much of it, that is read next.
func (d *delivery) pick() bool {
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	for _, s := range d.b.segments {
		if s.last <= d.read {
			continue
		}
		if s != d.seg {
			d.seg, d.at = s, s.start
		}
		d.end, d.last = s.size, s.last
		return true
	}
	return false
}

// load reads what pick chose. A file that is shorter than it was, or gone, is
// damaged, not an error: delivery goes on with the next.
func (d *delivery) load() error {
	f, err := os.Open(d.seg.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	buf := make([]byte, d.end-d.at)
	n, err := f.ReadAt(buf, d.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(fmt.Errorf("read outbox: %w", err), f.Close())
	}
	d.buf = buf[:n]
	return f.Close()
}

// skip passes over a damaged stretch, up to the next record that can be read.
func (d *delivery) skip() {
	n := resync(d.buf)
	if n < 0 {
		d.buf = nil // fill tells that the rest is lost
		return
	}
	r, _, _ := decodeRecord(d.buf[n:])
	d.lost(int64(n), max(r.seq, d.read+1)-d.read-1)
	d.buf, d.at = d.buf[n:], d.at+int64(n)
}

// lost tells damage, unless it was found and told at the start.
func (d *delivery) lost(bytes int64, records uint64) {
	b, s := d.b, d.seg
	b.mu.Lock()
	if s.known[d.at] {
		b.mu.Unlock()
		return
	}
	s.known[d.at], s.damaged = true, true
	b.stats.Damaged += records
	b.forget(int(records), bytes)
	b.mu.Unlock()
	b.options.Alarm(&Damage{File: s.path + damagedSuffix, Offset: d.at, Bytes: bytes, Records: records})
}

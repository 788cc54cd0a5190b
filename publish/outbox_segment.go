package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Files of an outbox.
const (
	lockName      = "lock"
	cursorName    = "cursor"
	refusedName   = "refused.ndjson"
	segmentPrefix = "segment-"
	segmentSuffix = ".v1" // the version of the record format
	damagedSuffix = ".damaged"
)

// segment is one file of records. What changes is guarded by Outbox.mu.
type segment struct {
	path  string
	first uint64 // the sequence of its first record, also in its name
	last  uint64 // of its last one that can be read; first-1 while there is none
	size  int64  // bytes that are on disk for certain
	start int64  // where the first record lies that was not delivered at the start
	// sealed tells that nothing is appended any more.
	sealed bool
	// damaged keeps the file from being removed; known are the damaged
	// stretches that were told already, by their offset.
	damaged bool
	known   map[int64]bool
}

// segmentFile is what the writer needs of a segment's file: an *os.File.
type segmentFile interface {
	WriteAt(p []byte, offset int64) (int, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%020d%s", segmentPrefix, first, segmentSuffix))
}

// createSegment makes a new file. A file of that name can only be the rest of a
// failed creation: it holds nothing that anybody was told is stored.
func createSegment(path string) (segmentFile, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// recovered is what an earlier process left.
type recovered struct {
	segments []*segment
	last     uint64 // the greatest sequence in use
	records  int    // to be delivered
	bytes    int64
	oldest   time.Time
	damage   []*Damage
}

// recoverSegments reads what lies in dir and is not delivered, cuts the torn end
// of the last file and removes what is delivered.
func recoverSegments(dir string, delivered uint64) (*recovered, error) {
	files, err := segmentFiles(dir)
	if err != nil {
		return nil, err
	}
	r := &recovered{last: delivered}
	for i, s := range files {
		before := uint64(0) // the sequence before which this file ends; 0 for the last
		if i+1 < len(files) {
			before = files[i+1].first
		}
		if err := r.add(s, delivered, before); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// segmentFiles lists the segments in their order, which is that of their names.
func segmentFiles(dir string) ([]*segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []*segment
	for _, entry := range entries {
		name, ours := strings.CutPrefix(entry.Name(), segmentPrefix)
		if !ours || strings.HasSuffix(name, damagedSuffix) {
			continue
		}
		digits, known := strings.CutSuffix(name, segmentSuffix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if !known || err != nil || first == 0 {
			return nil, fmt.Errorf("file %s is not of this version of the outbox", entry.Name())
		}
		files = append(files, &segment{
			path: filepath.Join(dir, entry.Name()), first: first, last: first - 1,
			sealed: true, known: map[int64]bool{},
		})
	}
	return files, nil
}

// add reads one segment.
func (r *recovered) add(s *segment, delivered, before uint64) error {
	data, err := os.ReadFile(s.path)
	if err != nil {
		return err
	}
	gaps := map[int64]uint64{} // how many sequences are missing before the record at an offset
	started := false
	damaged, end := scan(data, func(rec record, offset int64, size int) {
		if from := max(s.last, delivered); rec.seq > from+1 {
			gaps[offset] = rec.seq - from - 1
		}
		s.last = max(s.last, rec.seq)
		if rec.seq <= delivered {
			return
		}
		if !started {
			s.start, started = offset, true
		}
		if r.records == 0 {
			r.oldest = rec.stored
		}
		r.records++
		r.bytes += int64(size)
	})
	for _, d := range damaged {
		r.tell(s, d, gaps[d.offset+d.size])
	}
	s.size = end
	switch tail := int64(len(data)) - end; {
	case tail > 0 && before == 0:
		if err := cutTail(s.path, end); err != nil {
			return err
		}
		r.damage = append(r.damage, &Damage{File: s.path, Offset: end, Bytes: tail, Torn: true})
	default:
		// Of this file's end, or of a file between this and the next.
		if from := max(s.last, delivered); before > from+1 {
			r.tell(s, stretch{end, tail}, before-from-1)
		}
	}
	r.last = max(r.last, s.last)
	if !started {
		return s.remove()
	}
	r.segments = append(r.segments, s)
	return nil
}

// tell notes damage. The file is kept, unless all that it lost was delivered.
func (r *recovered) tell(s *segment, d stretch, lost uint64) {
	s.known[d.offset] = true
	if lost > 0 {
		s.damaged = true
		r.damage = append(r.damage, &Damage{File: s.path + damagedSuffix, Offset: d.offset, Bytes: d.size, Records: lost})
	}
}

func cutTail(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// remove removes a file of which everything is delivered, or keeps it under
// another name where something in it is lost. A file that is gone is no matter.
func (s *segment) remove() error {
	remove := func() error { return os.Remove(s.path) }
	if s.damaged {
		remove = func() error { return os.Rename(s.path, s.path+damagedSuffix) }
	}
	if err := remove(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/loginaudit/loginaudit/event"
)

// lineReader reads lines and holds no more of one than an event may have.
type lineReader struct {
	r      *bufio.Reader
	number uint64
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 256<<10)}
}

// next gives the next line that is not blank, without its end (LF or CR LF),
// in memory of its own, and its number from 1. A line that is too long is given
// cut: longer than an event may be, so that it is refused. io.EOF ends.
func (l *lineReader) next() (line []byte, number uint64, err error) {
	for {
		line, err = l.one()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, l.number, fmt.Errorf("read line %d: %w", l.number, err)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			return line, l.number, nil
		}
		if err != nil {
			return nil, l.number, io.EOF
		}
	}
}

func (l *lineReader) one() ([]byte, error) {
	const most = event.MaxBody + 1
	var line []byte
	l.number++
	for {
		part, err := l.r.ReadSlice('\n')
		ended := err == nil
		if ended {
			part = bytes.TrimSuffix(part[:len(part)-1], []byte("\r"))
		}
		line = append(line, part[:min(len(part), most-len(line))]...)
		if ended || !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

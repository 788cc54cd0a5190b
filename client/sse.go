package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// message is one server-sent event (WHATWG HTML, 9.2).
type message struct {
	kind string // of the field event
	id   string // the last id that was told, by this message or one before
	data []byte
}

// messages reads server-sent events.
type messages struct {
	lines *bufio.Scanner
	id    string
	// retry is how long the server asks to wait after a break.
	retry time.Duration
}

// maxLine bounds a line. An event is 64 KiB, and more as JSON.
const maxLine = 1 << 20

func newMessages(r io.Reader) *messages {
	m := &messages{lines: bufio.NewScanner(r)}
	m.lines.Buffer(make([]byte, 0, 4096), maxLine)
	return m
}

// next is the next message that has data; io.EOF when there is none. What an
// ending connection leaves unfinished is no message.
func (m *messages) next() (message, error) {
	var now message
	var data [][]byte
	for m.lines.Scan() {
		line := m.lines.Bytes()
		if len(line) == 0 {
			if data == nil {
				now = message{}
				continue
			}
			now.id, now.data = m.id, bytes.Join(data, []byte("\n"))
			return now, nil
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			now.kind = string(value)
		case "data":
			data = append(data, bytes.Clone(value))
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				m.retry = time.Duration(ms) * time.Millisecond
			}
		case "id":
			if !strings.ContainsRune(string(value), 0) {
				m.id = string(value)
			}
		}
	}
	switch err := m.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return message{}, fmt.Errorf("read the tail: %w: a line of more than %d bytes", ErrTooLarge, maxLine)
	case err != nil:
		return message{}, err
	}
	return message{}, io.EOF
}

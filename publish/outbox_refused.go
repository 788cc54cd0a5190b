package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// refusedEvent is a line of the file of refused events.
type refusedEvent struct {
	RefusedAt time.Time `json:"refused_at"`
	StoredAt  time.Time `json:"stored_at"`
	Reason    string    `json:"reason"`
	Code      int       `json:"code,omitempty"` // of JetStream
	Subject   string    `json:"subject"`
	// Event is the body without white space between its members: the same content.
	Event json.RawMessage `json:"event,omitempty"`
	// Body is the body where it is no JSON, which only a message made by hand can be.
	Body []byte `json:"body,omitempty"`
}

// setAside appends an event that can never be delivered to the file of refused
// events, synced. The file is opened anew each time, so that an operator may
// move it away.
func (d *delivery) setAside(r record, reason *Error) error {
	line := refusedEvent{
		RefusedAt: time.Now().UTC(), StoredAt: r.stored, Reason: reason.Error(), Code: reason.Code, Subject: r.msg.Subject,
	}
	if json.Valid(r.msg.Body) {
		line.Event = r.msg.Body
	} else {
		line.Body = r.msg.Body
	}
	data, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("set refused event aside: %w", err)
	}
	if err := appendLine(filepath.Join(d.b.options.Dir, refusedName), data, d.b.options.MaxBytes); err != nil {
		return fmt.Errorf("set refused event aside: %w", err)
	}
	return nil
}

// appendLine appends a line to a file that may end in a torn one.
func appendLine(path string, line []byte, limit int64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if size+int64(len(line)) > limit {
		return errors.Join(fmt.Errorf("%s has %d bytes, allowed are %d: move it away", path, size, limit), f.Close())
	}
	if size > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, size-1); err != nil {
			return errors.Join(err, f.Close())
		}
		if last[0] != '\n' {
			line = append([]byte{'\n'}, line...)
		}
	}
	if _, err := f.WriteAt(append(line, '\n'), size); err != nil {
		return errors.Join(err, f.Truncate(size), f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil || size > 0 {
		return err
	}
	return syncDir(filepath.Dir(path))
}

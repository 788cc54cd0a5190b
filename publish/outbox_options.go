package publish

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const minOutboxBytes = 1 << 20

func (o OutboxOptions) withDefaults(p Options) OutboxOptions {
	set(&o.MaxBytes, 256<<20)
	set(&o.MaxRecords, 1_000_000)
	set(&o.SegmentBytes, min(4<<20, o.MaxBytes/4))
	set(&o.DirectTimeout, p.Timeout/4)
	set(&o.RetryPause, 250*time.Millisecond)
	if o.Alarm == nil {
		o.Alarm = func(error) {}
	}
	return o
}

func (o OutboxOptions) validate() error {
	switch {
	case o.Dir == "":
		return errors.New("option Dir is empty, it must name a directory")
	case o.MaxBytes < minOutboxBytes:
		return fmt.Errorf("option MaxBytes is %d, it must be at least %d", o.MaxBytes, minOutboxBytes)
	case o.MaxRecords < 1:
		return fmt.Errorf("option MaxRecords is %d, it must be positive", o.MaxRecords)
	case o.SegmentBytes < 1 || o.SegmentBytes > o.MaxBytes:
		return fmt.Errorf("option SegmentBytes is %d, it must be 1 to MaxBytes", o.SegmentBytes)
	case o.DirectTimeout < 0:
		return fmt.Errorf("option DirectTimeout is %s, it must be positive", o.DirectTimeout)
	case o.RetryPause < 0:
		return fmt.Errorf("option RetryPause is %s, it must be positive", o.RetryPause)
	}
	return nil
}

// privateDir makes the directory where it is missing, and refuses one to which
// others may write: they could replace what is in it.
func privateDir(dir string) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("directory %s has mode %04o: others may write to it, make it 0700", dir, mode)
	}
	return nil
}

// makeDir makes a directory and those above it where they are missing, synced,
// so that a power cut does not take the outbox away as a whole.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(above)
}

package publish_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/publish"
)

func TestDirectoryBelongsToOneOutboxOnly(t *testing.T) {
	nc := connect(t, server(t, nil))
	p := publisher(t, nc, publish.Options{})
	dir := filepath.Join(t.TempDir(), "a", "b")
	b := outbox(t, nc, quick(dir))
	if _, err := p.OpenOutbox(quick(dir)); !errors.Is(err, publish.ErrOutboxLocked) {
		t.Errorf("error is %v, want %v", err, publish.ErrOutboxLocked)
	}
	leave(t, b)
	again, err := p.OpenOutbox(quick(dir))
	if err != nil {
		t.Fatal(err)
	}
	leave(t, again)
}

func TestFilesAreTheirOwnersOnly(t *testing.T) {
	nc := connect(t, server(t, nil))
	dir := filepath.Join(t.TempDir(), "outbox")
	b := outbox(t, nc, quick(dir))
	keep(t, b, login("e-1"))
	for path, want := range map[string]os.FileMode{".": 0o700, "lock": 0o600, "cursor": 0o600, "segment-00000000000000000001.v1": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := publisher(t, nc, publish.Options{}).OpenOutbox(quick(open)); err == nil || !strings.Contains(err.Error(), "0770") {
		t.Errorf("error is %v, want it to tell the mode", err)
	}
}

func TestWrongOutboxOptionsAreRefusedByName(t *testing.T) {
	p := publisher(t, connect(t, server(t, nil)), publish.Options{})
	cases := map[string]publish.OutboxOptions{
		"Dir":           {},
		"MaxBytes":      {Dir: "x", MaxBytes: 1},
		"MaxRecords":    {Dir: "x", MaxRecords: -1},
		"SegmentBytes":  {Dir: "x", SegmentBytes: 1 << 40},
		"DirectTimeout": {Dir: "x", DirectTimeout: -1},
		"RetryPause":    {Dir: "x", RetryPause: -1},
	}
	for name, options := range cases {
		if _, err := p.OpenOutbox(options); err == nil || !strings.Contains(err.Error(), "option "+name+" ") {
			t.Errorf("%s: error is %v, want it to name the option", name, err)
		}
	}
}

func TestDirectoryThatCannotBeUsedIsToldByEachOfItsReasons(t *testing.T) {
	p := publisher(t, connect(t, server(t, nil)), publish.Options{})
	cases := map[string]func(dir string) error{
		"a file":            func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"lock is no file":   func(dir string) error { return os.MkdirAll(filepath.Join(dir, "lock"), 0o700) },
		"cursor is no file": func(dir string) error { return os.MkdirAll(filepath.Join(dir, "cursor"), 0o700) },
		"segment is no file": func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, "segment-00000000000000000001.v1"), 0o700)
		},
		"of a newer version": func(dir string) error {
			return os.MkdirAll(filepath.Join(dir, "segment-00000000000000000001.v2"), 0o700)
		},
		"segment without number": func(dir string) error { return os.MkdirAll(filepath.Join(dir, "segment-x.v1"), 0o700) },
	}
	for name, prepare := range cases {
		dir := filepath.Join(t.TempDir(), "outbox")
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		if b, err := p.OpenOutbox(quick(dir)); err == nil {
			leave(t, b)
			t.Errorf("%s: the outbox opens", name)
		} else if !strings.HasPrefix(err.Error(), "open outbox: ") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func TestDirectoryThatIsGoneIsToldByPublish(t *testing.T) {
	nc := connect(t, server(t, nil))
	dir := filepath.Join(t.TempDir(), "outbox")
	b := outbox(t, nc, quick(dir))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	_, err := b.Publish(t.Context(), login("e-1"))
	wantError(t, err, publish.ErrOutboxDisk, true)
	if !errors.Is(err, os.ErrNotExist) || !errors.Is(err, publish.ErrUnavailable) {
		t.Errorf("error is %v, want both reasons in it", err)
	}
}

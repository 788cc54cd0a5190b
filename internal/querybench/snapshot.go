package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// linkFrom is the size from which a file of a table is linked instead of copied.
const linkFrom = 64 << 10

// copyLoaded makes the folder that a measurement runs on from the one that was
// loaded, which stays as it is. ClickHouse never changes a file of a part, so the
// large ones are shared.
func copyLoaded(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	tables := filepath.Join("data", "store") + string(filepath.Separator)
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, info.Mode().Perm())
		case info.Mode()&fs.ModeSymlink != 0:
			return relink(path, target, from, to)
		case !info.Mode().IsRegular():
			return nil // sockets and pipes of an earlier run
		case strings.Contains(name, tables) && info.Size() >= linkFrom:
			return os.Link(path, target) //nolint:gosec // G122: the folder is our own
		}
		return copyFile(path, target, info.Mode().Perm())
	})
	if err != nil {
		return fmt.Errorf("copy what was loaded: %w", err)
	}
	return nil
}

// relink copies a link; one into the folder itself then leads into the copy.
func relink(path, target, from, to string) error {
	leads, err := os.Readlink(path)
	if err != nil {
		return err
	}
	if inside, ok := strings.CutPrefix(leads, from+string(filepath.Separator)); ok {
		leads = filepath.Join(to, inside)
	}
	return os.Symlink(leads, target)
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

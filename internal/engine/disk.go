package engine

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
)

// storeLimit decides how much of the disk JetStream may take: wanted, if it
// fits, else half of what is there for it.
func storeLimit(dir string, wanted int64) (int64, error) {
	available, err := storeRoom(dir)
	if err != nil {
		return 0, err
	}
	if wanted == 0 {
		wanted = available / 2
		if wanted < minMaxStore {
			return 0, fmt.Errorf("disk of %s: %d bytes are free for JetStream, at least %d are needed",
				dir, available, 2*minMaxStore)
		}
		return wanted, nil
	}
	if wanted < minMaxStore {
		return 0, fmt.Errorf("limit of the streams: %d bytes, at least %d (16 MiB) are needed", wanted, minMaxStore)
	}
	if wanted >= available {
		return 0, fmt.Errorf("limit of the streams: %d bytes, but the disk of %s has %d for them: "+
			"it must be less, or the disk fills up", wanted, dir, available)
	}
	return wanted, nil
}

// storeRoom is what is free on the disk of dir and what dir takes already.
func storeRoom(dir string) (int64, error) {
	room, _, err := diskOf(dir)
	if err != nil {
		return 0, err
	}
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			room += info.Size()
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measure %s: %w", dir, err)
	}
	return room, nil
}

// diskOf is what is free for this process on the disk of dir, and the disk's
// size, in bytes.
func diskOf(dir string) (free, size int64, err error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, 0, fmt.Errorf("ask for free disk of %s: %w", dir, err)
	}
	block := int64(disk.Bsize) //nolint:unconvert // not an int64 on every system
	return int64(disk.Bavail) * block, int64(disk.Blocks) * block, nil
}

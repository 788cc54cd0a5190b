package faults

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Disk is a small file system that a server has for itself.
type Disk struct {
	tb  testing.TB
	dir string
}

// newDisk makes one. It is gone with the test.
func newDisk(tb testing.TB, dir string, size int64) *Disk {
	tb.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatalf("faults: make directory of disk: %v", err)
	}
	if err := mountTmpfs(dir, size); err != nil {
		tb.Fatalf("faults: mount disk: %v", err)
	}
	tb.Cleanup(func() {
		if err := unmount(dir); err != nil {
			tb.Errorf("faults: unmount disk: %v", err)
		}
	})
	return &Disk{tb, dir}
}

func (d *Disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// Left is how many bytes are free.
func (d *Disk) Left() int64 {
	d.tb.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &stat); err != nil {
		d.tb.Fatalf("faults: ask for free disk: %v", err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize) //nolint:unconvert // not an int64 on every system
}

// Fill takes all of the disk but so many bytes. It may be called again.
func (d *Disk) Fill(leave int64) {
	d.tb.Helper()
	file, err := os.OpenFile(d.ballast(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		d.tb.Fatalf("faults: fill disk: %v", err)
	}
	defer file.Close()
	for left := d.Left(); left > leave; left = d.Left() {
		// Others write too, so it may be full before it is filled.
		if _, err := file.Write(make([]byte, min(left-leave, 1<<20))); err != nil {
			d.tb.Logf("the disk is full: %v", err)
			return
		}
	}
}

// Free gives back what Fill took.
func (d *Disk) Free() {
	d.tb.Helper()
	if err := os.Remove(d.ballast()); err != nil {
		d.tb.Fatalf("faults: free disk: %v", err)
	}
}

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockFile is held, by flock, by the process that uses a directory and by the
// engine that it started, and holds that process's number.
const lockFile = "lock"

// lockWait bounds the wait for the engine of a dead process to end.
const lockWait = 30 * time.Second

// ErrDirInUse means that another process uses the data directory.
var ErrDirInUse = errors.New("directory is in use")

// lockDir takes the lock of dir. When its holder is alive it fails at once and
// names it; when the holder is dead, its engine is still stopping, and lockDir
// waits for that until ctx ends, at most 30 s.
func lockDir(ctx context.Context, dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := waitLock(ctx, file); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), file.Close())
	}
	// Written for the message of whoever comes next; the lock itself is flock's.
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), file.Close())
	}
	return file, nil
}

func waitLock(ctx context.Context, file *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		pid := lockHolder(file)
		if pid > 0 && alive(pid) {
			return fmt.Errorf("%w by process %d", ErrDirInUse, pid)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: process %d is gone, but what it started has not ended", ErrDirInUse, pid)
		case <-again.C:
		}
	}
}

// lockHolder returns the process number in the lock file, 0 when there is none.
func lockHolder(file *os.File) int {
	buf := make([]byte, 32)
	n, _ := file.ReadAt(buf, 0) // io.EOF is the rule here, and nothing is 0
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		return 0
	}
	return pid
}

// alive tells whether a process runs. One that has ended and that nobody has
// taken notice of (a zombie, as after kill -9 in many a container) does not.
func alive(pid int) bool {
	if err := syscall.Kill(pid, 0); err != nil && !errors.Is(err, syscall.EPERM) {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true // not Linux: the process is there, that is all that is known
	}
	// "123 (name) Z …": the name may hold anything, a parenthesis too.
	_, state, found := strings.Cut(string(stat[max(0, bytes.LastIndexByte(stat, ')')):]), ") ")
	return !found || !strings.HasPrefix(state, "Z")
}

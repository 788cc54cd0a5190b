package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideNamespace marks the process that runs in a mount namespace of its own.
const insideNamespace = "LOGINAUDIT_TEST_NAMESPACE"

// enterNamespace runs this process again in a mount namespace of its own and
// ends with its exit status; in there it returns nil. What is mounted in there is
// seen by it and by its children, and is gone with the last of them. Root needs
// nothing more; anybody else, or a root without the right, gets a user namespace
// too, in which they may mount.
func enterNamespace() error {
	if os.Getenv(insideNamespace) != "" {
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("keep mounts private: %w", err)
		}
		return nil
	}
	// The child is told when the thread that made it ends, so this one must not.
	runtime.LockOSThread()
	var errs []error
	for _, flags := range []uintptr{unix.CLONE_NEWNS, unix.CLONE_NEWUSER | unix.CLONE_NEWNS} {
		cmd, err := again(flags)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_ = cmd.Wait() // its ProcessState tells
		os.Exit(exitStatus(cmd.ProcessState))
	}
	return errors.Join(errs...)
}

// again starts this process once more in new namespaces.
func again(flags uintptr) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	cmd := exec.Command(exe, os.Args[1:]...) //nolint:noctx,gosec // it ends with its parent; it is this program, as it was called
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideNamespace+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start in namespaces of its own: %w", err)
	}
	return cmd, nil
}

func exitStatus(state *os.ProcessState) int {
	if state.Exited() {
		return state.ExitCode()
	}
	return 1 // ended by a signal
}

// mountTmpfs puts an empty file system of a size in bytes on a directory.
func mountTmpfs(dir string, size int64) error {
	if os.Getenv(insideNamespace) == "" {
		return errors.New("the tests are not in a mount namespace of their own: see the beginning of their output")
	}
	return unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size))
}

func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }

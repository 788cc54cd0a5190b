package testsystem

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Freeze halts the process and all below it (SIGSTOP): its connections stay
// open, and nothing answers. Kill ends a frozen process too.
func (p *Process) Freeze(tb testing.TB) {
	tb.Helper()
	p.Signal(tb, syscall.SIGSTOP) // first: what is halted starts nothing new
	for _, pid := range p.Below() {
		signalTo(tb, pid, syscall.SIGSTOP)
	}
}

// Thaw lets a frozen process and all below it go on (SIGCONT).
func (p *Process) Thaw(tb testing.TB) {
	tb.Helper()
	for _, pid := range p.Below() {
		signalTo(tb, pid, syscall.SIGCONT)
	}
	p.Signal(tb, syscall.SIGCONT)
}

func signalTo(tb testing.TB, pid int, signal syscall.Signal) {
	tb.Helper()
	if err := syscall.Kill(pid, signal); err != nil {
		tb.Fatalf("testsystem: signal process %d: %v", pid, err)
	}
}

// PeakMemory is the most memory, in bytes, that the process has ever had
// resident, without what is below it. It is 0 where there is no /proc, and after
// the end.
func (p *Process) PeakMemory() int64 {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil || p.hasEnded() {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64) // the kernel's own form
			return kib << 10
		}
	}
	return 0
}

// HasEnded tells whether the process has ended, by itself or by us.
func (p *Process) HasEnded() bool { return p.hasEnded() }

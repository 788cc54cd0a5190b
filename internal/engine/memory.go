package engine

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

const (
	mebibyte = 1 << 20
	gibibyte = 1 << 30

	// minMemoryLimit is the least with which the engine starts and merges
	// reliably; idle it takes about 200 MiB.
	minMemoryLimit = 384 * mebibyte
	// maxDefaultMemory is the most that the engine takes unasked.
	maxDefaultMemory = 8 * gibibyte
	// assumedMemory is used where the system does not tell how much it has.
	assumedMemory = 2 * gibibyte
)

// defaultMemoryLimit is half of the memory that this process may use (of the
// machine or of its control group, whichever is less), at least 512 MiB and at
// most 8 GiB. A machine with 1 GiB gets 512 MiB.
func defaultMemoryLimit() int64 {
	total := int64(assumedMemory)
	if raw, err := os.ReadFile("/proc/meminfo"); err == nil {
		if n := memTotal(raw); n > 0 {
			total = n
		}
	}
	for _, path := range []string{
		"/sys/fs/cgroup/memory.max",
		"/sys/fs/cgroup/memory/memory.limit_in_bytes",
	} {
		if raw, err := os.ReadFile(path); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil && n > 0 {
				total = min(total, n)
			}
		}
	}
	return min(max(total/2, 512*mebibyte), maxDefaultMemory)
}

// memTotal reads the line "MemTotal: 123 kB" of /proc/meminfo; 0 without one.
func memTotal(meminfo []byte) int64 {
	for line := range bytes.Lines(meminfo) {
		fields := strings.Fields(string(line))
		if len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0
			}
			return kib * 1024
		}
	}
	return 0
}

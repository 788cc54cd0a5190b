package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what the parts have used of the processor, as the system counts it.
type usage struct{ nats, clickhouse, worker, self time.Duration }

func (b *bench) usage(w *worker) usage {
	u := usage{
		nats:       cpuTime(b.nats.cmd.Process.Pid),
		clickhouse: cpuTime(b.clickhouse.PID()),
		self:       cpuTime(os.Getpid()),
	}
	if w != nil {
		u.worker = cpuTime(w.cmd.Process.Pid)
	}
	return u
}

func (u usage) since(before usage) usage {
	return usage{u.nats - before.nats, u.clickhouse - before.clickhouse, u.worker - before.worker, u.self - before.self}
}

// perEvent says what one event cost each part, in microseconds of one core.
func (u usage) perEvent(events int) string {
	each := func(d time.Duration) string {
		return strconv.FormatFloat(float64(d.Nanoseconds())/1000/float64(events), 'f', 1, 64)
	}
	return fmt.Sprintf("CPU µs/event: nats %s, clickhouse %s, worker %s, bench %s", each(u.nats), each(u.clickhouse), each(u.worker), each(u.self))
}

// clockTick is USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime is the user and system time of a process and its threads; 0 where it
// cannot be read.
func cpuTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * clockTick
}

// peakMemory is the most memory that a process has held at once, in MB (VmHWM);
// 0 where it cannot be read.
func peakMemory(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib * 1024 / 1_000_000
		}
	}
	return 0
}

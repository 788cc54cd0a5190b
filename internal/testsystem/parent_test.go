package testsystem_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// binary stands for a test binary: it starts a program as a test does, tells the
// program's process number, and ends by itself when its input does.
func binary([]string) int {
	tb := &noTest{}
	cmd := testsystem.Command(tb, "/proc/self/exe")
	cmd.Args[0] = "waiter"
	p := testsystem.Start(tb, cmd)
	p.Until(tb, "it waits", func() error {
		if p.Out() == "" {
			return errors.New("it does not yet")
		}
		return nil
	})
	fmt.Println(cmd.Process.Pid)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 2 // and no cleanup, as after a time limit
}

// noTest is a test that never gets to its end.
type noTest struct{ testing.TB }

func (*noTest) Helper()                  {}
func (*noTest) Cleanup(func())           {}
func (*noTest) Context() context.Context { return context.Background() }
func (*noTest) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format, args...)
	os.Exit(1)
}

func TestProgramsEndWithTheTestBinaryHoweverItEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		ends func(binary *testsystem.Process, in io.Closer, child int) error
	}{
		{"by kill -9", func(p *testsystem.Process, _ io.Closer, _ int) error {
			p.Signal(t, syscall.SIGKILL)
			return nil
		}},
		{"by itself, without a cleanup", func(_ *testsystem.Process, in io.Closer, _ int) error { return in.Close() }},
		{"while the program is frozen", func(p *testsystem.Process, _ io.Closer, child int) error {
			err := syscall.Kill(child, syscall.SIGSTOP)
			p.Signal(t, syscall.SIGKILL)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := testsystem.Command(t, "binary")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			p := testsystem.Start(t, cmd)
			var child int
			p.Until(t, "it has started a program", func() (err error) {
				child, err = strconv.Atoi(strings.TrimSpace(p.Out()))
				return err
			})
			if err := c.ends(p, in, child); err != nil {
				t.Fatal(err)
			}
			p.Wait(t)
			testsystem.Until(t, "the program has ended", func() error { return gone(child) })
		})
	}
}

// gone is nil when a process has ended. Who has ended and is nobody's child may
// stay in the list of processes.
func gone(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || bytes.Contains(stat, []byte(") Z ")) {
		return nil //nolint:nilerr // then there is none
	}
	return fmt.Errorf("process %d runs: %s", pid, stat)
}

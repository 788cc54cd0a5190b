package faults

import (
	"bufio"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestMain(m *testing.M) { Main(m) }

// echo is a server that answers each line with itself.
func echo(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() }) // nothing is written through it
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn) // it ends by what the test does to it
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// caller is a client of echo.
type caller struct {
	net.Conn
	answers *bufio.Reader
}

func call(t *testing.T, l *Link) caller {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return caller{conn, bufio.NewReader(conn)}
}

// say sends a line and waits for its answer.
func (c caller) say(wait time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return err
	}
	_, err := c.answers.ReadString('\n')
	return err
}

func TestLinkBreaksAndHeals(t *testing.T) {
	for name, c := range map[string]struct {
		prepare, fault func(l *Link)
		want           error // of a connection that was open before
	}{
		"black hole to the server": {nil, func(l *Link) { l.Add(ToServer, BlackHole()) }, syscall.ETIMEDOUT},
		"black hole to the client": {nil, func(l *Link) { l.Add(ToClient, BlackHole()) }, syscall.ETIMEDOUT},
		"cut":                      {nil, func(l *Link) { l.Cut() }, io.EOF},
		"cut in the middle":        {nil, func(l *Link) { l.Add(ToClient, CutAfter(3)) }, io.EOF},
		"end":                      {nil, func(l *Link) { l.Reset(ToClient) }, io.EOF},
		"reset":                    {(*Link).ArmReset, func(l *Link) { l.Reset(ToClient) }, syscall.ECONNRESET},
		"slow": {nil, func(l *Link) {
			l.Add(ToClient, Latency(20*time.Millisecond, 0))
			l.Add(ToServer, Slices(2, time.Millisecond))
			l.Add(ToServer, Bandwidth(100))
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(t, newProxies(), echo(t))
			if c.prepare != nil {
				c.prepare(l)
			}
			open := call(t, l)
			if err := open.say(testsystem.Patience); err != nil {
				t.Fatalf("before the fault: %v", err)
			}
			c.fault(l)
			err := open.say(patience(c.want))
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				err = syscall.ETIMEDOUT
			}
			if errors.Is(c.want, io.EOF) && errors.Is(err, syscall.ECONNRESET) {
				err = io.EOF // which of them depends on what was on its way
			}
			if !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			l.Heal()
			if err := call(t, l).say(testsystem.Patience); err != nil {
				t.Errorf("after healing: %v", err)
			}
		})
	}
}

// patience is how long to wait for an answer, short where none may come.
func patience(want error) time.Duration {
	if errors.Is(want, syscall.ETIMEDOUT) {
		return 200 * time.Millisecond
	}
	return testsystem.Patience
}

func TestDiskIsFullAndFreeAgain(t *testing.T) {
	disk := newDisk(t, t.TempDir()+"/disk", 4<<20)
	for _, leave := range []int64{1 << 20, 0} {
		disk.Fill(leave)
		if left := disk.Left(); left != leave {
			t.Errorf("%d bytes are left, want %d", left, leave)
		}
	}
	disk.Free()
	if left := disk.Left(); left < 3<<20 {
		t.Errorf("%d bytes are left of 4 MiB", left)
	}
}

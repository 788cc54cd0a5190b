package faults

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// Server is NATS or ClickHouse: one directory and one address, on which it can
// be started again and again.
type Server struct {
	// Disk is its small file system; nil where it is on that of the test.
	Disk *Disk

	tb        testing.TB
	program   string
	dir, addr string
	flags     []string
	process   *testsystem.Process
	ready     ready
}

func newServer(tb testing.TB, program, dir string, disk int64, flags []string) *Server {
	tb.Helper()
	s := &Server{tb: tb, program: program, dir: dir, addr: freeAddress(tb), flags: flags}
	if disk > 0 {
		s.Disk = newDisk(tb, dir, disk)
	}
	return s
}

// lastPort is the port that was given away last. It begins anywhere, for other
// processes that do the same.
var lastPort atomic.Uint32

// freeAddress is a loopback address that nobody listens on, and that this process
// gives away once only: servers that do not run yet, or not now, keep theirs. Its
// port is below those that the system gives to outgoing connections: none of
// them, while a server is down, can take its port, or connect to itself.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	const first, ports = 15_000, 17_000
	lastPort.CompareAndSwap(0, 1+rand.Uint32N(ports))
	for range 100 {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+int(lastPort.Add(1)%ports)))
		listener, err := net.Listen("tcp", addr) //nolint:noctx // it does not wait
		if err == nil && listener.Close() == nil {
			return addr
		}
	}
	tb.Fatal("faults: no free port")
	return ""
}

// Addr is where it listens, HOST:PORT, also while it does not run.
func (s *Server) Addr() string { return s.addr }

// Start starts it, on what its directory holds, and waits until it serves.
func (s *Server) Start() {
	s.tb.Helper()
	s.Launch()
	s.Await()
}

// Launch starts it and does not wait.
func (s *Server) Launch() {
	s.tb.Helper()
	args := append([]string{"--dir", s.dir, "--addr", s.addr}, s.flags...)
	s.process = testsystem.Start(s.tb, testsystem.Command(s.tb, s.program, args...))
}

// Await waits until it serves.
func (s *Server) Await() {
	s.tb.Helper()
	s.process.Until(s.tb, s.program+" serves", func() error {
		line, _, whole := strings.Cut(s.process.Out(), "\n")
		if !whole {
			return errors.New("it does not say so")
		}
		var said ready
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			return err
		}
		if s.ready.Addr == "" { // it says the same at every start, and others read it by then
			s.ready = said
		}
		return nil
	})
}

// Kill ends it and all below it by kill -9.
func (s *Server) Kill() {
	s.tb.Helper()
	s.process.Kill(s.tb)
}

// KillChild ends what it has started, the database itself, by kill -9.
// ClickHouse's parent starts another; NATS has none.
func (s *Server) KillChild() {
	s.tb.Helper()
	below := s.process.Below()
	if len(below) == 0 {
		s.tb.Fatalf("faults: %s has no child", s.program)
	}
	for _, pid := range below {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may end by itself in this moment
	}
}

// Stop ends it in order.
func (s *Server) Stop() {
	s.tb.Helper()
	s.process.Stop(s.tb)
}

// Freeze halts it and all below it: connections stay open, nothing answers.
func (s *Server) Freeze() {
	s.tb.Helper()
	s.process.Freeze(s.tb)
}

// Thaw lets it go on.
func (s *Server) Thaw() {
	s.tb.Helper()
	s.process.Thaw(s.tb)
}

// Process is its process, or that of its last run.
func (s *Server) Process() *testsystem.Process { return s.process }

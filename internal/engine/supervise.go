package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/zap"
)

const (
	firstPause = 200 * time.Millisecond
	maxPause   = 30 * time.Second
	// steady is how long a child must have lived for the pauses to start over.
	steady = time.Minute
	// logTail is how much of the engine's log an error carries.
	logTail = 2000
)

// child is one run of the child process.
type child struct {
	cmd  *exec.Cmd
	life *os.File // the write end of the pipe of life: closing it stops the child
	port string   // where the server listens, told by itself
	done chan struct{}
	err  error // how the process ended; valid once done is closed
}

// launch starts a child and waits until it answers queries.
func (c *ClickHouse) launch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	child, err := c.spawn(ctx)
	if err != nil {
		return err
	}
	conn, err := c.connect(ctx, child)
	if err != nil {
		child.end()
		return fmt.Errorf("%w\n%s", err, c.lastWords())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.child, c.admin, c.failure = child, conn, nil
	return nil
}

// spawn starts the child process and waits until it has told its port.
func (c *ClickHouse) spawn(ctx context.Context) (*child, error) {
	gate, err := listen(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	defer gate.Close()
	if err := writeConfig(engineSettings{
		layout: c.layout, databases: c.cfg.Databases, memoryLimit: c.cfg.MemoryLimit,
		gate: "http://" + gate.Addr().String() + "/", passwords: c.passwords,
	}); err != nil {
		return nil, err
	}
	gateFile, err := gate.File()
	if err != nil {
		return nil, fmt.Errorf("pass gate: %w", err)
	}
	defer gateFile.Close()
	child, ports, err := c.exec(gateFile)
	if err != nil {
		return nil, err
	}
	defer ports.Close()
	if child.port, err = readPort(ctx, ports); err != nil {
		child.end()
		return nil, fmt.Errorf("%w\n%s", err, c.lastWords())
	}
	return child, nil
}

// exec starts the process. What it returns to read the port from ends when the
// child does.
func (c *ClickHouse) exec(gate *os.File) (*child, *os.File, error) {
	cmd, err := c.command()
	if err != nil {
		return nil, nil, err
	}
	out, err := os.OpenFile(c.layout.childLog(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open child log: %w", err)
	}
	defer out.Close()
	lifeRead, lifeWrite, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	defer lifeRead.Close()
	portRead, portWrite, err := os.Pipe()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make pipe: %w", err), lifeWrite.Close())
	}
	defer portWrite.Close()

	cmd.Stdin, cmd.Stdout, cmd.Stderr = lifeRead, out, out
	cmd.ExtraFiles = []*os.File{c.lock, portWrite, gate} // fdLock, fdPort, fdGate
	if err := cmd.Start(); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("start child: %w", err), lifeWrite.Close(), portRead.Close())
	}
	child := &child{cmd: cmd, life: lifeWrite, done: make(chan struct{})}
	c.mu.Lock()
	c.process = cmd.Process
	c.mu.Unlock()
	go func() {
		defer close(child.done)
		child.err = cmd.Wait()
	}()
	return child, portRead, nil
}

// command returns how to start the child, without what it is passed.
func (c *ClickHouse) command() (*exec.Cmd, error) {
	command := c.cfg.Command
	if len(command) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find own executable: %w", err)
		}
		command = []string{exe, ChildCommand}
	}
	args := slices.Concat(command[1:], []string{"--library", c.cfg.Library, "--dir", c.layout.root})
	cmd := exec.Command(command[0], args...) //nolint:noctx,gosec // it ends by the pipe of life; it is the operator's own command
	cmd.Dir = c.layout.root
	// Nothing of the parent's environment: it may hold secrets, and a HOME in
	// which the library would look for settings.
	cmd.Env = []string{"PATH=/usr/bin:/bin", "TMPDIR=" + c.layout.tmp(), "TZ=UTC"}
	// Its own group: Ctrl-C on a terminal is for the parent alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, nil
}

// readPort waits for the line with which the server tells its port.
func readPort(ctx context.Context, ports *os.File) (string, error) {
	unblock := context.AfterFunc(ctx, func() { _ = ports.SetReadDeadline(time.Unix(1, 0)) })
	defer unblock()
	var text strings.Builder
	buf := make([]byte, 16)
	for !strings.HasSuffix(text.String(), "\n") {
		n, err := ports.Read(buf)
		text.Write(buf[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", fmt.Errorf("wait for the server to listen: %w", context.Cause(ctx))
		case errors.Is(err, io.EOF):
			return "", errors.New("the server ended before it listened")
		case err != nil:
			return "", fmt.Errorf("wait for the server to listen: %w", err)
		}
	}
	port := strings.TrimSpace(text.String())
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", fmt.Errorf("read port: %w", err)
	}
	return port, nil
}

// connect opens the owner's connection and asks the first query.
func (c *ClickHouse) connect(ctx context.Context, child *child) (driver.Conn, error) {
	user, password := c.Credentials(RoleOwner)
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:         []string{net.JoinHostPort("127.0.0.1", child.port)},
		Auth:         clickhouse.Auth{Username: user, Password: password},
		MaxOpenConns: 4, MaxIdleConns: 1,
		DialTimeout: 10 * time.Second,
	})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if err := conn.Ping(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("first query: %w", err), conn.Close())
	}
	return conn, nil
}

func (c *ClickHouse) adminConn() (driver.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return nil, c.failure
	}
	return c.admin, nil
}

// end stops a child in order and waits for its end; the child itself bounds
// how long that takes, unless it is so broken that it must be killed.
func (ch *child) end() {
	_ = ch.life.Close() // the child reads the end of the pipe
	timer := time.NewTimer(stopGrace + 5*time.Second)
	defer timer.Stop()
	select {
	case <-ch.done:
	case <-timer.C:
		_ = ch.cmd.Process.Kill() // it ended by itself in this moment, or now
		<-ch.done
	}
}

// supervise waits for the end of the child and starts another, until it is
// told to stop.
func (c *ClickHouse) supervise(ctx context.Context) {
	defer close(c.stopped)
	pause := firstPause
	for {
		since := time.Now()
		if !c.watch(ctx) {
			return
		}
		if time.Since(since) > steady {
			pause = firstPause
		}
		for {
			select {
			case <-ctx.Done():
				c.fail(ErrClosed)
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, maxPause)
			err := c.launch(ctx)
			if err == nil {
				c.log.Info("clickhouse engine is back", zap.Int("pid", c.PID()))
				break
			}
			c.log.Error("clickhouse engine does not start", zap.Error(err), zap.Duration("next_try_in", pause))
			c.fail(fmt.Errorf("the engine does not start: %w", err))
		}
	}
}

// watch returns true when the child has died, false when ctx has ended and the
// child was stopped.
func (c *ClickHouse) watch(ctx context.Context) bool {
	c.mu.Lock()
	child := c.child
	c.mu.Unlock()
	select {
	case <-ctx.Done():
		_ = c.endChild() // logged by nobody: closing a pipe and a pool
		return false
	case <-child.done:
	}
	c.deaths.Add(1)
	c.fail(fmt.Errorf("the engine died (%w) and is being started again", exitError(child.err)))
	_ = child.life.Close() // its reader is gone
	c.log.Error("clickhouse engine died", zap.Int("pid", child.cmd.Process.Pid),
		zap.Error(exitError(child.err)), zap.String("last_words", c.lastWords()))
	return true
}

func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// endChild stops the current child in order and waits for its end.
func (c *ClickHouse) endChild() error {
	c.mu.Lock()
	child, admin := c.child, c.admin
	c.mu.Unlock()
	err := admin.Close()
	child.end()
	c.fail(ErrClosed)
	return err
}

// fail notes that there is no child, and why.
func (c *ClickHouse) fail(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.admin != nil {
		_ = c.admin.Close() // its server is gone
	}
	c.child, c.admin, c.failure = nil, nil, why
}

// lastWords returns the end of what the child wrote: its own output and the
// log of the server, from this start or the one before.
func (c *ClickHouse) lastWords() string {
	return "child said: " + tail(c.layout.childLog()) + "\nserver log: " + tail(c.layout.log())
}

// tail returns the last lines of a file, at most logTail bytes.
func tail(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > logTail {
		if _, err := file.Seek(-logTail, io.SeekEnd); err != nil {
			return "(" + err.Error() + ")"
		}
	}
	raw, err := io.ReadAll(io.LimitReader(file, logTail))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	text := strings.TrimSpace(strings.ToValidUTF8(string(raw), ""))
	if text == "" {
		return "(nothing)"
	}
	return text
}

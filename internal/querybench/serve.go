package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
)

// startsWithin is how long serve may take until it is ready: it opens every part.
const startsWithin = 3 * time.Minute

// server is a running "loginaudit serve" on a copy of what was loaded.
type server struct {
	*process
	dir   string
	app   app.Addresses
	token string
	// clickhouse is its engine's process.
	clickhouse int
	// owner sees all tables, and the log of questions.
	owner driver.Conn
}

// process is a child of ours.
type process struct{ cmd *exec.Cmd }

// start starts this binary under another name; what it writes goes into a file.
func start(ctx context.Context, log, name string, args ...string) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), exe, args...)
	cmd.Args[0] = name
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd}, nil
}

// stop ends the process in order.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

// The engine's log of statements, which serve has not: ClickHouse merges these
// files into its configuration. It is kept in memory.
const (
	queryLog = `<clickhouse><query_log><database>system</database><table>query_log</table>
<engine>ENGINE = Memory</engine><flush_interval_milliseconds>500</flush_interval_milliseconds></query_log></clickhouse>
`
	logReader = `<clickhouse><profiles><reader><log_queries>1</log_queries></reader></profiles></clickhouse>
`
)

// serve starts serve on a copy of what was loaded.
func (b *bench) serve(ctx context.Context) (s *server, err error) {
	if err := copyLoaded(b.loadedDir(), b.runDir()); err != nil {
		return nil, err
	}
	config := filepath.Join(b.runDir(), "clickhouse", "server")
	for name, text := range map[string]string{"config.d": queryLog, "users.d": logReader} {
		if err := os.MkdirAll(filepath.Join(config, name), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(config, name, "bench.xml"), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	s = &server{dir: b.runDir()}
	s.process, err = start(ctx, filepath.Join(b.options.dir, "serve.log"), loginauditProgram, "serve", "--data-dir", s.dir, "--log-format", "json",
		"--http-addr", "127.0.0.1:0", "--nats-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start serve (see %s): %w", filepath.Join(b.options.dir, "serve.log"), err), s.stop())
	}
	return s, nil
}

// ready waits until serve is, and reads where it answers.
func (s *server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startsWithin)
	defer cancel()
	err := waitFor(ctx, 100*time.Millisecond, func() (bool, error) {
		a, err := app.ReadAddresses(s.dir)
		if err != nil {
			return false, s.alive()
		}
		s.app = a
		return isReady(ctx, a.Admin), nil
	})
	if err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(s.dir, "admin.token"))
	if err != nil {
		return err
	}
	s.token = strings.TrimSpace(string(token))
	if s.owner, err = s.as(engine.RoleOwner); err != nil {
		return err
	}
	s.clickhouse = childOf(s.cmd.Process.Pid)
	return nil
}

// alive is an error when the process has ended.
func (s *server) alive() error {
	if state := processState(s.cmd.Process.Pid); state == 'Z' || state == 0 {
		return errors.New("it has ended")
	}
	return nil
}

func isReady(ctx context.Context, admin string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// password is the one that the engine has made for one of its users.
func (s *server) password(role engine.Role) (string, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "clickhouse", "passwords.json"))
	if err != nil {
		return "", err
	}
	var all map[engine.Role]string
	err = json.Unmarshal(text, &all)
	return all[role], err
}

// as connects to the engine of serve as one of its users.
func (s *server) as(role engine.Role) (driver.Conn, error) {
	password, err := s.password(role)
	if err != nil {
		return nil, err
	}
	return dial(s.app.ClickHouse, string(role), password)
}

// close ends serve and removes what it ran on.
func (s *server) close() error {
	err := errors.Join(s.owner.Close(), s.stop())
	if removed := os.RemoveAll(s.dir); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

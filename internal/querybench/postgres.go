package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postgresVersion is the one that is compared with.
const postgresVersion = "15"

// postgres is a cluster of our own, and the program that asks it.
type postgres struct {
	dir     string
	server  *exec.Cmd
	program *exec.Cmd
	in      io.WriteCloser
	out     *json.Decoder
}

// postgresBinary finds a program of PostgreSQL.
func postgresBinary(name string) (string, error) {
	dirs := []string{os.Getenv("POSTGRES_BIN"), "/usr/lib/postgresql/" + postgresVersion + "/bin", "/usr/pgsql-" + postgresVersion + "/bin"}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); dir != "" && err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("PostgreSQL %s is missing (no %s in %s): install postgresql-%s, or name its programs in POSTGRES_BIN=DIR",
		postgresVersion, name, strings.Join(dirs[1:], ", "), postgresVersion)
}

// startPostgres makes a new cluster in a folder and starts it, for connections by
// a socket in that folder alone.
func startPostgres(ctx context.Context, dir string) (p *postgres, err error) {
	initdb, err := postgresBinary("initdb")
	if err != nil {
		return nil, err
	}
	server, err := postgresBinary("postgres")
	if err != nil {
		return nil, err
	}
	who, err := postgresOwner(dir)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	made := exec.CommandContext(ctx, initdb, "-D", data, "-U", "bench", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	made.SysProcAttr, made.Dir = who, dir
	if text, err := made.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, text)
	}
	p = &postgres{dir: dir}
	p.server = exec.CommandContext(context.WithoutCancel(ctx), server, append([]string{"-D", data, "-k", dir}, tuning()...)...)
	p.server.SysProcAttr, p.server.Dir = who, dir
	log, err := os.Create(filepath.Join(dir, "postgres.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.server.Stdout, p.server.Stderr = log, log
	if err := p.server.Start(); err != nil {
		return nil, err
	}
	if err := p.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL (see %s): %w", log.Name(), err), p.stopServer())
	}
	return p, nil
}

// postgresOwner makes the folder and tells who shall own it: PostgreSQL refuses to
// run as root.
func postgresOwner(dir string) (*syscall.SysProcAttr, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // nil is the library's own word for ourselves
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("find a user for PostgreSQL: %w", err)
		}
	}
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(who.Gid)
	if err != nil {
		return nil, err
	}
	// Others must pass the folders above to reach their own.
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { //nolint:gosec // a directory needs its x bit
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, uid, gid)
}

// tuning are the settings for a machine of its own: a quarter of its memory for
// buffers, no JIT (it costs more than these questions take), plans that see the
// account (they differ a thousandfold in size), everything durable.
func tuning() []string {
	memory := machineMemory()
	mb := func(share int64) string { return strconv.FormatInt(memory/share>>20, 10) + "MB" }
	settings := []string{
		"listen_addresses=", "shared_buffers=" + mb(4), "effective_cache_size=" + mb(2), "work_mem=64MB", "maintenance_work_mem=1GB",
		"jit=off", "max_parallel_workers_per_gather=2", "max_parallel_maintenance_workers=2", "random_page_cost=1.1", "effective_io_concurrency=200",
		"wal_level=minimal", "max_wal_senders=0", "max_wal_size=4GB", "checkpoint_timeout=30min", "checkpoint_completion_target=0.9",
		"wal_compression=lz4", "default_statistics_target=200", "plan_cache_mode=force_custom_plan", "timezone=UTC", "max_connections=20",
	}
	var args []string
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// connect starts the program that asks, once the server takes connections.
func (p *postgres) connect(ctx context.Context) error {
	program := filepath.Join(p.dir, "pg")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = filepath.Join(sourceDir(), "internal", "querybench", "pg")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program that asks PostgreSQL: %w: %s", err, text)
	}
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	socket := filepath.Join(p.dir, ".s.PGSQL.5432")
	if err := waitFor(within, 50*time.Millisecond, func() (bool, error) {
		_, err := os.Stat(socket + ".lock")
		return err == nil && p.takesConnections(within), nil
	}); err != nil {
		return err
	}
	p.program = exec.CommandContext(context.WithoutCancel(ctx), program, "host="+p.dir+" user=bench dbname=postgres")
	p.program.Stderr = os.Stderr
	in, err := p.program.StdinPipe()
	if err != nil {
		return err
	}
	out, err := p.program.StdoutPipe()
	if err != nil {
		return err
	}
	p.in, p.out = in, json.NewDecoder(bufio.NewReader(out))
	return p.program.Start()
}

func (p *postgres) takesConnections(ctx context.Context) bool {
	ready, err := postgresBinary("pg_isready")
	return err == nil && exec.CommandContext(ctx, ready, "-q", "-h", p.dir).Run() == nil
}

// sourceDir is the folder with go.mod, in or above the working directory.
func sourceDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	for at := dir; at != filepath.Dir(at); at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "internal", "querybench", "pg", "go.mod")); err == nil {
			return at
		}
	}
	return dir
}

// machineMemory is the machine's memory in bytes; 4 GiB where it is not told.
func machineMemory() int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64) // the kernel's own form
			return kib << 10
		}
	}
	return 4 << 30
}

// pgRequest and pgResponse are those of the program (pg/main.go).
type pgRequest struct {
	Op   string   `json:"op"`
	SQL  string   `json:"sql"`
	Args []string `json:"args,omitempty"`
	File string   `json:"file,omitempty"`
	Keys bool     `json:"keys,omitempty"`
}

type pgResponse struct {
	Took  time.Duration `json:"took"`
	Rows  int64         `json:"rows"`
	Keys  []string      `json:"keys"`
	Error string        `json:"error"`
}

// do has the program do one thing.
func (p *postgres) do(q pgRequest) (r pgResponse, err error) {
	text, err := json.Marshal(q)
	if err != nil {
		return r, err
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return r, err
	}
	if err := p.out.Decode(&r); err != nil {
		return r, fmt.Errorf("ask PostgreSQL: %w", err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("ask PostgreSQL: %s: %.300s", r.Error, q.SQL)
	}
	return r, nil
}

// query asks for rows and their first column.
func (p *postgres) query(sql string, args ...string) (pgResponse, error) {
	return p.do(pgRequest{Op: "query", SQL: sql, Args: args, Keys: true})
}

func (p *postgres) stopServer() error {
	if err := p.server.Process.Signal(syscall.SIGINT); err != nil { // its "fast shutdown"
		return err
	}
	return p.server.Wait()
}

// close ends both and removes the cluster.
func (p *postgres) close() error {
	return errors.Join(p.in.Close(), p.program.Wait(), p.stopServer(), os.RemoveAll(p.dir))
}

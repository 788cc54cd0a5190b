package engine

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// ChildCommand is the hidden command, the first argument, that makes a binary
// be the ClickHouse child process of its parent.
const ChildCommand = "engine-child"

// What the parent passes to the child beside standard input, which is the read
// end of the pipe of life.
const (
	fdLock = 3 // the lock of the directory: held until the child has ended
	fdPort = 4 // the child writes its port here
	fdGate = 5 // the listener that decides who is the user default
)

// stopGrace bounds an orderly stop after the pipe of life has closed.
const stopGrace = 20 * time.Second

// MaybeRunChild makes this process the ClickHouse child when its arguments say
// so, and then does not return. It is for the first line of main and of
// TestMain of binaries that start an engine with their own executable.
func MaybeRunChild() {
	if len(os.Args) > 1 && os.Args[1] == ChildCommand {
		if err := RunChild(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "engine child:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// RunChild runs the ClickHouse server in this process until standard input
// ends, that is until the parent closes its end of the pipe or is gone. It is
// started by [ClickHouse] only: it needs what its parent passes on.
func RunChild(args []string) error {
	flags := flag.NewFlagSet(ChildCommand, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error tells it
	library := flags.String("library", "", "path of libchdb.so")
	dir := flags.String("dir", "", "directory of the engine")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *library == "" || *dir == "" {
		return errors.New("start it with `loginaudit serve`: this command is only for its child process")
	}
	gate, err := inheritedListener(fdGate)
	if err != nil {
		return fmt.Errorf("take over gate: %w", err)
	}
	defer gate.Close()
	go serveGate(gate)

	// Signals to the process group (Ctrl-C) and to the whole service (systemd)
	// are for the parent, which then stops this process in order.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go endWithParent(os.Stdin)

	l := layout{*dir}
	return runLibrary(*library, l.root, []string{
		"clickhouse",
		"--config-file=" + l.config(),
		"--path=" + l.data(),
		"--log-level=warning", // the level in config.xml alone is not heeded
		"--query", startQuery,
	})
}

// startQuery opens the port, tells it to the parent, and then reads from the
// pipe of life, to which nobody writes: it ends when the pipe does.
var startQuery = fmt.Sprintf("SYSTEM START LISTEN TCP;"+
	" SELECT getServerPort('tcp_port') INTO OUTFILE '/dev/fd/%d' TRUNCATE FORMAT TSV;"+
	" SELECT * FROM file('/dev/fd/0', LineAsString) FORMAT Null", fdPort)

func inheritedListener(fd uintptr) (net.Listener, error) {
	file := os.NewFile(fd, "listener")
	if file == nil {
		return nil, errors.New("not passed by the parent")
	}
	defer file.Close()
	return net.FileListener(file)
}

// endWithParent is the second line: should the server not end by itself after
// the pipe of life closed, its process ends anyway.
func endWithParent(life io.Reader) {
	_, _ = io.Copy(io.Discard, life) // ends when the parent is gone, however
	time.AfterFunc(stopGrace, func() {
		fmt.Fprintln(os.Stderr, "engine child: no orderly stop within", stopGrace)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	})
}

// errNoConfinement says that the system cannot keep the server to its folder.
var errNoConfinement = errors.New("this system has no Landlock: " +
	"users of the database can read the files of this process by the function file()")

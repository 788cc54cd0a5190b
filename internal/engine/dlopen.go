//go:build !noengine

package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// runLibrary calls the entry point of the command line of ClickHouse, from a
// thread that sees no files but those in dir and what the server needs.
func runLibrary(path, dir string, args []string) error {
	runtime.LockOSThread() // for good: the thread is confined
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("load library: %w", err)
	}
	var (
		setHandlers func(enabled int32)
		run         func(argc int32, argv **byte) unsafe.Pointer
	)
	if err := bind(handle, &setHandlers, "chdb_set_signal_handlers_enabled"); err != nil {
		return err
	}
	if err := bind(handle, &run, "chdb_query_cmdline"); err != nil {
		return err
	}
	setHandlers(0) // the signals of this process are RunChild's
	if err := confine(dir); errors.Is(err, errNoConfinement) {
		fmt.Fprintln(os.Stderr, "engine child:", err)
	} else if err != nil {
		return fmt.Errorf("confine the server to its folder: %w", err)
	}

	argv := make([]*byte, len(args)+1)
	for i, arg := range args {
		argv[i] = &append([]byte(arg), 0)[0]
	}
	result := run(int32(len(args)), &argv[0])
	runtime.KeepAlive(argv)
	if result == nil {
		return errors.New("the engine gave no result")
	}
	return nil
}

func bind(handle uintptr, function any, symbol string) error {
	address, err := purego.Dlsym(handle, symbol)
	if err != nil {
		return fmt.Errorf("load library: it is not the ClickHouse library: %w", err)
	}
	purego.RegisterFunc(function, address)
	return nil
}

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
)

// The test binary is also the programs that the benchmark starts.
func TestMain(m *testing.M) {
	engine.MaybeRunChild()
	switch filepath.Base(os.Args[0]) {
	case loginauditProgram:
		os.Exit(app.Execute(app.LoginauditCommand(), os.Args[1:]))
	case liveProgram:
		os.Exit(runLive(os.Args[1:]))
	}
	os.Exit(m.Run())
}

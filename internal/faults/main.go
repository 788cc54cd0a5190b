package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// Main runs the tests of a package, or is one of the programs when the binary
// was called by its name; it does not return. It is called by TestMain. The
// tests run in a mount namespace of their own, so that they can make small file
// systems without leaving any behind.
func Main(m *testing.M) {
	engine.MaybeRunChild()
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics log past the logger that they are given
	programs := testsystem.Programs{
		"nats":       natsProgram,
		"clickhouse": clickHouseProgram,
		"loginaudit": func(args []string) int { return app.Execute(app.LoginauditCommand(), args) },
		"ingest":     func(args []string) int { return app.Execute(app.IngestCommand(), args) },
		"query":      func(args []string) int { return app.Execute(app.QueryCommand(), args) },
	}
	if programs[filepath.Base(os.Args[0])] == nil {
		if err := enterNamespace(); err != nil {
			fmt.Fprintln(os.Stderr, "faults: there will be no small file systems:", err)
		}
	}
	testsystem.Main(m, programs)
}

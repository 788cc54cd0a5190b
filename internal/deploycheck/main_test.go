// Package deploycheck tests what runs loginaudit on real servers: the compose
// file, the images, the configuration of NATS and ClickHouse, and the systemd
// units. There need be no container engine: each file is read by the code that
// reads it in operation, or by its specification's own parser.
package deploycheck

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestMain(m *testing.M) {
	engine.MaybeRunChild()
	testsystem.Main(m, testsystem.Programs{
		"loginaudit": func(args []string) int { return app.Execute(app.LoginauditCommand(), args) },
	})
}

// projectFile is the text of a file of the project.
func projectFile(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(testsystem.Root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

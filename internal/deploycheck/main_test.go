// Package deploycheck tests what runs loginaudit on real servers: the compose
// file, the images, the configuration of NATS and ClickHouse, and the systemd
// units. There need be no container engine: each file is read by the code that
// reads it in operation, or by its specification's own parser.
package deploycheck

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/engine"
)

func TestMain(m *testing.M) {
	engine.MaybeRunChild()
	if code, ours := runLoginaudit(); ours {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// patience bounds the wait for a condition that comes at once on an idle
// machine; no test measures it.
const patience = 2 * time.Minute

// root is the folder of the project, absolute.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// projectFile is the text of a file of the project.
func projectFile(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// eventually waits until holds returns nil.
func eventually(t testing.TB, what string, holds func() error) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s: still %v", what, err)
		case <-again.C:
		}
	}
}

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/loginaudit/loginaudit/schema"
)

// loaderVersion changes when the loader makes other events of the same set.
const loaderVersion = 1

// manifest tells what a folder was filled with, so that the next run can use it.
type manifest struct {
	Events int    `json:"events"` // that were asked for
	Seed   uint64 `json:"seed"`
	Loader int    `json:"loader"`
	Schema string `json:"schema"` // hash of the migrations

	Rows    uint64        `json:"rows"` // that came of it
	Until   time.Time     `json:"until"`
	Took    time.Duration `json:"took_ns"`
	Settled time.Duration `json:"settled_ns"` // the wait for merges
}

const manifestName = "manifest.json"

// sameAs tells whether a folder with this manifest serves in the place of
// another one that is to be.
func (m manifest) sameAs(o manifest) bool {
	return m.Events == o.Events && m.Seed == o.Seed && m.Loader == o.Loader && m.Schema == o.Schema && m.Rows > 0
}

// readManifest reads the manifest of a folder; the zero manifest where there is
// none.
func readManifest(dir string) (m manifest, err error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, fmt.Errorf("read manifest: %w", err)
	}
	return m, nil
}

func (m manifest) write(dir string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, manifestName), append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	return nil
}

// schemaHash stands for the schema of this program.
func schemaHash() (string, error) {
	sum := sha256.New()
	err := fs.WalkDir(schema.ClickHouse, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := schema.ClickHouse.ReadFile(path)
		fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read migrations: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

package engine

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// passwordsFile holds the generated passwords of the three users.
const passwordsFile = "passwords.json"

// loadPasswords reads the passwords of dir, and makes and keeps them when there
// are none yet. They have 130 random bits each.
func loadPasswords(dir string) (map[Role]string, error) {
	path := filepath.Join(dir, passwordsFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makePasswords(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read passwords: %w", err)
	}
	passwords := map[Role]string{}
	if err := json.Unmarshal(raw, &passwords); err != nil {
		return nil, fmt.Errorf("read passwords %s: %w (remove the file to have new ones made)", path, err)
	}
	for _, role := range roles() {
		if len(passwords[role]) < 26 {
			return nil, fmt.Errorf("read passwords %s: the one of %s is missing or short "+
				"(remove the file to have new ones made)", path, role)
		}
	}
	return passwords, nil
}

func makePasswords(path string) (map[Role]string, error) {
	passwords := map[Role]string{}
	for _, role := range roles() {
		passwords[role] = rand.Text()
	}
	raw, err := json.MarshalIndent(passwords, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode passwords: %w", err)
	}
	if err := writePrivate(path, append(raw, '\n')); err != nil {
		return nil, fmt.Errorf("keep passwords: %w", err)
	}
	return passwords, nil
}

// writePrivate writes a file that only its owner can read, all of it or
// nothing, and durably: a crash leaves the old content or the new one.
func writePrivate(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

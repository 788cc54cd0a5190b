package faults_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

var (
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
	// namedTest is a test in docs/reliability.md, with one of its parts or without.
	namedTest = regexp.MustCompile("`(Test\\w+)(?:/([^`]+))?`")
)

// TestEveryFaultIsInTheDocumentAndEveryTestThere holds docs/reliability.md and
// the tests together: it names every test of this package, and none that is not
// there.
func TestEveryFaultIsInTheDocumentAndEveryTestThere(t *testing.T) {
	root := testsystem.Root(t)
	here, everywhere := map[string]bool{}, map[string]bool{}
	var source bytes.Buffer
	for path, text := range testFiles(t, root) {
		ours := filepath.Dir(path) == filepath.Join(root, "internal", "faults")
		if ours {
			source.Write(text)
		}
		for _, found := range testFunction.FindAllSubmatch(text, -1) {
			everywhere[string(found[1])] = true
			here[string(found[1])] = here[string(found[1])] || ours
		}
	}
	document, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, found := range namedTest.FindAllStringSubmatch(string(document), -1) {
		name, part := found[1], found[2]
		named[name] = true
		if !everywhere[name] {
			t.Errorf("docs/reliability.md names %s, which is not there", name)
		}
		if part != "" && !bytes.Contains(source.Bytes(), []byte(`"`+part+`"`)) {
			t.Errorf("docs/reliability.md names %s/%s, but no test here has such a part", name, part)
		}
	}
	for name, ours := range here {
		if ours && !named[name] {
			t.Errorf("docs/reliability.md does not name %s: say what fault it is about", name)
		}
	}
}

// testFiles reads all files with tests of the project.
func testFiles(t *testing.T, root string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git" || d.Name() == "data"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		all[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

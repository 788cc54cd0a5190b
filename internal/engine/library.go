package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// systemLibraryDir is where a package of the system puts the library.
const systemLibraryDir = "/usr/lib/loginaudit"

// ErrLibraryMissing means that the ClickHouse library is in none of the places
// where it is searched.
var ErrLibraryMissing = errors.New("the ClickHouse library is missing")

// ErrPlatform means that there is no embedded ClickHouse for this system.
var ErrPlatform = errors.New("no embedded ClickHouse for this platform")

// libraryFile is the name of the shared library on every platform.
const libraryFile = "libchdb.so"

// libraryPackage names the npm package that brings the library for a platform.
func libraryPackage(goos, goarch string) (string, error) {
	switch goos + "/" + goarch {
	case "linux/amd64":
		return "@chdb/lib-linux-x64-gnu", nil
	case "linux/arm64":
		return "@chdb/lib-linux-arm64-gnu", nil
	case "darwin/amd64":
		return "@chdb/lib-darwin-x64", nil
	case "darwin/arm64":
		return "@chdb/lib-darwin-arm64", nil
	default:
		return "", fmt.Errorf("%w: %s/%s (there is one for linux and darwin on amd64 and arm64; "+
			"use a ClickHouse server of your own instead)", ErrPlatform, goos, goarch)
	}
}

// FindLibrary returns the path of the ClickHouse library: named, if it is not
// empty, else the first libchdb.so found in node_modules/@chdb upward from the
// folder of the executable and from the working directory, and in
// /usr/lib/loginaudit. [ErrLibraryMissing] names every place that was searched
// and the command that installs it.
func FindLibrary(named string) (string, error) {
	pkg, err := libraryPackage(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	if named != "" {
		if err := isFile(named); err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrLibraryMissing, named, err)
		}
		return filepath.Abs(named)
	}
	return searchLibrary(libraryRoots(), filepath.Join("node_modules", filepath.FromSlash(pkg), libraryFile))
}

// libraryRoots returns the folders to start from, the nearest first.
func libraryRoots() []string {
	var roots []string
	if exe, err := os.Executable(); err == nil {
		if target, err := filepath.EvalSymlinks(exe); err == nil {
			exe = target
		}
		roots = append(roots, filepath.Dir(exe))
	}
	if wd, err := os.Getwd(); err == nil {
		roots = append(roots, wd)
	}
	return roots
}

func searchLibrary(roots []string, inside string) (string, error) {
	for _, root := range roots {
		for dir := root; ; dir = filepath.Dir(dir) {
			candidate := filepath.Join(dir, inside)
			if isFile(candidate) == nil {
				return candidate, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	system := filepath.Join(systemLibraryDir, libraryFile)
	if isFile(system) == nil {
		return system, nil
	}
	return "", fmt.Errorf("%w: install it by running `npm ci` in the folder of loginaudit, "+
		"or name it with LOGINAUDIT_ENGINE_LIBRARY; searched %s in %s and every folder above, and %s",
		ErrLibraryMissing, inside, strings.Join(roots, ", "), system)
}

func isFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			return pathErr.Err
		}
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a file")
	}
	return nil
}

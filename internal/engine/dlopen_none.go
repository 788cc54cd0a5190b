//go:build noengine

package engine

import "errors"

// runLibrary is that of a build without the embedded ClickHouse: such a binary
// needs no libc, which loading a library takes, and so runs in an empty image.
func runLibrary(_, _ string, _ []string) error {
	return errors.New("this build has no embedded ClickHouse (build tag noengine): " +
		"use a ClickHouse server, or the binary that `make build` makes")
}

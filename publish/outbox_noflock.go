//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package publish

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// lockFile refuses: without a lock that ends with the process two publishers
// could share an outbox.
func lockFile(*os.File) error {
	return fmt.Errorf("an outbox on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// The files in the data directory that others may rely on.
const (
	addressesFile = "addresses.json"
	tokenFile     = "admin.token"
	publisherFile = "publisher.nk"
	lockFile      = "serve.lock"
)

// Addresses tell where a running serve answers, each as HOST:PORT that can be
// dialled from this machine. They are in addresses.json of the data directory
// from when everything serves until it stops.
type Addresses struct {
	// HTTP is the API and the page.
	HTTP string `json:"http"`
	// NATS takes publishers.
	NATS string `json:"nats"`
	// Admin answers /readyz and /metrics.
	Admin string `json:"admin"`
	// ClickHouse speaks the native protocol, on loopback.
	ClickHouse string `json:"clickhouse"`
	// HTTPTLS is there, and true, when HTTP speaks TLS; NATSTLS likewise.
	HTTPTLS bool `json:"http_tls,omitempty"`
	NATSTLS bool `json:"nats_tls,omitempty"`
}

// HTTPURL is the address of the API and the page as a URL without a path.
func (a Addresses) HTTPURL() string {
	if a.HTTPTLS {
		return "https://" + a.HTTP
	}
	return "http://" + a.HTTP
}

// NATSURL is the address of NATS as a URL.
func (a Addresses) NATSURL() string {
	if a.NATSTLS {
		return "tls://" + a.NATS
	}
	return "nats://" + a.NATS
}

// ReadAddresses reads the addresses of the serve that uses a data directory.
func ReadAddresses(dataDir string) (Addresses, error) {
	var a Addresses
	text, err := os.ReadFile(filepath.Join(dataDir, addressesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("nothing runs on the data directory %s (it has no %s): start it with \"make run\" or \"loginaudit serve\", or name another with --data-dir",
			dataDir, addressesFile)
	}
	if err != nil {
		return a, fmt.Errorf("read addresses: %w", err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("read addresses: %s: %w", filepath.Join(dataDir, addressesFile), err)
	}
	return a, nil
}

// write puts the addresses into the data directory, all of them or none.
func (a Addresses) write(dataDir string) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	f, err := os.CreateTemp(dataDir, "."+addressesFile+".*")
	if err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dataDir, addressesFile))
	}
	if err != nil {
		return fmt.Errorf("write addresses: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// removeAddresses tells readers that nothing serves.
func removeAddresses(dataDir string) error {
	err := os.Remove(filepath.Join(dataDir, addressesFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove addresses: %w", err)
	}
	return nil
}

// dialable is a listener's address as a client on this machine dials it.
func dialable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		// Go's wildcard listeners take both families.
		return net.JoinHostPort("127.0.0.1", port)
	}
	return net.JoinHostPort(host, port)
}

// lockDataDir makes the data directory and keeps a second serve out of it for
// as long as the file is open. The kernel drops the lock when the process ends,
// however it ends.
func lockDataDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w (choose another with --data-dir)", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w (is it writable? choose another with --data-dir)", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(f.Name())
		return nil, errors.Join(fmt.Errorf("the data directory %s is used by another serve (process %s): stop it, or choose another with --data-dir",
			dir, strings.TrimSpace(string(holder))), f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintln(f, os.Getpid())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), f.Close())
	}
	return f, nil
}

package app

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/loginaudit/loginaudit/internal/ops"
)

func (s HTTPSettings) validate() error {
	return errors.Join(ops.CheckAddress("http.addr", s.Addr), bothOrNone("http", s.TLSCert, s.TLSKey))
}

func (s AdminSettings) validate() error { return ops.CheckAddress("admin.addr", s.Admin.Addr) }

// validate refuses what the engine itself would: it takes no one from elsewhere.
func (s EngineSettings) validate() error {
	err := ops.CheckAddress("engine.addr", s.Addr)
	if err == nil && !ops.Loopback(context.Background(), s.Addr) {
		return fmt.Errorf("engine.addr: %s is not a loopback address, and no other is allowed (--engine-addr)", s.Addr)
	}
	return err
}

// validate keeps publishers' events and keys off the network in the clear.
func (s EmbeddedNATSSettings) validate() error {
	if err := errors.Join(ops.CheckAddress("nats.addr", s.Addr), bothOrNone("nats", s.TLSCert, s.TLSKey)); err != nil {
		return err
	}
	if s.TLSCert == "" && !ops.Loopback(context.Background(), s.Addr) {
		return fmt.Errorf("nats.addr: %s is reached from other machines, which takes TLS: give --nats-tls-cert and --nats-tls-key, or a loopback address", s.Addr)
	}
	return nil
}

func bothOrNone(section, cert, key string) error {
	if (cert == "") != (key == "") {
		return fmt.Errorf("%s.tls-cert and %s.tls-key are given together or not at all", section, section)
	}
	return nil
}

// reachable is an address as people on this machine dial it and, where the
// listener takes others too, the one on which it listens.
func reachable(shown string, bound net.Addr) string {
	if ip := net.ParseIP(hostOf(bound)); ip != nil && !ip.IsLoopback() {
		return fmt.Sprintf("%s (listens on %s)", shown, bound)
	}
	return shown
}

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return host
}

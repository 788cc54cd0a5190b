package ops

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
)

// The bounds of a connection. There is none on writing an answer: exports and
// the live tail take their time.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Server is an HTTP server on one listener.
type Server struct {
	Listener net.Listener
	Handler  http.Handler
	// TLS, where not nil, is spoken instead of plain HTTP.
	TLS *tls.Config
	// Grace bounds how long requests in hand may take after the stop.
	Grace time.Duration
	// Log gets what net/http complains about.
	Log *zap.Logger
}

// Serve serves until ctx ends; then it takes no new request, lets those in
// hand finish for at most Grace, cuts the rest off, and returns nil.
func (s Server) Serve(ctx context.Context) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	server := &http.Server{
		Handler:           s.Handler,
		TLSConfig:         s.TLS,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(s.Log),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	ended := make(chan error, 1)
	go func() {
		if s.TLS != nil {
			ended <- server.ServeTLS(s.Listener, "", "")
			return
		}
		ended <- server.Serve(s.Listener)
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("serve http on %s: %w", s.Listener.Addr(), err)
	case <-ctx.Done():
	}
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Grace)
	defer cancel()
	if err := server.Shutdown(bound); err != nil {
		cut() // tells the handlers before their connections go
		if err := server.Close(); err != nil {
			s.Log.Warn("close http server", zap.Error(err))
		}
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http on %s: %w", s.Listener.Addr(), err)
	}
	return nil
}

// CheckAddress gives a [UsageError] that names the setting unless address is
// HOST:PORT with a port that there can be. An empty host means every address of
// the machine.
func CheckAddress(setting, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return Usagef("%s: %q is not HOST:PORT with a port of 0 to 65535 (--%s or %s)",
			setting, address, flagName(setting), envName(setting))
	}
	return nil
}

// Loopback tells whether only this machine reaches a listener on the address
// HOST:PORT. A name counts when all
// that it stands for are loopback addresses.
func Loopback(ctx context.Context, address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return false
	}
	all, err := net.DefaultResolver.LookupIPAddr(ctx, host) // of an address: itself
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(all, func(a net.IPAddr) bool { return !a.IP.IsLoopback() })
}

// Listen listens on a TCP address, HOST:PORT; port 0 takes a free one. The
// error names the setting and what to do.
func Listen(ctx context.Context, setting, address string) (net.Listener, error) {
	if err := CheckAddress(setting, address); err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (is something else using it? choose another with --%s)",
			address, err, flagName(setting))
	}
	return l, nil
}

// LoadTLS reads a certificate and its key for [Server]. Both empty: nil, plain
// HTTP.
func LoadTLS(certFile, keyFile string) (*tls.Config, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil //nolint:nilnil // nil is net/http's own word for plain HTTP
	}
	if certFile == "" || keyFile == "" {
		return nil, Usagef("a TLS certificate and its key are given together or not at all")
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

package app

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// clientTLS is how to speak TLS to a server; nil where nothing special is set.
func (s TLSSettings) clientTLS() (*tls.Config, error) {
	if s == (TLSSettings{}) {
		return nil, nil //nolint:nilnil // nil is the library's own word for its default
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CA != "" {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return nil, fmt.Errorf("read tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read tls-ca: %s holds no certificate in PEM", s.CA)
		}
	}
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
		if err != nil {
			return nil, fmt.Errorf("read tls-cert: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// watermarkAge is how old the watermark of an answer may be.
const watermarkAge = 100 * time.Millisecond

// config is the store's view of the settings.
func (s ClickHouseSettings) config(sessionLimit time.Duration) (store.Config, error) {
	config := store.Config{
		Addr: s.Addr, Database: s.Database,
		Username: s.Username, Password: s.Password.Reveal(),
		SessionLimit: sessionLimit,
		WatermarkAge: watermarkAge,
	}
	if s.TLS {
		var err error
		if config.TLS, err = s.clientTLS(); err != nil {
			return config, fmt.Errorf("clickhouse: %w", err)
		}
		if config.TLS == nil {
			config.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	return config, nil
}

// trustExactly trusts one certificate, whatever name is in it.
func trustExactly(pem []byte) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("read TLS certificate: no certificate in PEM")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		//nolint:gosec // VerifyConnection below takes its place: names do not matter, the chain does
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			others := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				others.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: others})
			return err
		},
	}, nil
}

// natsClient is how to connect to NATS.
type natsClient struct {
	url, name, nkey, creds, inbox string
	tls                           *tls.Config
	// wait tells that the server may still be starting; else one that cannot be
	// reached is an error.
	wait bool
	log  *zap.Logger
}

func (s NATSSettings) client(name string, wait bool, log *zap.Logger) (natsClient, error) {
	config, err := s.clientTLS()
	if err != nil {
		return natsClient{}, fmt.Errorf("nats: %w", err)
	}
	return natsClient{url: s.URL, name: name, nkey: s.NKey, creds: s.Creds, inbox: s.InboxPrefix, tls: config, wait: wait, log: log}, nil
}

// A connection that is half open, because a firewall forgot it or a machine is
// gone without a word, is found out by pings: after 15 s it is made again. The
// client library's own bound is six minutes. One that takes no more bytes holds up
// everybody who writes, pings included, for as long as one write may take.
const (
	pingEvery       = 5 * time.Second
	pingsUnanswered = 2
	writeWithin     = (pingsUnanswered + 1) * pingEvery
)

// connect connects for good: a connection that is lost is made again for ever.
func (c natsClient) connect() (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name(c.name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(c.wait),
		nats.ReconnectWait(500 * time.Millisecond),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(pingsUnanswered),
		nats.FlusherTimeout(writeWithin),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil { // nil: closed by ourselves
				c.log.Warn("nats connection lost", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { c.log.Info("nats connection is there") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.log.Warn("nats refused", zap.Error(err)) }),
	}
	if c.inbox != "" {
		options = append(options, nats.CustomInboxPrefix(c.inbox))
	}
	if c.nkey != "" {
		option, err := nats.NkeyOptionFromSeed(c.nkey)
		if err != nil {
			return nil, fmt.Errorf("read nkey seed %s: %w", c.nkey, err)
		}
		options = append(options, option)
	}
	if c.creds != "" {
		if _, err := os.Stat(c.creds); err != nil {
			return nil, fmt.Errorf("read NATS credentials: %w", err)
		}
		options = append(options, nats.UserCredentials(c.creds))
	}
	if c.tls != nil {
		options = append(options, nats.Secure(c.tls))
	}
	nc, err := nats.Connect(c.url, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w%s", c.url, err, natsHint(err))
	}
	return nc, nil
}

func natsHint(err error) string {
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return " (give the publisher's key with --nkey FILE; serve keeps it in DIR/" + publisherFile + ")"
	case errors.Is(err, nats.ErrNoServers):
		return " (is it running, and is the address right?)"
	}
	return ""
}

// ClientSettings say where the commands import, emit and parked find NATS. What
// is not given comes from the data directory of a running serve.
type ClientSettings struct {
	DataDir     string `koanf:"data-dir" help:"data directory of a running serve, where addresses and keys are looked up"`
	NATS        string `koanf:"nats" help:"where NATS is, nats://HOST:PORT (default: the serve of the data directory)"`
	NKey        string `koanf:"nkey" help:"file with the nkey seed to log in with (default: the data directory's)"`
	Creds       string `koanf:"creds" help:"NATS credentials file (.creds), instead of nkey"`
	InboxPrefix string `koanf:"inbox-prefix" help:"beginning of the subjects on which answers come (default: as the key needs it)"`
	TLSSettings
}

// Validate names what excludes each other.
func (s ClientSettings) Validate() error {
	return errors.Join(required("data-dir", s.DataDir), natsSchemes("nats", s.NATS), s.settings().validate())
}

// natsSchemes refuses URLs of anything but NATS, of which there may be a list. It
// repeats no more of a URL than its scheme: there may be a password in it.
func natsSchemes(key, urls string) error {
	for part := range strings.SplitSeq(urls, ",") {
		scheme, _, given := strings.Cut(strings.TrimSpace(part), "://")
		if given && !slices.Contains([]string{"nats", "tls", "ws", "wss"}, strings.ToLower(scheme)) {
			return fmt.Errorf("%s: the scheme %q is not allowed; nats, tls, ws or wss", key, scheme)
		}
	}
	return nil
}

func (s ClientSettings) settings() NATSSettings {
	return NATSSettings{URL: s.NATS, NKey: s.NKey, Creds: s.Creds, InboxPrefix: s.InboxPrefix, TLSSettings: s.TLSSettings}
}

// connect finds NATS and connects as user: with the key in the data directory
// where none is named and NATS is the serve of that data directory.
func (s ClientSettings) connect(user engine.NATSUser) (*nats.Conn, error) {
	n := s.settings()
	addresses, err := ReadAddresses(s.DataDir)
	if n.URL == "" {
		if err != nil {
			return nil, err
		}
		n.URL = addresses.NATSURL()
	}
	if n.NKey == "" && n.Creds == "" && err == nil && n.URL == addresses.NATSURL() {
		own := seedFile(s.DataDir, user)
		if _, err := os.Stat(own); err == nil {
			n.NKey = own
			n.InboxPrefix = cmp.Or(n.InboxPrefix, user.InboxPrefix())
		}
	}
	client, err := n.client("loginaudit", false, zap.NewNop())
	if err != nil {
		return nil, err
	}
	return client.connect()
}

// seedFile is where serve keeps a user's key.
func seedFile(dataDir string, user engine.NATSUser) string {
	if user == engine.UserPublisher {
		return filepath.Join(dataDir, publisherFile)
	}
	return filepath.Join(dataDir, "nats", string(user)+".nk")
}

package engine_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// certificate makes one for 127.0.0.1 that is trusted by the returned pool.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestWithACertificateClientsSpeakTLS(t *testing.T) {
	cert, pool := certificate(t)
	server := startNATS(t, engine.NATSConfig{
		Dir: t.TempDir(), MaxStore: small,
		TLS: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	})
	if !strings.HasPrefix(server.URL(), "tls://127.0.0.1:") {
		t.Errorf("URL is %s", server.URL())
	}
	key, err := nats.NkeyOptionFromSeed(server.SeedFile(engine.UserPublisher))
	if err != nil {
		t.Fatal(err)
	}
	nc := natsWith(t, server.URL(), key, nats.Secure(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	if _, err := nc.TLSConnectionState(); err != nil {
		t.Error(err)
	}
	if _, err := nats.Connect(server.URL(), key); err == nil {
		t.Error("a client that does not trust the certificate is connected")
	}
}

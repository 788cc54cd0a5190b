package app_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestServeSpeaksTLSWhereItIsTold(t *testing.T) {
	cert, key := testsystem.Certificate(t)
	dir := filepath.Join(t.TempDir(), "data")
	b := testsystem.Start(t, testsystem.Command(t, "loginaudit", "serve", "--data-dir", dir, "--engine-memory", "1GiB",
		"--http-addr", "127.0.0.1:0", "--nats-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
		"--http-tls-cert", cert, "--http-tls-key", key, "--nats-tls-cert", cert, "--nats-tls-key", key))
	var addresses app.Addresses
	b.Until(t, "serve is ready", func() (err error) {
		addresses, err = app.ReadAddresses(dir)
		return err
	})
	if !strings.HasPrefix(addresses.HTTPURL(), "https://") || !strings.HasPrefix(addresses.NATSURL(), "tls://") {
		t.Fatalf("addresses: %+v", addresses)
	}
	body := line("safe", "e1", "ann", 1, time.Now())
	if r := run(t, body, "loginaudit", "import", "-", "--data-dir", dir, "--wait"); r.Status != 1 || !strings.Contains(r.Err, "certificate") {
		t.Errorf("an unknown certificate is trusted: %+v", r)
	}
	if r := run(t, body, "loginaudit", "import", "-", "--data-dir", dir, "--wait", "--tls-ca", cert); r.Status != 0 {
		t.Errorf("%+v", r)
	}
	if r := run(t, "", "loginaudit", "users", "safe", "--data-dir", dir); r.Status != 1 || !strings.Contains(r.Err, "certificate") {
		t.Errorf("an unknown certificate is trusted with the token: %+v", r)
	}
	if r := run(t, "", "loginaudit", "users", "safe", "--data-dir", dir, "--tls-ca", cert, "--output", "ndjson"); r.Status != 0 || !strings.Contains(r.Out, "ann") {
		t.Errorf("%+v", r)
	}
	b.Stop(t)
}

func TestServeRefusesACertificateThatItCannotRead(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	for _, flag := range []string{"http", "nats"} {
		r := run(t, "", "loginaudit", "serve", "--data-dir", t.TempDir(), "--http-addr", "127.0.0.1:0", "--nats-addr", "127.0.0.1:0",
			"--admin-addr", "127.0.0.1:0", "--"+flag+"-tls-cert", none, "--"+flag+"-tls-key", none)
		if r.Status != 1 || !strings.Contains(r.Err, none) {
			t.Errorf("%s: %+v", flag, r)
		}
	}
}

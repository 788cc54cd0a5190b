package app_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/testsystem"
)

func TestServeBeyondLoopbackTellsWhereItListensAndWarnsOnceOfWhatIsPlain(t *testing.T) {
	cert, key := testsystem.Certificate(t)
	s := testsystem.Serve(t, "loginaudit", filepath.Join(t.TempDir(), "data"), "--engine-memory", "1GiB",
		"--http-addr", "0.0.0.0:0", "--nats-addr", "0.0.0.0:0", "--nats-tls-cert", cert, "--nats-tls-key", key)
	for what, addr := range map[string]string{"http://": s.Addresses.HTTP, "tls://": s.Addresses.NATS} {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(s.Out(), what+addr+" (listens on [::]:"+port+")") && !strings.Contains(s.Out(), what+addr+" (listens on 0.0.0.0:"+port+")") {
			t.Errorf("%s is not told as it is bound: %s", addr, s.Out())
		}
	}
	if n := strings.Count(s.Err(), "without TLS beyond this machine"); n != 1 {
		t.Errorf("warned %d times: %s", n, s.Err())
	}
	s.Stop(t)
}

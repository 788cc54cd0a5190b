package ops_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// scrape is what /metrics answers.
func scrape(t testing.TB, h *ops.Health, r *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	ops.Admin(h, r, zap.NewAtomicLevel()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func wantLines(t testing.TB, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains("\n"+text, "\n"+line+"\n") {
			t.Errorf("the metrics have no line %q", line)
		}
	}
}

func TestMetricsTellWhatReadinessTells(t *testing.T) {
	var health ops.Health
	down := errors.New("connection refused")
	check := func(ctx context.Context) error { return nil }
	health.Add("clickhouse", func(context.Context) error { return down })
	health.Add("nats", check)
	health.Add("twice", check)
	health.Add("twice", func(context.Context) error { return down })
	wantLines(t, scrape(t, &health, ops.NewRegistry()), "loginaudit_ready 0", `loginaudit_ready_check{check="clickhouse"} 0`,
		`loginaudit_ready_check{check="nats"} 1`, `loginaudit_ready_check{check="twice"} 0`)
	down = nil
	wantLines(t, scrape(t, &health, ops.NewRegistry()), "loginaudit_ready 1", `loginaudit_ready_check{check="clickhouse"} 1`,
		`loginaudit_ready_check{check="twice"} 1`)
}

// broken fails to tell its metric.
type broken struct{ *prometheus.Desc }

func (b broken) Describe(to chan<- *prometheus.Desc) { to <- b.Desc }
func (b broken) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.NewInvalidMetric(b.Desc, errors.New("broken"))
}

func TestMetricThatIsBrokenHidesNoOther(t *testing.T) {
	r := ops.NewRegistry()
	r.MustRegister(broken{prometheus.NewDesc("loginaudit_broken", "-", nil, nil)}, ops.Build("ingest", "v1.2.3", "abc"))
	wantLines(t, scrape(t, &ops.Health{}, r), `loginaudit_build_info{commit="abc",component="ingest",version="v1.2.3"} 1`, "loginaudit_ready 1")
}

func TestMetricsTellWhenTheFirstCertificateExpires(t *testing.T) {
	soon, later := time.Unix(1_800_000_000, 0), time.Unix(1_900_000_000, 0)
	certificate := func(end time.Time) tls.Certificate {
		return tls.Certificate{Leaf: &x509.Certificate{NotAfter: end}}
	}
	r := ops.NewRegistry()
	r.MustRegister(
		ops.CertificateExpiry("http", &tls.Config{Certificates: []tls.Certificate{certificate(later), {}, certificate(soon)}}),
		ops.CertificateExpiry("nats", nil),
	)
	text := scrape(t, &ops.Health{}, r)
	wantLines(t, text, `loginaudit_tls_certificate_expiry_timestamp_seconds{listener="http"} 1.8e+09`)
	if strings.Contains(text, `listener="nats"`) {
		t.Error("a listener without TLS tells of a certificate")
	}
}

package ops

import (
	"context"
	"crypto/tls"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry is a metrics registry that already has the process, the Go run
// time and the build.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return r
}

// readiness tells what /readyz tells, for those who only collect metrics. Each
// collection asks every check, as a probe does.
type readiness struct {
	health       *Health
	ready, check *prometheus.Desc
}

func newReadiness(h *Health) readiness {
	return readiness{
		health: h,
		ready:  prometheus.NewDesc("loginaudit_ready", "1 while the process does its work, as /readyz answers; else 0.", nil, nil),
		check: prometheus.NewDesc("loginaudit_ready_check",
			"1 while this condition of being ready holds, else 0.", []string{"check"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (r readiness) Describe(to chan<- *prometheus.Desc) {
	to <- r.ready
	to <- r.check
}

// Collect implements prometheus.Collector. Checks that share a name are one,
// which holds while all of them do.
func (r readiness) Collect(to chan<- prometheus.Metric) {
	ready, checks := 1.0, map[string]float64{}
	for _, c := range r.health.Check(context.Background()) {
		if _, told := checks[c.Name]; !told {
			checks[c.Name] = 1
		}
		if c.Err != nil {
			checks[c.Name], ready = 0, 0
		}
	}
	for name, holds := range checks {
		to <- prometheus.MustNewConstMetric(r.check, prometheus.GaugeValue, holds, name)
	}
	to <- prometheus.MustNewConstMetric(r.ready, prometheus.GaugeValue, ready)
}

// Build tells which version runs: a series of the value 1 with labels that name
// the component, the version and the commit ("" where they are not known).
func Build(component, version, commit string) prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "loginaudit_build_info",
		Help:        "1, with the component, the version and the commit that run.",
		ConstLabels: prometheus.Labels{"component": component, "version": version, "commit": commit},
	})
	info.Set(1)
	return info
}

// CertificateExpiry tells until when the certificate is valid with which a
// listener, such as http, presents itself. Where several are configured, the
// first to expire counts; without one there is no series.
func CertificateExpiry(listener string, config *tls.Config) prometheus.Collector {
	expiry := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name:        "loginaudit_tls_certificate_expiry_timestamp_seconds",
		Help:        "Until when the certificate of a listener is valid, in Unix time.",
		ConstLabels: prometheus.Labels{"listener": listener},
	}, nil)
	if config == nil {
		return expiry
	}
	first := int64(0)
	for _, c := range config.Certificates {
		if c.Leaf == nil {
			continue
		}
		if at := c.Leaf.NotAfter.Unix(); first == 0 || at < first {
			first = at
		}
	}
	if first != 0 {
		expiry.WithLabelValues().Set(float64(first))
	}
	return expiry
}

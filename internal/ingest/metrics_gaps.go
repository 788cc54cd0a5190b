package ingest

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// gapMetrics tell of messages that the stream lost before they were ingested.
type gapMetrics struct {
	found *prometheus.CounterVec
	known prometheus.Gauge
}

func newGapMetrics() gapMetrics {
	return gapMetrics{
		found: prometheus.NewCounterVec(counter("gaps_found_total",
			"Times that messages were found lost from the stream before they were ingested, by reason."), []string{"reason"}),
		known: gauge("gaps", "Gaps that answers name: messages that nobody can ever query."),
	}
}

func (m *gapMetrics) register(r prometheus.Registerer) error {
	err := errors.Join(share(r, &m.found), share(r, &m.known))
	for _, reason := range gapReasons() {
		m.found.WithLabelValues(string(reason))
	}
	return err
}

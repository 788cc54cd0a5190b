package tail

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	subscribers prometheus.Gauge
	events      prometheus.Counter
	gaps        prometheus.Counter
	catchUps    prometheus.Counter
	failures    prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		subscribers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "loginaudit_tail_subscribers",
			Help: "Readers that follow the live tail.",
		}),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loginaudit_tail_events_total",
			Help: "Events sent to readers of the live tail, each once for each reader.",
		}),
		gaps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loginaudit_tail_gaps_total",
			Help: "Gaps told to readers of the live tail that were too far behind.",
		}),
		catchUps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loginaudit_tail_catch_ups_total",
			Help: "Times that a reader of the live tail read from the store what it lacked: it came back, or was slow.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loginaudit_tail_read_failures_total",
			Help: "Times that the store could not be read for the live tail.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.subscribers, m.events, m.gaps, m.catchUps, m.failures} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register tail metrics: %w", err)
		}
	}
	return m, nil
}

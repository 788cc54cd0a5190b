package ingest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/loginaudit/loginaudit/event"
)

// metrics are what the loop tells of itself. Loops that share a registerer share
// them.
type metrics struct {
	events            *prometheus.CounterVec
	parked            *prometheus.CounterVec
	parkFailures      prometheus.Counter
	redeliveries      prometheus.Counter
	retries           *prometheus.CounterVec
	fetchErrors       prometheus.Counter
	ackFailures       prometheus.Counter
	watermarkFailures prometheus.Counter
	batchMessages     prometheus.Histogram
	batchBytes        prometheus.Histogram
	insertSeconds     *prometheus.HistogramVec
	lagMessages       prometheus.Gauge
	lagSeconds        prometheus.Gauge
	expired           prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "loginaudit_ingest_" + name, Help: help}
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "loginaudit_ingest_" + name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: "loginaudit_ingest_" + name, Help: help, Buckets: buckets}
	}
	m := &metrics{
		events: prometheus.NewCounterVec(counter("events_total",
			"Messages that were worked through, by what became of them."), []string{"result"}),
		parked: prometheus.NewCounterVec(counter("parked_total",
			"Messages that were parked, by reason."), []string{"reason"}),
		parkFailures: prometheus.NewCounter(counter("park_failures_total",
			"Times that a message could not be parked and stayed unacknowledged.")),
		redeliveries: prometheus.NewCounter(counter("redeliveries_total",
			"Messages that were delivered not for the first time.")),
		retries: prometheus.NewCounterVec(counter("insert_errors_total",
			"Inserts that failed, by class of the error."), []string{"class"}),
		fetchErrors: prometheus.NewCounter(counter("fetch_errors_total",
			"Fetches that failed.")),
		ackFailures: prometheus.NewCounter(counter("ack_failures_total",
			"Acknowledgements without the server's word; the messages may come again.")),
		watermarkFailures: prometheus.NewCounter(counter("watermark_failures_total",
			"Times that the watermark could not be measured or told.")),
		batchMessages: prometheus.NewHistogram(histogram("batch_messages",
			"Messages in a batch.", prometheus.ExponentialBuckets(1, 4, 9))),
		batchBytes: prometheus.NewHistogram(histogram("batch_bytes",
			"Bytes of bodies in a batch.", prometheus.ExponentialBuckets(1<<10, 4, 8))),
		insertSeconds: prometheus.NewHistogramVec(histogram("insert_seconds",
			"Time of one insert, by result.", prometheus.ExponentialBuckets(0.001, 3, 11)), []string{"result"}),
		lagMessages: gauge("lag_messages", "Messages of the stream that are not known to be stored or parked."),
		lagSeconds:  gauge("lag_seconds", "Age of the watermark, by the stream's clock."),
		expired:     gauge("expired_messages", "Messages that the stream's retention took before they were ingested."),
	}
	if err := m.register(registerer); err != nil {
		return nil, err
	}
	m.begin()
	return m, nil
}

// Results of a message and of an insert; otherReason is the reason of what is
// parked for none of the known ones.
const (
	resultStored = "stored"
	resultParked = "parked"
	resultFailed = "failed"
	otherReason  = "other"
)

// begin makes every series that there can be, with 0: what counts increases
// does not see the first value of a series, and an alert would miss the first
// message that is parked.
func (m *metrics) begin() {
	for _, result := range []string{resultStored, resultParked} {
		m.events.WithLabelValues(result)
	}
	for _, reason := range append(event.Reasons(), ReasonRowRefused, otherReason) {
		m.parked.WithLabelValues(string(reason))
	}
	for _, class := range []Class{Unknown, Retry, Split, Stop} {
		m.retries.WithLabelValues(class.String())
	}
	for _, result := range []string{resultStored, resultFailed} {
		m.insertSeconds.WithLabelValues(result)
	}
}

// register registers the metrics, or takes over those that another loop of the
// same registerer has registered.
func (m *metrics) register(r prometheus.Registerer) error {
	return errors.Join(
		share(r, &m.events), share(r, &m.parked), share(r, &m.parkFailures), share(r, &m.redeliveries),
		share(r, &m.retries), share(r, &m.fetchErrors), share(r, &m.ackFailures), share(r, &m.watermarkFailures),
		share(r, &m.batchMessages), share(r, &m.batchBytes), share(r, &m.insertSeconds),
		share(r, &m.lagMessages), share(r, &m.lagSeconds), share(r, &m.expired),
	)
}

func share[C prometheus.Collector](r prometheus.Registerer, collector *C) error {
	err := r.Register(*collector)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if there, ok := already.ExistingCollector.(C); ok {
			*collector = there
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("register metric: %w", err)
	}
	return nil
}

// reasonLabel keeps the label's values a closed set.
func reasonLabel(reason error) string {
	var e *event.Error
	if errors.As(reason, &e) && (e.Reason == ReasonRowRefused || slices.Contains(event.Reasons(), e.Reason)) {
		return string(e.Reason)
	}
	return otherReason
}

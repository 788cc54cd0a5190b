package ingest

import (
	"errors"
	"fmt"
	"slices"
	"time"

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
	batchSeconds      *prometheus.HistogramVec
	insertSeconds     *prometheus.HistogramVec
	commitSeconds     prometheus.Histogram
	lastCommit        prometheus.Gauge
	lagMessages       prometheus.Gauge
	lagSeconds        prometheus.Gauge
	expired           prometheus.Gauge
	stream            streamMetrics
	gaps              gapMetrics
}

const metricPrefix = "loginaudit_ingest_"

func counter(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Name: metricPrefix + name, Help: help}
}

func gauge(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: metricPrefix + name, Help: help})
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: metricPrefix + name, Help: help, Buckets: buckets}
}

// batchBuckets fit a batch of 1 to 100,000 messages, byteBuckets its bodies up
// to 64 MiB, stepBuckets what is done with it, and commitBuckets all between a
// busy stream without a backlog and one that waited for a day.
func batchBuckets() []float64 {
	return []float64{1, 3, 10, 30, 100, 300, 1000, 2500, 5000, 10_000, 20_000, 50_000, 100_000}
}

func byteBuckets() []float64 { return prometheus.ExponentialBuckets(1<<10, 4, 9) }

func stepBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
}

func commitBuckets() []float64 {
	return []float64{.01, .025, .05, .1, .2, .3, .5, .75, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86_400}
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
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
			"Acknowledgements without the server's word, or that could not be sent yet; the messages may come again.")),
		watermarkFailures: prometheus.NewCounter(counter("watermark_failures_total",
			"Times that the watermark could not be measured or told.")),
		batchMessages: prometheus.NewHistogram(histogram("batch_messages",
			"Messages in a batch.", batchBuckets())),
		batchBytes: prometheus.NewHistogram(histogram("batch_bytes",
			"Bytes of bodies in a batch.", byteBuckets())),
		batchSeconds: prometheus.NewHistogramVec(histogram("batch_stage_seconds",
			"Time that a batch spent in each stage.", stepBuckets()), []string{"stage"}),
		insertSeconds: prometheus.NewHistogramVec(histogram("insert_seconds",
			"Time of one insert, by result.", stepBuckets()), []string{"result"}),
		commitSeconds: prometheus.NewHistogram(histogram("receive_to_commit_seconds",
			"From the stream's receipt of a batch's oldest message to its durable commit, once a batch.", commitBuckets())),
		lastCommit:  gauge("last_commit_timestamp_seconds", "When a batch was last committed, in Unix time; 0: not since the start."),
		lagMessages: gauge("lag_messages", "Messages of the stream that are not known to be stored or parked."),
		lagSeconds:  gauge("lag_seconds", "Age of the watermark, by the stream's clock."),
		expired:     gauge("expired_messages", "Messages that the stream's limits took before they were ingested, found since the start."),
		stream:      newStreamMetrics(),
		gaps:        newGapMetrics(),
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

// stage is a part of a batch's way.
type stage string

// The stages, in the order of a batch. Those of different batches may overlap.
const (
	stageFill        stage = "fill"        // from its first message, decoding included, until it is ready
	stageWait        stage = "wait"        // until an insert is free for it
	stageInsert      stage = "insert"      // until the store has its rows, with all repeats
	stageAcknowledge stage = "acknowledge" // until the server has taken the acknowledgements
	stagePark        stage = "park"        // until its invalid messages are parked, if there are any
)

// batchStage tells how long a batch was in a stage.
func (m *metrics) batchStage(s stage, took time.Duration) {
	m.batchSeconds.WithLabelValues(string(s)).Observe(took.Seconds())
}

// committed tells that the store has a batch durably. oldest is when the stream
// received the batch's oldest message; clocks that differ never make the time
// negative.
func (m *metrics) committed(oldest, now time.Time) {
	m.commitSeconds.Observe(max(now.Sub(oldest).Seconds(), 0))
	m.lastCommit.Set(unixSeconds(now))
}

// unixSeconds is a moment as metrics tell it, 0 where there is none.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

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
	for _, class := range []Class{Unknown, Retry, Split, Stop, TooLarge} {
		m.retries.WithLabelValues(class.String())
	}
	for _, result := range []string{resultStored, resultFailed} {
		m.insertSeconds.WithLabelValues(result)
	}
	for _, s := range []stage{stageFill, stageWait, stageInsert, stageAcknowledge, stagePark} {
		m.batchSeconds.WithLabelValues(string(s))
	}
}

// register registers the metrics, or takes over those that another loop of the
// same registerer has registered.
func (m *metrics) register(r prometheus.Registerer) error {
	return errors.Join(
		share(r, &m.events), share(r, &m.parked), share(r, &m.parkFailures), share(r, &m.redeliveries),
		share(r, &m.retries), share(r, &m.fetchErrors), share(r, &m.ackFailures), share(r, &m.watermarkFailures),
		share(r, &m.batchMessages), share(r, &m.batchBytes), share(r, &m.batchSeconds), share(r, &m.insertSeconds),
		share(r, &m.commitSeconds), share(r, &m.lastCommit),
		share(r, &m.lagMessages), share(r, &m.lagSeconds), share(r, &m.expired), m.stream.register(r), m.gaps.register(r),
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

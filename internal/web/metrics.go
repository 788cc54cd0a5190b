package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// metrics are those of requests, by the pattern of their route.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	panics   prometheus.Counter
	signIns  *prometheus.CounterVec
	refused  prometheus.Counter
	exports  *prometheus.CounterVec
	events   *prometheus.CounterVec
}

// Results of an export.
const (
	exportWhole   = "whole"
	exportBroken  = "broken"
	exportRefused = "refused"
)

// Results of a sign-in on the page.
const (
	signedIn     = "success"
	signInFailed = "failure"
)

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loginaudit_web_requests_total",
			Help: "Requests answered, by method, route and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "loginaudit_web_request_seconds",
			Help:    "Time from the request to the end of its answer, by route.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "loginaudit_web_requests_in_flight",
			Help: "Requests that are being answered.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loginaudit_web_panics_total",
			Help: "Requests whose handler panicked.",
		}),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loginaudit_web_sign_ins_total",
			Help: "Attempts to sign in on the page, by result.",
		}, []string{"result"}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loginaudit_web_refused_credentials_total",
			Help: "Requests with a token or a page session that is malformed, unknown or expired.",
		}),
	}
	m.exports = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "loginaudit_web_exports_total",
		Help: "Exports, by format and result: whole, broken after the first byte, refused before it.",
	}, []string{"format", "result"})
	m.events = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "loginaudit_web_exported_events_total",
		Help: "Events sent by exports, by format, those of broken ones included.",
	}, []string{"format"})
	for _, format := range query.ExportFormats() {
		for _, result := range []string{exportWhole, exportBroken, exportRefused} {
			m.exports.WithLabelValues(string(format), result)
		}
		m.events.WithLabelValues(string(format))
	}
	for _, result := range []string{signedIn, signInFailed} {
		m.signIns.WithLabelValues(result)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.inFlight, m.panics, m.signIns, m.refused, m.exports, m.events} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register web metrics: %w", err)
		}
	}
	return m, nil
}

// begin makes the series of every route with 0, those of our own failures
// included: what counts increases does not see the first value of a series, and
// an alert would miss the first failure.
func (m *metrics) begin(routes chi.Routes) error {
	failures := []int{http.StatusOK, http.StatusInternalServerError, http.StatusServiceUnavailable}
	err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		for _, status := range failures {
			m.requests.WithLabelValues(method, route, strconv.Itoa(status))
		}
		m.seconds.WithLabelValues(route)
		return nil
	})
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	return nil
}

// counted counts the requests whose credentials are refused. Those without any
// are not counted: that is how everybody comes first.
func (m *metrics) counted(authenticate func(*http.Request) (access.Viewer, error)) func(*http.Request) (access.Viewer, error) {
	return func(r *http.Request) (access.Viewer, error) {
		viewer, err := authenticate(r)
		if errors.Is(err, access.ErrBadCredentials) {
			m.refused.Inc()
		}
		return viewer, err
	}
}

// exported counts an export.
func (m *metrics) exported(format query.ExportFormat, result string, events uint64) {
	m.exports.WithLabelValues(string(format), result).Inc()
	m.events.WithLabelValues(string(format)).Add(float64(events))
}

func (m *metrics) done(method, route string, status int, elapsed time.Duration) {
	m.requests.WithLabelValues(methodName(method), route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(elapsed.Seconds())
}

// methodName is the method, or other: a client may send any word.
func methodName(method string) string {
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions,
	}
	if slices.Contains(known, method) {
		return method
	}
	return "other"
}

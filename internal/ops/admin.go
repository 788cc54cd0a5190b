package ops

import (
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Admin answers on the admin address: /livez, /readyz, /startupz (?verbose), /metrics,
// /log/level (GET, PUT {"level":"debug"}) and /debug/pprof/. It has no access
// control of its own: listen on loopback or where only operators reach it. To
// metrics it adds what /readyz tells.
func Admin(health *Health, metrics prometheus.Gatherer, level zap.AtomicLevel) http.Handler {
	ready := prometheus.NewRegistry()
	ready.MustRegister(newReadiness(health))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", health.Live)
	mux.HandleFunc("GET /readyz", health.Ready)
	mux.HandleFunc("GET /startupz", health.Started)
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{metrics, ready},
		promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})) // one broken metric must not hide the others
	mux.Handle("/log/level", level)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

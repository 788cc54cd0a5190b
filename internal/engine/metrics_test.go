package engine_test

import (
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// told is what collectors tell, by name and, in braces, the value of the label.
func told(t testing.TB, metrics ...prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	for _, m := range metrics {
		registry.MustRegister(m)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += "{" + label.GetValue() + "}"
			}
			all[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all
}

func TestMetricsTellThatTheEngineDiedAndCameBack(t *testing.T) {
	cfg := engine.ClickHouseConfig{Dir: t.TempDir(), MemoryLimit: 512 << 20}
	unstarted := told(t, engine.NewClickHouse(cfg).Metrics()...)
	if up, known := unstarted["loginaudit_engine_clickhouse_up"]; up != 0 || !known {
		t.Errorf("before the start: %v", unstarted)
	}
	ch := startClickHouse(t, cfg)
	before := told(t, ch.Metrics()...)
	for name, want := range map[string]float64{"up": 1, "restarts_total": 0, "memory_limit_bytes": 512 << 20} {
		if got, known := before["loginaudit_engine_clickhouse_"+name]; got != want || !known {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if before["loginaudit_engine_clickhouse_process_resident_memory_bytes"] < 1<<20 {
		t.Errorf("nothing is told of its process: %v", before)
	}
	pid := ch.PID()
	if err := ch.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another child answers", func() bool { return ch.Healthy() == nil && ch.PID() != pid })
	after := told(t, ch.Metrics()...)
	if after["loginaudit_engine_clickhouse_restarts_total"] != 1 || after["loginaudit_engine_clickhouse_up"] != 1 {
		t.Errorf("after kill -9: %v", after)
	}
}

func TestMetricsTellWhatTheStreamsTake(t *testing.T) {
	server := startNATS(t, engine.NATSConfig{Dir: t.TempDir(), MaxStore: 64 << 20})
	nc := natsAs(t, server, engine.UserOperator)
	makeStreams(t, jetStream(t, nc))
	publisher := jetStream(t, natsAs(t, server, engine.UserPublisher))
	for range 3 {
		if _, err := publisher.PublishMsg(t.Context(), &nats.Msg{Subject: "login.events.acme.login", Data: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	got := told(t, server.Metrics()...)
	for name, want := range map[string]float64{
		"up": 1, "store_max_bytes": 64 << 20, "connections": 2, "slow_consumers_total": 0,
		"stream_messages{LOGIN_EVENTS}": 3, "stream_messages{LOGIN_PARKED}": 0,
	} {
		if value, known := got["loginaudit_engine_nats_"+name]; value != want || !known {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	bytes := got["loginaudit_engine_nats_stream_bytes{LOGIN_EVENTS}"]
	if store := got["loginaudit_engine_nats_store_bytes"]; bytes < 3000 || store < bytes {
		t.Errorf("the stream takes %v bytes, all streams %v", bytes, store)
	}
	stop(t, server)
	if got := told(t, server.Metrics()...); got["loginaudit_engine_nats_up"] != 0 {
		t.Errorf("after the stop: %v", got)
	}
}

func TestMetricsTellWhatIsFreeOnTheDisk(t *testing.T) {
	got := told(t, engine.DiskMetrics(t.TempDir()))
	free, size := got["loginaudit_data_disk_free_bytes"], got["loginaudit_data_disk_size_bytes"]
	if free <= 0 || size < free {
		t.Errorf("%v of %v bytes are free", free, size)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(engine.DiskMetrics(filepath.Join(t.TempDir(), "gone")))
	if families, err := registry.Gather(); err == nil {
		t.Errorf("of a directory that is not there: %v", families)
	}
}

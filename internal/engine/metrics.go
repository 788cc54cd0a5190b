package engine

import (
	"errors"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("loginaudit_engine_"+name, help, labels, nil)
}

func tell(to chan<- prometheus.Metric, d *prometheus.Desc, value float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func zeroOrOne(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}

// Metrics tell of the engine: whether it answers, how often it died, its memory
// limit, and, while it runs, of its process (CPU, memory, open files), as
// loginaudit_engine_clickhouse_process_*.
func (c *ClickHouse) Metrics() []prometheus.Collector {
	return []prometheus.Collector{
		clickHouseMetrics{
			engine:      c,
			up:          describe("clickhouse_up", "1 while the embedded ClickHouse answers, else 0."),
			restarts:    describe("clickhouse_restarts_total", "Times that the embedded ClickHouse died and was to be started again."),
			memoryLimit: describe("clickhouse_memory_limit_bytes", "Most memory that the embedded ClickHouse takes."),
		},
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{
			Namespace: "loginaudit_engine_clickhouse",
			PidFn: func() (int, error) {
				if pid := c.PID(); pid != 0 {
					return pid, nil
				}
				return 0, ErrClosed
			},
		}),
	}
}

type clickHouseMetrics struct {
	engine                    *ClickHouse
	up, restarts, memoryLimit *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m clickHouseMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.up
	to <- m.restarts
	to <- m.memoryLimit
}

// Collect implements prometheus.Collector.
func (m clickHouseMetrics) Collect(to chan<- prometheus.Metric) {
	tell(to, m.up, zeroOrOne(m.engine.Healthy() == nil))
	to <- prometheus.MustNewConstMetric(m.restarts, prometheus.CounterValue, float64(m.engine.deaths.Load()))
	tell(to, m.memoryLimit, float64(m.engine.cfg.MemoryLimit))
}

// Metrics tell of the server: whether it runs, who is connected, and what the
// streams take of the disk, each and together.
func (n *NATS) Metrics() []prometheus.Collector {
	return []prometheus.Collector{natsMetrics{
		server:      n,
		up:          describe("nats_up", "1 while the embedded NATS server runs with JetStream, else 0."),
		connections: describe("nats_connections", "Connections to the embedded NATS server."),
		slow:        describe("nats_slow_consumers_total", "Connections that were cut because they read too slowly."),
		store:       describe("nats_store_bytes", "What all streams together take of the disk."),
		maxStore:    describe("nats_store_max_bytes", "Most that all streams together may take of the disk."),
		messages:    describe("nats_stream_messages", "Messages in a stream.", "stream"),
		bytes:       describe("nats_stream_bytes", "Bytes in a stream.", "stream"),
	}}
}

type natsMetrics struct {
	server                                 *NATS
	up, connections, slow, store, maxStore *prometheus.Desc
	messages, bytes                        *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m natsMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.up, m.connections, m.slow, m.store, m.maxStore, m.messages, m.bytes} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m natsMetrics) Collect(to chan<- prometheus.Metric) {
	tell(to, m.up, zeroOrOne(m.server.Healthy() == nil))
	tell(to, m.maxStore, float64(m.server.MaxStore()))
	m.server.mu.Lock()
	server := m.server.server
	m.server.mu.Unlock()
	if server == nil {
		return
	}
	tell(to, m.connections, float64(server.NumClients()))
	to <- prometheus.MustNewConstMetric(m.slow, prometheus.CounterValue, float64(server.NumSlowConsumers()))
	info, err := server.Jsz(&natsserver.JSzOptions{Accounts: true, Streams: true})
	if err != nil {
		to <- prometheus.NewInvalidMetric(m.store, err)
		return
	}
	tell(to, m.store, float64(info.Store))
	for _, account := range info.AccountDetails {
		for _, stream := range account.Streams {
			tell(to, m.messages, float64(stream.State.Msgs), stream.Name)
			tell(to, m.bytes, float64(stream.State.Bytes), stream.Name)
		}
	}
}

// DiskMetrics tell how much is free on the disk of a directory, and its size.
func DiskMetrics(dir string) prometheus.Collector {
	return diskMetrics{
		dir:  dir,
		free: prometheus.NewDesc("loginaudit_data_disk_free_bytes", "What is free, for this process, on the disk of the data directory.", nil, nil),
		size: prometheus.NewDesc("loginaudit_data_disk_size_bytes", "Size of the disk of the data directory.", nil, nil),
	}
}

type diskMetrics struct {
	dir        string
	free, size *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m diskMetrics) Describe(to chan<- *prometheus.Desc) {
	to <- m.free
	to <- m.size
}

// Collect implements prometheus.Collector.
func (m diskMetrics) Collect(to chan<- prometheus.Metric) {
	free, size, err := diskOf(m.dir)
	if err == nil && size == 0 {
		err = errors.New("the disk tells no size")
	}
	if err != nil {
		to <- prometheus.NewInvalidMetric(m.free, err)
		return
	}
	tell(to, m.free, float64(free))
	tell(to, m.size, float64(size))
}

package ingest

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// streamMetrics are what the worker sees of the stream, of its consumer and of
// its own watermark, each time that it measures.
type streamMetrics struct {
	messages    prometheus.Gauge
	bytes       prometheus.Gauge
	maxBytes    prometheus.Gauge
	maxAge      prometheus.Gauge
	lastMessage prometheus.Gauge
	ackPending  prometheus.Gauge
	told        prometheus.Gauge
}

func newStreamMetrics() streamMetrics {
	return streamMetrics{
		messages: gauge("stream_messages", "Messages that the stream holds."),
		bytes:    gauge("stream_bytes", "Bytes that the stream takes."),
		maxBytes: gauge("stream_max_bytes", "Size at which the stream refuses new messages; 0: it has no limit of its own."),
		maxAge:   gauge("stream_max_age_seconds", "How long the stream keeps a message; 0: for ever."),
		lastMessage: gauge("stream_last_message_timestamp_seconds",
			"When the stream received its last message, in Unix time by its own clock; 0: it never did."),
		ackPending: gauge("ack_pending_messages", "Messages that were delivered, to whichever worker, and are not acknowledged yet."),
		told: gauge("watermark_last_success_timestamp_seconds",
			"When the watermark was last measured and told, in Unix time; 0: not since the start."),
	}
}

func (m *streamMetrics) register(r prometheus.Registerer) error {
	return errors.Join(
		share(r, &m.messages), share(r, &m.bytes), share(r, &m.maxBytes), share(r, &m.maxAge),
		share(r, &m.lastMessage), share(r, &m.ackPending), share(r, &m.told),
	)
}

// seen tells the stream and its consumer as the server described them.
func (m *streamMetrics) seen(stream *jetstream.StreamInfo, consumer *jetstream.ConsumerInfo) {
	m.messages.Set(float64(stream.State.Msgs))
	m.bytes.Set(float64(stream.State.Bytes))
	m.maxBytes.Set(float64(max(stream.Config.MaxBytes, 0))) // -1: none
	m.maxAge.Set(stream.Config.MaxAge.Seconds())
	m.lastMessage.Set(unixSeconds(stream.State.LastTime))
	m.ackPending.Set(float64(consumer.NumAckPending))
}

// markTold tells that the watermark was measured and told.
func (m *streamMetrics) markTold(now time.Time) { m.told.Set(unixSeconds(now)) }

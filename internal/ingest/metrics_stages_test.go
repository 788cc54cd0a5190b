package ingest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
)

// tells is what a series tells: a gauge its value, a histogram how many and their
// sum.
type tells struct {
	value float64
	count uint64
	sum   float64
}

// gathered is what the metrics tell, by name and by the value of the label.
func gathered(t testing.TB, r *prometheus.Registry) map[string]tells {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]tells{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			all[name] = tells{m.GetGauge().GetValue(), m.GetHistogram().GetSampleCount(), m.GetHistogram().GetSampleSum()}
		}
	}
	return all
}

func TestMetricsTellABatchByItsStagesAndItsOldestMessage(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	m.batchStage(stageInsert, 250*time.Millisecond)
	m.batchStage(stageInsert, 750*time.Millisecond)
	m.committed(received, received.Add(2*time.Second))
	m.committed(received, received.Add(-time.Second)) // the worker's clock is behind
	got := gathered(t, registry)
	if h := got["loginaudit_ingest_batch_stage_seconds insert"]; h.count != 2 || h.sum != 1 {
		t.Errorf("insert: %v", h)
	}
	if h, known := got["loginaudit_ingest_batch_stage_seconds wait"]; !known || h.count != 0 {
		t.Errorf("wait: %v", h)
	}
	if h := got["loginaudit_ingest_receive_to_commit_seconds"]; h.count != 2 || h.sum != 2 {
		t.Errorf("receipt to commit: %v", h)
	}
	if at := got["loginaudit_ingest_last_commit_timestamp_seconds"].value; at != float64(received.Unix()-1) {
		t.Errorf("last commit at %v", at)
	}
}

func TestMetricsTellTheStreamAsTheServerDescribesIt(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	info := jetstream.StreamInfo{
		Config: jetstream.StreamConfig{MaxBytes: -1, MaxAge: time.Hour},
		State:  jetstream.StreamState{Msgs: 3, Bytes: 300},
	}
	want := func(name string, value float64) {
		t.Helper()
		if got := gathered(t, registry)["loginaudit_ingest_"+name].value; got != value {
			t.Errorf("%s is %v, want %v", name, got, value)
		}
	}
	m.stream.seen(&info, &jetstream.ConsumerInfo{NumAckPending: 2})
	want("stream_max_bytes", 0) // none
	want("stream_last_message_timestamp_seconds", 0)
	last := time.Date(2026, 11, 23, 9, 0, 0, 500_000_000, time.UTC)
	info.Config.MaxBytes, info.State.LastTime = 1000, last
	m.stream.seen(&info, &jetstream.ConsumerInfo{NumAckPending: 2})
	want("stream_messages", 3)
	want("stream_bytes", 300)
	want("stream_max_bytes", 1000)
	want("stream_max_age_seconds", 3600)
	want("stream_last_message_timestamp_seconds", float64(last.Unix())+0.5)
	want("ack_pending_messages", 2)
}

func TestMetricsTellWhenTheWatermarkWasTold(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	name := "loginaudit_ingest_watermark_last_success_timestamp_seconds"
	if at := gathered(t, registry)[name].value; at != 0 {
		t.Errorf("before the first: %v", at)
	}
	m.stream.markTold(time.Unix(1_800_000_000, 0))
	if at := gathered(t, registry)[name].value; at != 1_800_000_000 {
		t.Errorf("after it: %v", at)
	}
}

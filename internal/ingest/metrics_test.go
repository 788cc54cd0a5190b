package ingest_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// An alert on an increase does not see the first value of a series.
func TestEverySeriesIsThereWithZeroBeforeTheFirstEvent(t *testing.T) {
	t.Parallel()
	s, registry := newServer(t, stream.Settings{}), prometheus.NewRegistry()
	_, err := ingest.New(ingest.Config{
		JetStream: s.js, Open: s.open(s.js), Sink: newSink(), Classify: classify,
		Park:   parkWith(func(context.Context, jetstream.Msg, error) error { return nil }),
		Logger: zap.NewNop(), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				there[family.GetName()+" "+label.GetValue()] = true
			}
			if n := m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()); n != 0 {
				t.Errorf("%s is %v before the first event", family.GetName(), n)
			}
		}
	}
	want := map[string][]string{
		"events_total":        {"stored", "parked"},
		"insert_errors_total": {"unknown", "retry", "split", "stop", "too_large"},
		"insert_seconds":      {"stored", "failed"},
		"batch_stage_seconds": {"fill", "wait", "insert", "acknowledge", "park"},
		"gaps_found_total":    {"expired", "deleted", "replaced", "rewound"},
		"parked_total":        {string(ingest.ReasonRowRefused), "other"},
	}
	for _, reason := range event.Reasons() {
		want["parked_total"] = append(want["parked_total"], string(reason))
	}
	for name, values := range want {
		for _, value := range values {
			if !there["loginaudit_ingest_"+name+" "+value] {
				t.Errorf("%s has no series for %s", name, value)
			}
		}
	}
}

package store

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
)

// TestBlocksStayBelowTheLimitOfPartitions: ClickHouse refuses a block of more
// than 100 months for ever, so an import of old history must be cut.
func TestBlocksStayBelowTheLimitOfPartitions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		months := rapid.SliceOf(rapid.IntRange(0, 400)).Draw(rt, "months")
		events := make([]event.Stored, len(months))
		for i, m := range months {
			events[i] = event.Stored{StreamSeq: uint64(i)}
			events[i].OccurredAt = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, m, 0)
		}
		seen := make(map[uint64]bool)
		for _, block := range cutByMonth(events) {
			inBlock := make(map[string]bool)
			for _, e := range block {
				seen[e.StreamSeq] = true
				inBlock[e.OccurredAt.Format("2006-01")] = true
			}
			if len(inBlock) > maxMonths || len(block) == 0 {
				rt.Fatalf("block of %d events in %d months", len(block), len(inBlock))
			}
		}
		if len(seen) != len(events) {
			rt.Fatalf("%d events in the blocks, want %d", len(seen), len(events))
		}
	})
}

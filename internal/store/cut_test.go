package store

import (
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
)

// TestBlocksStayBelowTheLimitOfPartitions: ClickHouse refuses a block of more
// than 100 months for ever, so an import of old history must be cut.
func TestBlocksStayBelowTheLimitOfPartitions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		months := rapid.SliceOf(rapid.IntRange(0, 400)).Draw(rt, "months")
		b := NewBlock()
		for i, m := range months {
			e := event.Stored{StreamSeq: uint64(i)}
			e.OccurredAt = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, m, 0)
			b.Add(&e)
		}
		from := rapid.IntRange(0, len(months)).Draw(rt, "from")
		to := rapid.IntRange(from, len(months)).Draw(rt, "to")
		seen := make(map[uint64]bool)
		for _, part := range b.parts(from, to) {
			inPart := make(map[string]bool)
			for row, version := range *part.version {
				seen[^version] = true
				inPart[part.occurredAt.Data[row].Time(proto.PrecisionMicro).UTC().Format("2006-01")] = true
			}
			if len(inPart) > maxMonths || part.Rows() == 0 {
				rt.Fatalf("part of %d events in %d months", part.Rows(), len(inPart))
			}
		}
		for i := range months {
			if seen[uint64(i)] != (i >= from && i < to) {
				rt.Fatalf("event %d of [%d, %d): in the parts is %t", i, from, to, seen[uint64(i)])
			}
		}
	})
}

package store_test

import (
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

// BenchmarkTell is what a claim costs ClickHouse and the worker that waits for it:
// the question for what is known, the claim that is told into memory (up to five
// times a second), and the one that lasts too (once a second), which is synced.
func BenchmarkTell(b *testing.B) {
	db := openDatabase(b)
	told := store.Tidings{
		Claim: claimed(1, epoch), Worker: "w:1",
		Report: store.Report{Now: epoch, Started: epoch, Consumer: query.ConsumerStatus{AckFloor: 1}},
	}
	tell := func(b *testing.B, lasting bool) {
		b.Helper()
		told.Lasting = lasting
		told.Claim.Seq++
		told.Claim.Time = told.Claim.Time.Add(time.Second)
		if err := db.writer.Tell(b.Context(), told); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("what is known", func(b *testing.B) {
		tell(b, true)
		for b.Loop() {
			if _, err := db.writer.Known(b.Context(), eventsStream, "w:1"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("a claim in memory", func(b *testing.B) {
		for b.Loop() {
			tell(b, false)
		}
	})
	b.Run("a claim that lasts", func(b *testing.B) {
		for b.Loop() {
			tell(b, true)
		}
	})
}

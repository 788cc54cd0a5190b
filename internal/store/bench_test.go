package store_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// The set of BenchmarkQuestions: an account of a year.
const (
	benchEvents = 1_000_000
	benchUsers  = 5_000
	benchBatch  = 20_000
)

// benchEvent is the i-th of events that are spread over a year, the users and
// their sessions.
func benchEvent(account string, i int) event.Stored {
	statuses := []event.Status{25, 21, 2, 5, 1, 6}
	return storedAs(event.Event{
		ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", i), Account: account,
		Username:   fmt.Sprintf("user%d@example.com", (i/3*7919)%benchUsers),
		OccurredAt: epoch.Add(-365 * 24 * time.Hour).Add(time.Duration(i) * (365 * 24 * time.Hour / benchEvents)),
		Entry:      event.Entry(1 + i%8),
		Status:     statuses[i%len(statuses)], SessionID: fmt.Sprintf("session-%016x", i/3*2654435761),
		IP:        netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
		UserAgent: fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/%d.0", 100+i%40),
		Service:   "web", Reason: "none given",
	}, uint64(i)+1)
}

func fill(b testing.TB, db database, account string, n int) {
	b.Helper()
	for i := 0; i < n; i += benchBatch {
		batch := make([]event.Stored, 0, benchBatch)
		for j := i; j < min(i+benchBatch, n); j++ {
			batch = append(batch, benchEvent(account, j))
		}
		if err := db.writer.Insert(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInsert is the rate of durable inserts with every projection on.
func BenchmarkInsert(b *testing.B) {
	db := openDatabase(b)
	batch := make([]event.Stored, benchBatch)
	for i := range batch {
		batch[i] = benchEvent("bench", i)
	}
	for b.Loop() {
		if err := db.writer.Insert(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(benchBatch)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkQuestions asks what the page asks of an account with a million
// events of a year and 5,000 users.
func BenchmarkQuestions(b *testing.B) {
	db := openDatabase(b)
	fill(b, db, "bench", benchEvents)
	user := "user4711@example.com"
	ctx := b.Context()
	for _, q := range []struct {
		name string
		ask  func() error
	}{
		{"users by name", func() error {
			_, err := db.reader.Users(ctx, "bench", query.UserFilter{AsOf: epoch, Limit: 100})
			return err
		}},
		{"users by last log-in", func() error {
			_, err := db.reader.Users(ctx, "bench", query.UserFilter{AsOf: epoch, Limit: 100, Sort: query.SortLastLogin, Descending: true})
			return err
		}},
		{"users as of half a year ago", func() error {
			_, err := db.reader.Users(ctx, "bench", query.UserFilter{AsOf: epoch.AddDate(0, -6, 0), Limit: 100})
			return err
		}},
		{"one user", func() error {
			_, err := db.reader.User(ctx, "bench", user, epoch)
			return err
		}},
		{"attempts of a user", func() error {
			_, err := db.reader.Attempts(ctx, "bench", query.AttemptFilter{AsOf: epoch, Username: user, Limit: 100})
			return err
		}},
		{"events of a user", func() error {
			_, err := db.reader.Events(ctx, "bench", query.EventFilter{Username: &user, Limit: 100})
			return err
		}},
		{"events of the account", func() error {
			_, err := db.reader.Events(ctx, "bench", query.EventFilter{Limit: 100})
			return err
		}},
		{"details", func() error {
			_, err := db.reader.Event(ctx, "bench", query.EventQuestion{ID: benchEvent("bench", 500_000).ID, Now: epoch})
			return err
		}},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if err := q.ask(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

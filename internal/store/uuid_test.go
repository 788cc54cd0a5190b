package store_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// TestEveryIDComesBackAsItWasWritten: however it is stored, alone, in the raw
// message, in the list of users, and found by itself.
func TestEveryIDComesBackAsItWasWritten(t *testing.T) {
	db := openDatabase(t)
	accounts := &accountNames{}
	digits := rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	rapid.Check(t, func(rt *rapid.T) {
		account := accounts.name("ids")
		id := rapid.OneOf(
			digits,
			rapid.StringMatching(`[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}`),
			rapid.StringMatching(`[!-~]{1,128}`),
			rapid.SampledFrom([]string{
				"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff",
				"0-0000000-0000-0000-0000-000000000000", "000000000000-0000-0000-0000-00000000", "g0000000-0000-0000-0000-000000000000",
			}),
		).Draw(rt, "id")
		e := storedAs(event.Event{
			ID: id, Account: account, Username: "ann", Entry: 1, Status: 1,
			OccurredAt: rapid.SampledFrom([]time.Time{epoch, time.Date(1990, 1, 1, 0, 0, 0, 1000, time.UTC), epoch.Add(1999 * time.Microsecond)}).Draw(rt, "time"),
		}, 1)
		if err := db.writer.Insert(t.Context(), []event.Stored{e}); err != nil {
			rt.Fatal(err)
		}
		details, err := db.reader.Event(t.Context(), account, query.EventQuestion{ID: id, Now: epoch})
		if err != nil || details.Event.ID != id || details.Event.Raw != string(e.Raw) || len(details.AttemptEvents) != 1 || details.AttemptEvents[0].ID != id {
			rt.Fatalf("details: %+v, %v", details, err)
		}
		user, err := db.reader.User(t.Context(), account, "ann", epoch.Add(time.Hour))
		if err != nil || user.LastLoginSuccess.EventID != id {
			rt.Fatalf("user: %+v, %v", user, err)
		}
	})
}

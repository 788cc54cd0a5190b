package store_test

import (
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

func TestTheStandNamesWhatIsStoredAndNotWhenItWasTold(t *testing.T) {
	db := openDatabase(t)
	seen := map[string]string{}
	say := func(worker string, change func(*store.Tidings)) string {
		t.Helper()
		told := store.Tidings{Claim: claimed(5, epoch.Add(time.Hour)), Worker: worker}
		told.Report.LastCommit = epoch.Add(2*time.Hour + 1500*time.Microsecond)
		change(&told)
		if err := db.writer.Tell(t.Context(), told); err != nil {
			t.Fatal(err)
		}
		return db.mark(t).Stand
	}
	changed := func(what, stand string) {
		t.Helper()
		if before, again := seen[stand]; again || stand == "" {
			t.Errorf("%s: the stand is that after %s: %q", what, before, stand)
		}
		seen[stand] = what
	}
	same := func(what, stand string) {
		t.Helper()
		if seen[stand] == "" {
			t.Errorf("%s: the stand is another: %q", what, stand)
		}
	}
	if stand := db.mark(t).Stand; stand != "" {
		t.Errorf("before any word: the stand is %q", stand)
	}
	changed("the first word", say("w", func(*store.Tidings) {}))
	same("the same word", say("w", func(*store.Tidings) {}))
	same("a later time of an idle stream", say("w", func(told *store.Tidings) {
		told.Claim.Time, told.Claim.KnownAt = epoch.Add(3*time.Hour), epoch.Add(3*time.Hour)
	}))
	same("the word of a moment that lasts", say("w", func(told *store.Tidings) { told.Lasting = true }))
	changed("a batch beyond the floor", say("w", func(told *store.Tidings) { told.Report.LastCommit = epoch.Add(3 * time.Hour) }))
	same("a word that comes late", say("w", func(*store.Tidings) {}))
	changed("a batch of another worker", say("v", func(told *store.Tidings) { told.Report.LastCommit = epoch.Add(4 * time.Hour) }))
	changed("the next sequence", say("w", func(told *store.Tidings) { told.Claim.Seq++ }))
	changed("a gap", say("w", func(told *store.Tidings) {
		told.Gaps = []store.Gap{{Stream: eventsStream, Created: epoch, Generation: 1, From: 2, To: 2, Messages: 1, Reason: query.GapDeleted}}
	}))
	changed("another history of the stream", say("w", func(told *store.Tidings) { told.Claim.Generation++ }))
}

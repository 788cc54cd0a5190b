package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

func TestAnAccountSeesNothingOfAnother(t *testing.T) {
	db := openDatabase(t)
	for _, account := range []string{"mine", "theirs"} {
		if err := db.writer.Insert(t.Context(), someEvents(account, 2, time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.reader.Event(t.Context(), "nobody", query.EventQuestion{ID: "e0", Now: epoch}); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("an event of another account: %v, want not found", err)
	}
	for _, table := range store.Tables() {
		if table == "accounts" {
			continue
		}
		for account, want := range map[string][]string{"mine": {"mine"}, "theirs": {"theirs"}, "": nil, "*": nil} {
			if got := db.reader.AccountsSeen(t, account, table); !slices.Equal(got, want) {
				t.Errorf("%s without a condition, confined to %q: sees %v, want %v", table, account, got, want)
			}
		}
	}
}

func TestAccountsListsEveryAccountOnce(t *testing.T) {
	db := openDatabase(t)
	for range 2 {
		for _, account := range []string{"b", "a"} {
			if err := db.writer.Insert(t.Context(), someEvents(account, 2, time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	accounts, err := db.reader.Accounts(t.Context())
	if err != nil || !slices.Equal(accounts, []string{"a", "b"}) {
		t.Errorf("accounts %v, error %v", accounts, err)
	}
}

func TestAnEmptyAccountHasEmptyLists(t *testing.T) {
	db := openDatabase(t)
	users, err := db.reader.Users(t.Context(), "none", query.UserFilter{AsOf: epoch, Limit: 10})
	if err != nil || users.Users == nil || len(users.Users) != 0 {
		t.Errorf("users %v, error %v; want an empty list", users.Users, err)
	}
	events, err := db.reader.Events(t.Context(), "none", query.EventFilter{Limit: 10})
	if err != nil || events.Events == nil || len(events.Events) != 0 {
		t.Errorf("events %v, error %v; want an empty list", events.Events, err)
	}
	name := "nobody"
	if _, err := db.reader.UserEvents(t.Context(), "none", query.EventFilter{Username: &name, Limit: 10}); !errors.Is(err, query.ErrNotFound) {
		t.Errorf("events of an unknown user: %v, want not found", err)
	}
}

func TestTheWatermarkKeepsTheBestClaimOfTheNewestStream(t *testing.T) {
	db := openDatabase(t)
	mark, err := db.reader.Watermark(t.Context())
	if err != nil || mark.StreamSeq != 0 || mark.Time != nil {
		t.Errorf("before any claim: %+v, error %v", mark, err)
	}
	if err := db.writer.SetWatermark(t.Context(), "LOGIN_EVENTS", epoch, 1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if mark, err = db.reader.Watermark(t.Context()); err != nil || mark.StreamSeq != 1 || mark.Time != nil {
		t.Errorf("with a claim of no moment: %+v, error %v", mark, err)
	}
	old, anew := epoch, epoch.Add(time.Hour)
	for _, claim := range []struct {
		created time.Time
		seq     uint64
		at      time.Time
	}{{old, 500, epoch.Add(2 * time.Hour)}, {anew, 7, epoch.Add(3 * time.Hour)}, {anew, 3, epoch.Add(time.Minute)}} {
		if err := db.writer.SetWatermark(t.Context(), "LOGIN_EVENTS", claim.created, claim.seq, claim.at); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.writer.SetWatermark(t.Context(), "OTHER", anew, 900, epoch.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	mark, err = db.reader.Watermark(t.Context())
	if err != nil || mark.StreamSeq != 7 || !mark.Time.Equal(epoch.Add(3*time.Hour)) || mark.LagMS <= 0 {
		t.Errorf("watermark %+v, error %v; want sequence 7 of the newer stream", mark, err)
	}
}

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

package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
)

// sameJSON compares two answers as the reader sees them.
func sameJSON(rt *rapid.T, what string, got, want any) {
	g, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		rt.Fatalf("%s: %v", what, err)
	}
	w, err := json.MarshalIndent(want, "", " ")
	if err != nil {
		rt.Fatalf("%s: %v", what, err)
	}
	if string(g) != string(w) {
		rt.Fatalf("%s differ\ngot  %s\nwant %s", what, g, w)
	}
}

func drawPrefix(rt *rapid.T) netip.Prefix {
	text := rapid.SampledFrom([]string{
		"", "", "", "", "10.0.0.1/32", "10.0.0.0/24", "10.0.0.0/25", "0.0.0.0/0", "::/0", "::/128", "2001:db8::/32", "2001:db8::1/128",
	}).Draw(rt, "ip range")
	if text == "" {
		return netip.Prefix{}
	}
	return netip.MustParsePrefix(text)
}

// wantNotFound checks that a user without an event up to the moment of the
// answer is unknown.
func wantNotFound(rt *rapid.T, db *store.DB, account string, f query.AttemptFilter) {
	if _, err := db.Attempts(context.Background(), account, f); !errors.Is(err, query.ErrNotFound) {
		rt.Fatalf("attempts of a user without events: %v, want not found", err)
	}
	if _, err := db.User(context.Background(), account, f.Username, f.AsOf); !errors.Is(err, query.ErrNotFound) {
		rt.Fatalf("user without events: %v, want not found", err)
	}
}

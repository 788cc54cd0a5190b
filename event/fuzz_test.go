package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"
)

// addMessages seeds a fuzz target with every message of testdata but the very
// large ones.
func addMessages(f *testing.F, add func(body []byte)) {
	f.Helper()
	files, err := filepath.Glob("testdata/*valid/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("find messages: %d, %v", len(files), err)
	}
	for _, file := range files {
		if body := read(f, file); len(body) < 4096 {
			add(body)
		}
	}
}

func FuzzDecode(f *testing.F) {
	addMessages(f, func(body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body []byte) {
		e, hash, err := Decode(body)
		checkDecoder(t, body, e, hash, err)
		if err != nil {
			asReason(t, err)
			return
		}
		if !json.Valid(body) {
			t.Fatalf("the standard library says that this is not JSON: %q", body)
		}
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("the standard library refuses what Decode accepts: %v", err)
		}
		if again, err := ContentHash(body); err != nil || again != hash {
			t.Fatalf("ContentHash = %s, %v; Decode says %s", again, err, hash)
		}
		checkRoundTrip(t, e)
	})
}

func FuzzCanonical(f *testing.F) {
	addMessages(f, func(body []byte) { f.Add(body) })
	f.Fuzz(func(t *testing.T, body []byte) {
		canonical, err := Canonical(body)
		if err != nil {
			asReason(t, err)
			return
		}
		if !json.Valid(body) {
			t.Fatalf("the standard library says that this is not JSON: %q", body)
		}
		if again, err := Canonical(canonical); len(canonical) <= MaxBody && (err != nil || !bytes.Equal(again, canonical)) {
			t.Fatalf("%q\n%q\n%q, %v", body, canonical, again, err)
		}
		if hash, err := ContentHash(body); err != nil || hash != sum(canonical) {
			t.Fatalf("%s, %v", hash, err)
		}
		var want, got any
		if json.Unmarshal(body, &want) == nil && json.Unmarshal(canonical, &got) == nil {
			// To DeepEqual, as to RFC 8785, zero has no sign.
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("the canonical form has another content:\n%q\n%q", body, canonical)
			}
		}
	})
}

func FuzzIdentity(f *testing.F) {
	addMessages(f, func(body []byte) { f.Add(body, uint64(1)) })
	f.Fuzz(func(t *testing.T, body []byte, seed uint64) {
		hash, err := ContentHash(body)
		if err != nil {
			return
		}
		other := disguise(t, rand.New(rand.NewPCG(seed, 0)), body)
		again, err := ContentHash(other)
		if err != nil && asReason(t, err).Reason == ReasonTooLarge {
			return
		}
		if err != nil || again != hash {
			t.Fatalf("%q\n%q\n%s, %v; want %s", body, other, again, err, hash)
		}
	})
}

// FuzzTime compares the reader of times with the standard library's, which is
// laxer.
func FuzzTime(f *testing.F) {
	for _, seed := range []string{
		"2026-11-01T08:30:00Z", "1990-01-01t00:00:00.123456789+05:45", "2024-02-29T23:59:60-23:59", "9999-12-31T23:59:59z",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) { checkTimeAgainstStandardLibrary(t, in) })
}

// checkDecoder checks that a decoder that has read other messages says what
// Decode says.
func checkDecoder(t *testing.T, body []byte, e Event, hash Hash, err error) {
	t.Helper()
	var d Decoder
	for _, before := range []string{benchUnsorted, `{"a":[{}`, benchMessage} {
		_, _, _ = d.Decode([]byte(before)) // only what it leaves behind matters
		got, gotHash, gotErr := d.Decode(body)
		if !reflect.DeepEqual(got, e) || gotHash != hash || fmt.Sprint(gotErr) != fmt.Sprint(err) {
			t.Fatalf("Decoder says %+v, %s, %v; Decode says %+v, %s, %v", got, gotHash, gotErr, e, hash, err)
		}
	}
}

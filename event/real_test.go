package event

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// realMessages are the lines of the events of real systems.
func realMessages(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/real/*.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, file := range files {
		all = append(all, bytes.Split(bytes.TrimSpace(read(t, file)), []byte("\n"))...)
	}
	if len(all) != 1503+101 {
		t.Fatalf("%d real events", len(all))
	}
	return all
}

func TestRealEventsKeepTheirIdentityHoweverTheyAreWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, body := range realMessages(t) {
		e, hash, err := Decode(body)
		if err != nil {
			t.Fatalf("%s\n%v", body, err)
		}
		checkAgreement(t, body, hash)
		other := disguise(t, rng, body)
		if again, otherHash, err := Decode(other); err != nil || otherHash != hash {
			t.Fatalf("%s\n%s\n%s, %v; want %s", body, other, otherHash, err, hash)
		} else if !sameEvent(t, e, again) {
			t.Fatalf("%s\n%+v\n%+v", other, again, e)
		}
		checkRoundTrip(t, e)
	}
}

// What the two files promise of themselves: pairs that share an id but not
// their content, and no other identity twice.
func TestRealEventsOfOneIDWithOtherContentAreOtherEvents(t *testing.T) {
	type name struct{ account, id string }
	hashes, ids := map[Hash]bool{}, map[name]int{}
	for _, body := range realMessages(t) {
		e, hash, err := Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		if hashes[hash] {
			t.Errorf("identity %s twice", hash)
		}
		hashes[hash] = true
		ids[name{e.Account, e.ID}]++
	}
	conflicts := 0
	for name, n := range ids {
		if n > 1 {
			conflicts++
			if name.account != "gwsconflict" {
				t.Errorf("%v has %d versions", name, n)
			}
		}
	}
	if conflicts == 0 {
		t.Error("no id in conflict")
	}
}

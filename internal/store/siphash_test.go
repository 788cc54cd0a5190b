package store

import (
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// HashTexts compares sipHash with ClickHouse's own for texts of every length up to 40.
func (db *DB) HashTexts(t testing.TB) {
	t.Helper()
	s := statement{name: "hashes", sql: `SELECT id, sipHash64(id) FROM (
		SELECT arrayJoin(arrayMap(n -> substring(concat({text:String}, toString(n)), 1, n), range(41))) AS id)`,
		params: params{"text": strings.Repeat("aZ\x00é\xff", 8)}}
	seen := 0
	err := db.selectRows(t.Context(), "a", s, func(rows driver.Rows) error {
		var id string
		var want uint64
		if err := rows.Scan(&id, &want); err != nil {
			return err
		}
		if got := sipHash(id); got != want {
			t.Errorf("%q has the hash %x, ClickHouse says %x", id, got, want)
		}
		seen++
		return nil
	})
	if err != nil || seen != 41 {
		t.Errorf("%d hashes, %v", seen, err)
	}
}

// The vector of the paper's authors for the empty text and the key 0.
func TestSipHashOfNothing(t *testing.T) {
	if got := sipHash(""); got != 0x1e924b9d737700d7 {
		t.Errorf("%x", got)
	}
}

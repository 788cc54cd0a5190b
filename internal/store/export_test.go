package store

import (
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// AccountsSeen lists the accounts in a table that a statement sees which names
// no account in its condition, only in the setting that confines it.
func (db *DB) AccountsSeen(t testing.TB, confinedTo, table string) []string {
	t.Helper()
	var seen []string
	s := statement{name: "accounts seen", sql: "SELECT DISTINCT account FROM " + quoteName(table) + " ORDER BY account"}
	err := db.selectRows(t.Context(), confinedTo, s, func(rows driver.Rows) error {
		var account string
		if err := rows.Scan(&account); err != nil {
			return err
		}
		seen = append(seen, account)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

// FailOn asks a statement that ClickHouse refuses because of a value, and
// returns the text of the error.
func (db *DB) FailOn(t testing.TB, value string) string {
	t.Helper()
	s := statement{name: "failure", sql: "SELECT toUInt8({value:String})", params: params{"value": value}}
	err := db.selectRows(t.Context(), "a", s, func(driver.Rows) error { return nil })
	if err == nil {
		t.Fatal("the statement did not fail")
	}
	return err.Error()
}

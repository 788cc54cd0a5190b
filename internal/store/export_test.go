package store

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
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

// ObjectsJSON are the tables and views as schema.json has them, without goose's
// own.
func (db *DB) ObjectsJSON(t testing.TB) string {
	t.Helper()
	objects, err := db.objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	objects = slices.DeleteFunc(objects, func(o object) bool { return o.Name == "goose_db_version" })
	text, err := json.MarshalIndent(objects, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

// PlainEngine is what of an engine is compared.
func PlainEngine(full string) string { return plainEngine(full) }

// SessionsWithin is Sessions with other bounds of the walk: how many openings
// are read at first, and about how many in all.
func (db *DB) SessionsWithin(ctx context.Context, account string, f query.SessionFilter, first, most int) (query.SessionPage, error) {
	return db.sessionsWithin(ctx, account, f, walkBounds{first: first, most: most})
}

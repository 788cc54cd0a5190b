package store_test

import (
	"flag"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/testserver"
)

// usualExamples is how often a property is tried.
const usualExamples = "40"

func TestMain(m *testing.M) {
	// A property here costs real inserts and merges; 40 examples a run find what
	// 100 find, over a few runs. -rapid.checks still says otherwise.
	if err := flag.Set("rapid.checks", usualExamples); err != nil {
		panic(err)
	}
	testserver.Main(m)
}

// database is a fresh, migrated database with a connection for each role.
type database struct {
	owner, writer, reader *store.DB

	server testserver.Database
	raw    driver.Conn // as the owner
}

func openDatabase(t testing.TB) database {
	t.Helper()
	d := database{server: testserver.ClickHouse(t)}
	if _, err := store.Migrate(t.Context(), d.config("owner")); err != nil {
		t.Fatal(err)
	}
	d.owner, d.writer, d.reader = d.open(t, "owner"), d.open(t, "writer"), d.open(t, "reader")
	raw, err := clickhouse.Open(d.server.Options(d.server.Owner))
	if err != nil {
		t.Fatal(err)
	}
	d.raw = raw
	t.Cleanup(func() { _ = raw.Close() })
	return d
}

func (d database) config(role string) store.Config {
	as := map[string]testserver.Credentials{
		"owner": d.server.Owner, "writer": d.server.Writer, "reader": d.server.Reader,
	}[role]
	return store.Config{Addr: d.server.Addr, Database: d.server.Database, Username: as.User, Password: as.Password}
}

func (d database) open(t testing.TB, role string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), d.config(role))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// exec runs a statement as the owner.
func (d database) exec(t testing.TB, sql string) {
	t.Helper()
	if err := d.raw.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// texts runs a query of one text column as the owner.
func (d database) texts(t testing.TB, sql string) []string {
	t.Helper()
	rows, err := d.raw.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var texts []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return texts
}

func (d database) tables(t testing.TB) []string {
	t.Helper()
	return d.texts(t, "SELECT name FROM system.tables WHERE database = currentDatabase() ORDER BY name")
}

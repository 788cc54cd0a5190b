package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// schemaLike makes a table for each of engine.Tables, two views between them
// and one table that is listed nowhere, and inserts rows of two accounts.
func schemaLike(t *testing.T, ch *engine.ClickHouse) {
	t.Helper()
	owner := connect(t, ch, engine.RoleOwner)
	for _, table := range engine.Tables() {
		exec(t, owner, fmt.Sprintf(`CREATE TABLE %s (account String, username String, n UInt64 DEFAULT 1, INDEX words username TYPE text(tokenizer = 'splitByNonAlpha'))
			ENGINE = ReplacingMergeTree ORDER BY (account, username)`, table.Name))
	}
	exec(t, owner,
		"CREATE TABLE unlisted (account String, username String) ENGINE = MergeTree ORDER BY account",
		"CREATE MATERIALIZED VIEW by_user_view TO events_by_user AS SELECT account, username FROM events",
		"CREATE MATERIALIZED VIEW accounts_view TO accounts DEFINER = CURRENT_USER SQL SECURITY DEFINER AS SELECT account FROM events",
		"INSERT INTO unlisted VALUES ('acme', 'hidden')")
	for _, table := range []string{"event_ids", "user_latest", "attempts"} {
		exec(t, owner, "INSERT INTO "+table+" (account, username) VALUES ('acme', 'ann'), ('bond', 'bob')")
	}
	exec(t, connect(t, ch, engine.RoleWriter),
		"INSERT INTO events (account, username) VALUES ('acme', 'ann'), ('bond', 'bob')",
		"INSERT INTO watermarks (n) VALUES (42)")
}

func TestInsertsOfTheWriterFeedViewsThatOnlyTheOwnerMayWriteTo(t *testing.T) {
	cfg := engine.ClickHouseConfig{Dir: t.TempDir()}
	ch := startClickHouse(t, cfg)
	schemaLike(t, ch)
	writer := connect(t, ch, engine.RoleWriter)
	if got := code(writer.Exec(t.Context(), "INSERT INTO events_by_user (account) VALUES ('x')")); got != 497 {
		t.Errorf("the writer inserts into the table of a view: error code %d", got)
	}
	stop(t, ch)

	again := startClickHouse(t, cfg)
	exec(t, connect(t, again, engine.RoleWriter), "INSERT INTO events (account, username) VALUES ('acme', 'late')")
	owner := connect(t, again, engine.RoleOwner)
	if got := mustTexts(t.Context(), t, owner, "SELECT username FROM events_by_user ORDER BY username"); got != "('ann') ('bob') ('late')" {
		t.Errorf("events_by_user holds %s", got)
	}
	if got := mustTexts(t.Context(), t, owner, "SELECT DISTINCT account FROM accounts ORDER BY account"); got != "('acme') ('bond')" {
		t.Errorf("accounts holds %s", got)
	}
}

func TestTheWriterReadsOnlyHowFarItIs(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	schemaLike(t, ch)
	writer := connect(t, ch, engine.RoleWriter)
	if got := mustTexts(t.Context(), t, writer, "SELECT n FROM watermarks"); got != "(42)" {
		t.Errorf("watermarks hold %s", got)
	}
	mustTexts(t.Context(), t, writer, "SELECT n FROM goose_db_version")
	for _, sql := range []string{
		"SELECT account FROM events", "SELECT account FROM accounts", "SELECT account FROM unlisted",
		"SELECT name FROM system.parts", "SELECT query FROM system.processes",
		"SELECT * FROM file('/etc/hostname', LineAsString)",
	} {
		if _, err := texts(t.Context(), writer, sql); code(err) != 497 {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"INSERT INTO unlisted VALUES ('a', 'b')", "INSERT INTO goose_db_version (n) VALUES (1)",
		"ALTER TABLE events DELETE WHERE 1", "TRUNCATE TABLE events", "DROP TABLE events", "DELETE FROM events WHERE 1",
		"OPTIMIZE TABLE events", "CREATE TABLE x (n UInt8) ENGINE = Memory", "SYSTEM STOP MERGES loginaudit.events", "SYSTEM STOP LISTEN TCP",
		"INSERT INTO watermarks (n) SELECT n FROM events",
	} {
		if err := writer.Exec(t.Context(), sql); code(err) != 497 && code(err) != 392 {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestTheOwnerOwnsItsDatabasesAndNothingElse(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir(), Databases: []string{"loginaudit", "second"}})
	owner := connect(t, ch, engine.RoleOwner)
	exec(t, owner,
		"CREATE TABLE second.t (n UInt8) ENGINE = MergeTree ORDER BY n", "INSERT INTO second.t VALUES (1)",
		"ALTER TABLE second.t ADD COLUMN m UInt8", "OPTIMIZE TABLE second.t FINAL", "ALTER TABLE second.t DROP PARTITION tuple()",
		"DROP TABLE second.t", "DROP DATABASE second", "CREATE DATABASE second")
	for _, sql := range []string{
		"CREATE DATABASE third", "CREATE USER x", "SYSTEM STOP LISTEN TCP", "SYSTEM SHUTDOWN", "GRANT SELECT ON *.* TO reader",
		"CREATE TABLE x (s String) ENGINE = File(TSV)", "CREATE TABLE x (s String) ENGINE = URL('http://127.0.0.1:1/', TSV)",
		"INSERT INTO FUNCTION file('x.tsv', TSV, 's String') VALUES ('x')", "CREATE FUNCTION f AS (x) -> x",
	} {
		if err := owner.Exec(t.Context(), sql); code(err) != 497 {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := texts(t.Context(), owner, "SELECT * FROM file('/etc/hostname', LineAsString)"); code(err) != 497 {
		t.Errorf("the owner reads files: %v", err)
	}
}

// The function file() of the library reads any path without a right; the child
// is therefore confined to its folder.
func TestNoUserReadsFilesOutsideTheServersFolder(t *testing.T) {
	dir := t.TempDir()
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: dir})
	if strings.Contains(logs(t, dir), engine.Confinement.Error()) {
		return // told in the log; this kernel cannot do it
	}
	t.Setenv("LOGINAUDIT_SECRET", "in the environment of the parent")
	for _, role := range []engine.Role{engine.RoleOwner, engine.RoleWriter, engine.RoleReader} {
		conn := connect(t, ch, role)
		for _, path := range []string{dir + "/passwords.json", "/etc/passwd", "/proc/1/cmdline", "/proc/1/environ"} {
			if got, err := texts(t.Context(), conn, "SELECT file('"+path+"')"); err == nil {
				t.Errorf("%s reads %s: %.40q", role, path, got)
			}
		}
		if got, err := texts(t.Context(), conn, "SELECT file('/proc/self/environ')"); err == nil && strings.Contains(got, "LOGINAUDIT") {
			t.Errorf("%s reads the environment: %q", role, got)
		}
	}
}

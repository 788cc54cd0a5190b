package store_test

import (
	"errors"
	"flag"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMigrationsGiveTheGoldenSchema holds what workers compare the database with,
// and what makes a lost view again, equal to the migrations.
func TestMigrationsGiveTheGoldenSchema(t *testing.T) {
	db := openDatabase(t)
	var statements strings.Builder
	for _, table := range db.tables(t) {
		if table == "goose_db_version" {
			continue // goose's own
		}
		ddl := db.texts(t, "SHOW CREATE TABLE "+table)[0]
		statements.WriteString(strings.ReplaceAll(ddl, db.server.Database+".", "") + ";\n\n")
	}
	for golden, have := range map[string]string{
		"testdata/schema.golden.sql": statements.String(),
		"schema.json":                db.owner.ObjectsJSON(t),
	} {
		if *update {
			if err := os.WriteFile(golden, []byte(have), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if have != string(want) {
			t.Errorf("the migrations give another schema than %s (run with -update and look at the difference)\n%s", golden, have)
		}
	}
}

func TestMigrateAgainChangesNothing(t *testing.T) {
	db := openDatabase(t)
	applied, err := store.Migrate(t.Context(), db.config("owner"))
	if err != nil || len(applied) != 0 {
		t.Errorf("Migrate again applied %v, error %v; want nothing and none", applied, err)
	}
}

func TestEveryMigrationMayRunTwice(t *testing.T) {
	db := openDatabase(t)
	db.exec(t, "TRUNCATE TABLE goose_db_version")
	applied, err := store.Migrate(t.Context(), db.config("owner"))
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := store.SchemaVersion(); int64(len(applied)) != want {
		t.Errorf("applied %d migrations, want all %d again", len(applied), want)
	}
}

func TestCheckSchemaAcceptsItsOwnVersionOnly(t *testing.T) {
	db := openDatabase(t)
	for role, conn := range map[string]*store.DB{"writer": db.writer, "reader": db.reader} {
		if err := conn.CheckSchema(t.Context()); err != nil {
			t.Errorf("as %s: %v", role, err)
		}
	}
	db.exec(t, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
	if err := db.reader.CheckSchema(t.Context()); !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "loginaudit migrate") {
		t.Errorf("with a later version: %v, want ErrSchema that names the command", err)
	}
	db.exec(t, "DROP TABLE goose_db_version")
	if err := db.writer.CheckSchema(t.Context()); !errors.Is(err, store.ErrSchema) {
		t.Errorf("without a version: %v, want ErrSchema", err)
	}
}

// TestViewsKnowTheCodes holds the lists of statuses in the views against the
// code tables.
func TestViewsKnowTheCodes(t *testing.T) {
	list := func(keep func(event.Status) bool) string {
		var codes []string
		for _, s := range event.Statuses() {
			if keep(s) {
				codes = append(codes, strconv.Itoa(int(s)))
			}
		}
		return strings.Join(codes, ", ")
	}
	login := func(outcome event.Outcome) func(event.Status) bool {
		return func(s event.Status) bool { return s.Attempt() == event.AttemptLogin && s.Outcome() == outcome }
	}
	for file, lists := range map[string]map[string]string{
		"00007_user_latest_view.sql": {
			`status IN \(([^)]*)\) AS is_login_success`: list(login(event.OutcomeSuccess)),
			`status IN \(([^)]*)\) AS is_login_failure`: list(login(event.OutcomeFailure)),
			`status IN \(([^)]*)\) AS is_login_pending`: list(login(event.OutcomePending)),
			`status IN \(([^)]*)\) AS is_logout`:        list(func(s event.Status) bool { return s.Attempt() == event.AttemptLogout }),
			`status IN \(([^)]*)\) AS is_other`:         list(func(s event.Status) bool { return s.Attempt() == event.AttemptNone }),
		},
	} {
		sql, err := schema.ClickHouse.ReadFile("clickhouse/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for pattern, want := range lists {
			found := regexp.MustCompile(pattern).FindSubmatch(sql)
			if found == nil || string(found[1]) != want {
				t.Errorf("%s: %s is %q, the code tables say %q", file, pattern, found, want)
			}
		}
	}
}

// TestEngineConfinesEveryTable: a table without a row filter would show every
// account to the reader.
func TestEngineConfinesEveryTable(t *testing.T) {
	db := openDatabase(t)
	var confined []string
	for _, table := range engine.Tables() {
		confined = append(confined, table.Name)
	}
	for _, table := range db.tables(t) {
		if !strings.HasSuffix(table, "_view") && !slices.Contains(confined, table) {
			t.Errorf("table %s is missing in engine.Tables", table)
		}
	}
	for _, table := range store.Tables() {
		if !slices.ContainsFunc(engine.Tables(), func(e engine.Table) bool { return e.Name == table && e.Filter != "" }) {
			t.Errorf("table %s holds events and has no row filter", table)
		}
	}
}

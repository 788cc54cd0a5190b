package engine_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/loginaudit/loginaudit/internal/engine"
)

// logs returns what the server and the child wrote.
func logs(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	for _, path := range engine.ServerLogs(dir) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(raw)
	}
	return all.String()
}

func TestTheReaderSeesTheAccountThatTheQueryNamesAndNoOther(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	schemaLike(t, ch)
	reader := connect(t, ch, engine.RoleReader)
	for _, table := range engine.Tables() {
		if table.Filter == "" {
			continue
		}
		every := ""
		if table.Name == "accounts" {
			every = "('acme') ('bond')" // the list of accounts, for who may see them all
		}
		both := ""
		if table.Name == "events" {
			both = "('acme') ('bond')" // the tail of several accounts
		}
		sql := "SELECT account FROM " + table.Name + " ORDER BY account"
		for account, want := range map[string]string{
			"acme": "('acme')", "bond": "('bond')", "nobody": "", "": "", "*": every, "%": "", "acme' OR '1'='1": "",
			"acme,bond": both, ",": "", "*,acme' OR '1'='1,%": "",
		} {
			if got := mustTexts(inAccount(t, account), t, reader, sql); got != want {
				t.Errorf("%s for account %q: %s, want %q", table.Name, account, got, want)
			}
		}
		if got := mustTexts(t.Context(), t, reader, sql); got != "" {
			t.Errorf("%s without an account: %s", table.Name, got)
		}
	}
	for _, table := range []string{"watermarks", "goose_db_version"} {
		mustTexts(t.Context(), t, reader, "SELECT n FROM "+table)
	}
}

// Whatever is asked, the rows of another account do not show, not in part.
func TestNothingThatTheReaderCanAskShowsAnotherAccount(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	schemaLike(t, ch)
	reader := connect(t, ch, engine.RoleReader)
	for _, sql := range []string{
		"SELECT * FROM events FINAL", "SELECT * FROM events PREWHERE account != 'acme'", "SELECT * FROM events WHERE username = 'bob'",
		"SELECT count() - 1, max(account), uniq(username) - 1 FROM events", "SELECT account FROM events GROUP BY account WITH TOTALS",
		"SELECT throwIf(account = 'bond', 'bond') FROM events", "SELECT * FROM events WHERE throwIf(username = 'bob', 'bond') = 0",
		"SELECT * FROM merge('loginaudit', '.*') WHERE account != ''", "SELECT * FROM view(SELECT * FROM events)",
		"SELECT * FROM events AS e, events_by_user AS u", "SELECT * FROM events WHERE account IN (SELECT account FROM accounts)",
		"WITH 'bond' AS account SELECT * FROM events", "SELECT 1 FROM events WHERE getSetting('log_comment') = 'bond'",
		"SELECT * FROM mergeTreeIndex(loginaudit, events)", "SELECT * FROM mergeTreeTextIndex(loginaudit, events, words)",
		"SELECT * FROM mergeTreeAnalyzeIndexes('loginaudit', 'events', account = 'bond')",
		"SELECT groupArray(account) FROM mergeTreeIndex(loginaudit, events_by_user)",
	} {
		got, err := texts(inAccount(t, "acme"), reader, sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		}
		if strings.Contains(got, "bond") || strings.Contains(got, "bob") || strings.Contains(got, "hidden") {
			t.Errorf("%s shows %s", sql, got)
		}
	}
	if len(engine.Peepholes()) == 0 {
		t.Error("the functions that read keys have no filter")
	}
}

func TestTheReaderIsRefusedEverythingElse(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	schemaLike(t, ch)
	reader := connect(t, ch, engine.RoleReader)
	const denied, readonly, outOfRange = 497, 164, 452
	for sql, want := range map[string]int32{
		"SELECT * FROM unlisted":                                             denied,
		"SELECT * FROM by_user_view":                                         denied,
		"SELECT * FROM system.processes":                                     denied,
		"SELECT * FROM system.parts":                                         denied,
		"SELECT * FROM system.users":                                         denied,
		"SELECT * FROM system.row_policies":                                  denied,
		"SELECT * FROM system.server_settings":                               denied,
		"SELECT * FROM information_schema.tables":                            denied,
		"SELECT * FROM file('/etc/hostname', LineAsString)":                  denied,
		"SELECT * FROM default.`/etc/hostname`":                              denied,
		"SELECT * FROM url('http://127.0.0.1:1/', LineAsString)":             denied,
		"SELECT * FROM s3('http://127.0.0.1:1/bucket/x', LineAsString)":      denied,
		"SELECT * FROM remote('127.0.0.1:1', 'loginaudit', 'events')":        denied,
		"SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')":             denied,
		"SELECT * FROM filesystem('/etc')":                                   denied,
		"SELECT * FROM executable('x', TSV, 's String')":                     denied,
		"SELECT * FROM loop('loginaudit', 'events') LIMIT 1":                 denied,
		"INSERT INTO events (account) VALUES ('acme')":                       denied,
		"ALTER TABLE events DELETE WHERE 1":                                  denied,
		"TRUNCATE TABLE events":                                              denied,
		"DROP TABLE events":                                                  denied,
		"CREATE TABLE x (n UInt8) ENGINE = Memory":                           denied,
		"CREATE TEMPORARY TABLE x (n UInt8)":                                 denied,
		"OPTIMIZE TABLE events":                                              denied,
		"KILL QUERY WHERE 1":                                                 denied,
		"SYSTEM STOP LISTEN TCP":                                             denied,
		"BACKUP TABLE events TO File('x')":                                   denied,
		"USE system":                                                         denied,
		"SET readonly = 0":                                                   readonly,
		"SET readonly = 2":                                                   readonly,
		"SET max_threads = 16":                                               readonly,
		"SET additional_table_filters = {'loginaudit.events': '1'}":          readonly,
		"SELECT 1 SETTINGS max_rows_to_read = 0":                             readonly,
		"SELECT 1 SETTINGS max_memory_usage = 0":                             readonly,
		"SELECT 1 SETTINGS max_execution_time = 0":                           outOfRange,
		"SELECT 1 SETTINGS max_execution_time = 100000":                      outOfRange,
		"SELECT * FROM events SETTINGS allow_experimental_analyzer = 0":      readonly,
		"SELECT * FROM events SETTINGS additional_result_filter = 'account'": readonly,
	} {
		if err := reader.Exec(inAccount(t, "acme"), sql); code(err) != want {
			t.Errorf("%s: %v; want error code %d", sql, err, want)
		}
	}
}

func TestTheReaderMayShortenItsTimeAndIsStoppedByIt(t *testing.T) {
	ch := startClickHouse(t, engine.ClickHouseConfig{Dir: t.TempDir()})
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_execution_time": 1}))
	_, err := texts(ctx, connect(t, ch, engine.RoleReader), "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1")
	if got := code(err); got != 159 && got != 158 {
		t.Errorf("a query without an end: %v", err)
	}
}

package deploycheck

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/schema"
)

// clickHouseUsers are the users of deploy/clickhouse and the variables with
// the hashes of their passwords.
var clickHouseUsers = map[string]string{
	"owner":  "CLICKHOUSE_OWNER_SHA256",
	"writer": "CLICKHOUSE_WRITER_SHA256",
	"reader": "CLICKHOUSE_READER_SHA256",
}

// shippedConfig and shippedUsers stand for what the server's package brings,
// as far as it opens ports and lets people in.
const (
	shippedConfig = `<clickhouse>
  <logger><level>trace</level><log>LOG/server.log</log><errorlog>LOG/server.err.log</errorlog></logger>
  <http_port>8123</http_port>
  <tcp_port>9000</tcp_port>
  <mysql_port>9004</mysql_port>
  <postgresql_port>9005</postgresql_port>
  <interserver_http_port>9009</interserver_http_port>
  <users_config>users.xml</users_config>
  <query_log><database>system</database><table>query_log</table><partition_by>toYYYYMM(event_date)</partition_by></query_log>
  <trace_log><database>system</database><table>trace_log</table></trace_log>
  <metric_log><database>system</database><table>metric_log</table><collect_interval_milliseconds>1000</collect_interval_milliseconds></metric_log>
</clickhouse>`
	shippedUsers = `<clickhouse>
  <profiles><default/><readonly><readonly>1</readonly></readonly></profiles>
  <users><default><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default></users>
  <quotas><default/></quotas>
</clickhouse>`
)

// What the test adds: directories and a port of its own, and the user that the
// library's own client signs in as, without which the embedded server does not
// start. It may open the port and nothing else.
const (
	testConfig = `<clickhouse>
  <tcp_port replace="1">0</tcp_port>
  <listen_host replace="1">127.0.0.1</listen_host>
  <logger replace="1"><level>warning</level><log>LOG/server.log</log></logger>
  <path>DIR/data/</path><tmp_path>DIR/tmp/</tmp_path><user_files_path>DIR/files/</user_files_path>
  <max_server_memory_usage>1073741824</max_server_memory_usage>
</clickhouse>`
	testUsers = `<clickhouse><users><default>
  <no_password/><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  <grants><query>GRANT SYSTEM LISTEN ON *.*</query><query>GRANT SYSTEM FLUSH LOGS ON *.*</query><query>GRANT READ ON FILE</query><query>GRANT CREATE TEMPORARY TABLE ON *.*</query></grants>
</default></users></clickhouse>`
)

// clickHouse is a server with the configuration of deploy/clickhouse.
type clickHouse struct {
	addr      string
	passwords map[string]string
	dir       string
}

// startClickHouse runs the real engine with the files of deploy/clickhouse,
// laid over what the server ships with, as a process of its own.
func startClickHouse(t *testing.T) clickHouse {
	t.Helper()
	library, err := engine.FindLibrary("")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	server := clickHouse{passwords: map[string]string{}, dir: dir}
	layClickHouseFiles(t, dir)
	environ := os.Environ()
	for user, variable := range clickHouseUsers {
		server.passwords[user] = rand.Text()
		sum := sha256.Sum256([]byte(server.passwords[user]))
		environ = append(environ, variable+"="+hex.EncodeToString(sum[:]))
	}
	port := runEngine(t, library, dir, environ)
	server.addr = net.JoinHostPort("127.0.0.1", port)
	return server
}

func layClickHouseFiles(t testing.TB, dir string) {
	t.Helper()
	for _, name := range []string{"data", "tmp", "files", "log", "config.d", "users.d"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	fill := strings.NewReplacer("DIR", dir, "LOG", filepath.Join(dir, "log"))
	files := map[string]string{
		"config.xml":           fill.Replace(shippedConfig),
		"users.xml":            shippedUsers,
		"config.d/zz-test.xml": fill.Replace(testConfig),
		"users.d/zz-test.xml":  testUsers,
	}
	for _, name := range []string{"config.d/loginaudit.xml", "users.d/loginaudit.xml"} {
		files[name] = projectFile(t, "deploy/clickhouse/"+name)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// runEngine starts the engine as package engine does, but with a configuration
// that is there already, and returns its port. See engine.RunChild.
func runEngine(t testing.TB, library, dir string, environ []string) string {
	t.Helper()
	gate, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer gate.Close()
	gateFile, err := gate.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer gateFile.Close()
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	lifeRead, lifeWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	portRead, portWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer portRead.Close()
	cmd := exec.Command(os.Args[0], engine.ChildCommand, "--library", library, "--dir", dir)
	cmd.Dir, cmd.Env = dir, environ
	cmd.Stdin = lifeRead
	cmd.ExtraFiles = []*os.File{lock, portWrite, gateFile}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	child := testsystem.Start(t, cmd)
	t.Cleanup(func() { // the end of the pipe ends the engine
		if err := lifeWrite.Close(); err != nil {
			t.Error(err)
		}
		if status := child.Wait(t); status != 0 {
			t.Errorf("the engine ended with status %d", status)
		}
	})
	lifeRead.Close()
	portWrite.Close()
	text, err := io.ReadAll(io.LimitReader(&oneLine{portRead}, 16))
	port := strings.TrimSpace(string(text))
	if _, parse := strconv.Atoi(port); err != nil || parse != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log", "server.log"))
		t.Fatalf("the engine does not listen: %v\n%s", err, log)
	}
	return port
}

// oneLine reads up to a line end, and does not wait for more.
type oneLine struct{ in io.Reader }

func (l *oneLine) Read(p []byte) (int, error) {
	n, err := l.in.Read(p[:1])
	if n == 1 && p[0] == '\n' {
		return n, io.EOF
	}
	return n, err
}

// as connects as a user of deploy/clickhouse.
func (c clickHouse) as(t testing.TB, user string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{c.addr},
		Auth: clickhouse.Auth{Username: user, Password: c.passwords[user]},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// config is that of package store for a user.
func (c clickHouse) config(user string) store.Config {
	return store.Config{Addr: c.addr, Database: "loginaudit", Username: user, Password: c.passwords[user]}
}

// migrate makes the tables as the owner.
func (c clickHouse) migrate(t testing.TB) {
	t.Helper()
	if _, err := store.Migrate(t.Context(), c.config("owner")); err != nil {
		t.Fatal(err)
	}
}

// wantCode fails unless ClickHouse refuses with one of the codes.
func wantCode(t testing.TB, what string, err error, codes ...int32) {
	t.Helper()
	var exception *clickhouse.Exception
	if !errors.As(err, &exception) || !slices.Contains(codes, exception.Code) {
		t.Errorf("%s: %v, want code %v", what, err, codes)
	}
}

// Codes of ClickHouse.
const (
	codeReadonly     = 164
	codeAccessDenied = 497
	codeAuthFailed   = 516
	codeConstraint   = 452
)

func count(t testing.TB, conn driver.Conn, account, table string) (n uint64) {
	t.Helper()
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"log_comment": account}))
	if err := conn.QueryRow(ctx, "SELECT count() FROM loginaudit."+table).Scan(&n); err != nil {
		t.Fatalf("count %s as %q: %v", table, account, err)
	}
	return n
}

func stored(account, id string) event.Stored {
	e := loginEvent(id, "alice")
	e.Account = account
	s := event.Stored{Event: e, Raw: []byte("{}"), ReceivedAt: time.Now().UTC(), StreamSeq: 1}
	sum := sha256.Sum256([]byte(account + id))
	copy(s.Hash[:], sum[:])
	return s
}

// filled is a server whose two accounts have two and one events.
func filled(t *testing.T) clickHouse {
	t.Helper()
	server := startClickHouse(t)
	server.migrate(t)
	db, err := store.Open(t.Context(), server.config("writer"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	events := []event.Stored{stored("acme", "1"), stored("acme", "2"), stored("globex", "1")}
	if err := db.Insert(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.CheckSchema(t.Context()), db.CheckTables(t.Context())); err != nil {
		t.Error(err)
	}
	if err := server.as(t, "default").Exec(t.Context(), "SYSTEM FLUSH LOGS"); err != nil {
		t.Fatal(err)
	}
	return server
}

func TestClickHouseUsersHaveTheRightsTheyNeedAndNoMore(t *testing.T) {
	server := filled(t)
	t.Run("only the three users get in, each with its password", func(t *testing.T) { onlyKnownUsers(t, server) })
	t.Run("the reader sees the account that the query names", func(t *testing.T) { readerSeesOneAccount(t, server) })
	t.Run("the reader changes nothing and lifts no limit", func(t *testing.T) { readerChangesNothing(t, server) })
	t.Run("the writer inserts and reads no event", func(t *testing.T) { writerOnlyInserts(t, server) })
	t.Run("the owner keeps to its database", func(t *testing.T) { ownerKeepsToItsDatabase(t, server) })
	t.Run("system tables end after a time", func(t *testing.T) { systemTablesEnd(t, server) })
}

// onlyKnownUsers asks the server itself whom it lets in, and how. The user
// default is the test's own (see testUsers).
func onlyKnownUsers(t *testing.T, server clickHouse) {
	rows, err := server.as(t, "owner").Query(t.Context(), "SELECT name, arrayStringConcat(auth_type), storage FROM system.users")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	got := map[string]string{}
	for rows.Next() {
		var name, auth, storage string
		if err := rows.Scan(&name, &auth, &storage); err != nil {
			t.Fatal(err)
		}
		got[name] = auth
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"default": "no_password"}
	for user := range clickHouseUsers {
		want[user] = "sha256_password"
		if err := server.as(t, user).Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("users %v, want %v", got, want)
	}
}

func readerSeesOneAccount(t *testing.T, server clickHouse) {
	reader := server.as(t, "reader")
	for _, table := range []string{"events", "events_by_user", "event_ids", "attempts"} {
		for account, want := range map[string]uint64{"acme": 2, "globex": 1, "": 0, "*": 0, "other": 0} {
			if n := count(t, reader, account, table); n != want {
				t.Errorf("%s named %q: %d rows, want %d", table, account, n, want)
			}
		}
	}
	if n := count(t, reader, "*", "accounts"); n != 2 {
		t.Errorf("accounts: %d, want 2", n)
	}
	owner := server.as(t, "owner")
	if n := count(t, owner, "", "events"); n != 3 {
		t.Errorf("the owner sees %d events, want 3", n)
	}
}

func readerChangesNothing(t *testing.T, server clickHouse) {
	reader := server.as(t, "reader")
	for _, statement := range []string{
		"INSERT INTO loginaudit.watermarks VALUES ('s', 0, 1, 0)", "ALTER TABLE loginaudit.events DELETE WHERE 1",
		"DROP TABLE loginaudit.events", "CREATE TABLE loginaudit.mine (a Int8) ENGINE = Memory",
		"SELECT * FROM system.part_log", "SELECT * FROM system.users", "SELECT * FROM file('/etc/passwd', LineAsString)",
		"SELECT * FROM url('http://127.0.0.1:1', LineAsString)", "SYSTEM SHUTDOWN",
	} {
		wantCode(t, statement, reader.Exec(t.Context(), statement), codeReadonly, codeAccessDenied)
	}
	for setting, value := range map[string]any{"readonly": 0, "max_rows_to_read": 0, "max_memory_usage": 0, "max_execution_time": 100_000} {
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{setting: value}))
		wantCode(t, setting, reader.Exec(ctx, "SELECT 1"), codeReadonly, codeConstraint)
	}
	for statement, limit := range map[string]int32{
		"SELECT sum(number) FROM numbers(3000000000)":                   158, // rows to read
		"SELECT number FROM numbers(3000000)":                           396, // rows to answer
		"SELECT max(length(range(number + 100000000))) FROM numbers(4)": 241, // memory
	} {
		wantCode(t, statement, reader.Exec(t.Context(), statement), limit)
	}
	// The bound in time that the driver takes from a deadline.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := reader.Exec(ctx, "SELECT 1"); err != nil {
		t.Error(err)
	}
}

func writerOnlyInserts(t *testing.T, server clickHouse) {
	writer := server.as(t, "writer")
	for _, statement := range []string{
		"SELECT * FROM loginaudit.events", "SELECT * FROM loginaudit.user_latest", "ALTER TABLE loginaudit.events DELETE WHERE 1",
		"TRUNCATE TABLE loginaudit.events", "INSERT INTO loginaudit.accounts VALUES ('x')", "DROP DATABASE loginaudit",
		"INSERT INTO loginaudit.goose_db_version (version_id, is_applied) VALUES (99, 1)",
	} {
		wantCode(t, statement, writer.Exec(t.Context(), statement), codeReadonly, codeAccessDenied, 392)
	}
}

func ownerKeepsToItsDatabase(t *testing.T, server clickHouse) {
	owner := server.as(t, "owner")
	for _, statement := range []string{
		"CREATE DATABASE other", "CREATE TABLE default.t (a Int8) ENGINE = Memory", "CREATE USER u",
		"SELECT * FROM file('/etc/passwd', LineAsString)", "SYSTEM SHUTDOWN",
		"CREATE TABLE loginaudit.t (a String) ENGINE = URL('http://127.0.0.1:1', LineAsString)",
	} {
		wantCode(t, statement, owner.Exec(t.Context(), statement), codeAccessDenied)
	}
}

func systemTablesEnd(t *testing.T, server clickHouse) {
	owner := server.as(t, "owner")
	rows, err := owner.Query(t.Context(), "SELECT name, engine_full FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var seen []string
	for rows.Next() {
		var name, full string
		if err := rows.Scan(&name, &full); err != nil {
			t.Fatal(err)
		}
		seen = append(seen, name)
		if !strings.Contains(full, "TTL") {
			t.Errorf("system.%s grows for ever: %s", name, full)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(seen, "part_log") || slices.Contains(seen, "trace_log") || slices.Contains(seen, "metric_log") {
		t.Errorf("system log tables %v", seen)
	}
}

// xmlUsers is users.d as far as rights go.
type xmlUsers struct {
	Users struct {
		Owner  xmlUser `xml:"owner"`
		Writer xmlUser `xml:"writer"`
		Reader xmlUser `xml:"reader"`
	} `xml:"users"`
}

type xmlUser struct {
	Grants    []string `xml:"grants>query"`
	Databases struct {
		Filters []xmlFilter `xml:",any"`
	} `xml:"databases>loginaudit"`
}

// xmlFilter is the filter of a table, whose name is the element's.
type xmlFilter struct {
	XMLName xml.Name
	Filter  string `xml:"filter"`
}

func parseUsers(t testing.TB) (u xmlUsers) {
	t.Helper()
	if err := xml.Unmarshal([]byte(projectFile(t, "deploy/clickhouse/users.d/loginaudit.xml")), &u); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestClickHouseGrantsAndFiltersAreThoseOfTheEmbeddedEngine(t *testing.T) {
	users := parseUsers(t)
	writer := []string{"GRANT SHOW TABLES, SHOW COLUMNS ON loginaudit.*"}
	var reader []string
	filters := map[string]string{}
	for _, table := range engine.Tables() {
		reader = append(reader, "GRANT SELECT ON loginaudit."+table.Name)
		if table.Insert {
			writer = append(writer, "GRANT INSERT ON loginaudit."+table.Name)
		}
		if table.WriterReads {
			writer = append(writer, "GRANT SELECT ON loginaudit."+table.Name)
		}
		if table.Filter != "" {
			filters[table.Name] = table.Filter
		}
	}
	for role, want := range map[string][2][]string{
		"writer": {users.Users.Writer.Grants, writer}, "reader": {users.Users.Reader.Grants, reader},
	} {
		got, wanted := slices.Sorted(slices.Values(want[0])), slices.Sorted(slices.Values(want[1]))
		if !slices.Equal(got, wanted) {
			t.Errorf("%s: grants %q, the engine has %q", role, got, wanted)
		}
	}
	got := map[string]string{}
	for _, f := range users.Users.Reader.Databases.Filters {
		got[f.XMLName.Local] = f.Filter
	}
	if !maps.Equal(got, filters) {
		t.Errorf("filters %q, the engine has %q", got, filters)
	}
	for _, f := range users.Users.Owner.Databases.Filters {
		if f.Filter != "1" || filters[f.XMLName.Local] == "" {
			t.Errorf("owner: filter %q on %s", f.Filter, f.XMLName.Local)
		}
		delete(filters, f.XMLName.Local)
	}
	if len(filters) > 0 {
		t.Errorf("the owner sees no row of %v", slices.Sorted(maps.Keys(filters)))
	}
}

// Every table of the schema that has a column account must have a filter: one
// without shows all rows to everybody.
func TestClickHouseFiltersCoverEveryTableOfTheSchema(t *testing.T) {
	users := parseUsers(t)
	filtered := map[string]bool{}
	for _, f := range users.Users.Reader.Databases.Filters {
		filtered[f.XMLName.Local] = true
	}
	files, err := schema.ClickHouse.ReadDir("clickhouse")
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, file := range files {
		text, err := schema.ClickHouse.ReadFile("clickhouse/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?s)CREATE TABLE IF NOT EXISTS (\w+)\s*\((.*?)\)\s*ENGINE`).FindSubmatch(text)
		if m == nil {
			continue
		}
		tables++
		if hasAccount := regexp.MustCompile(`(?m)^\s*account\s`).Match(m[2]); hasAccount != filtered[string(m[1])] {
			t.Errorf("table %s: has accounts %v, has a filter %v", m[1], hasAccount, filtered[string(m[1])])
		}
	}
	if tables == 0 {
		t.Error("no tables found in the schema")
	}
}

func TestClickHousePasswordsComeFromTheEnvironmentAndNobodyElseHasOne(t *testing.T) {
	text := projectFile(t, "deploy/clickhouse/users.d/loginaudit.xml")
	for user, variable := range clickHouseUsers {
		element := fmt.Sprintf(`<%s>\s*<password_sha256_hex from_env="%s"/>`, user, variable)
		if !regexp.MustCompile(element).MatchString(text) {
			t.Errorf("%s does not take its password from %s", user, variable)
		}
	}
	if strings.Contains(text, "<password>") || strings.Contains(text, "<no_password") {
		t.Error("a user has a password that everybody knows")
	}
	if !strings.Contains(text, `<default remove="1"/>`) {
		t.Error("the user default, which has no password, stays")
	}
}

// configElement is an element at the top of a configuration of ClickHouse.
type configElement struct {
	XMLName xml.Name
	Remove  string `xml:"remove,attr"`
	Text    string `xml:",chardata"`
}

// The way ClickHouse lays config.d over config.xml, for elements at the top:
// what has the attribute remove goes, what is new comes.
func TestClickHouseOpensTheNativeProtocolOnly(t *testing.T) {
	open := map[string]string{}
	for _, text := range []string{shippedConfig, projectFile(t, "deploy/clickhouse/config.d/loginaudit.xml")} {
		var config struct {
			Elements []configElement `xml:",any"`
		}
		if err := xml.Unmarshal([]byte(text), &config); err != nil {
			t.Fatal(err)
		}
		for _, e := range config.Elements {
			name := e.XMLName.Local
			delete(open, name)
			if strings.Contains(name, "port") && name != "send_crash_reports" && e.Remove == "" {
				open[name] = strings.TrimSpace(e.Text)
			}
		}
	}
	if want := map[string]string{"tcp_port": "9000"}; !maps.Equal(open, want) {
		t.Errorf("open ports %v, want %v", open, want)
	}
}

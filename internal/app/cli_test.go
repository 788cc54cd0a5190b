package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/access"
)

func TestExitStatusIs2ForAWrongCallAndTheReasonIsTold(t *testing.T) {
	for want, args := range map[string][]string{
		"no command given": {"loginaudit"},
		`unknown command "sevre"; did you mean "serve"?`: {"loginaudit", "sevre"},
		`unknown command "find"`:                         {"loginaudit", "parked", "find"},
		"unknown flag: --colour":                         {"loginaudit", "serve", "--colour"},
		"stream settings: Replicas":                      {"loginaudit", "serve", "--stream-replicas", "9"},
		"session-limit: 1s is not allowed":               {"loginaudit", "serve", "--session-limit", "1s"},
		"query.timeout: 1h0m0s is not allowed":           {"loginaudit", "serve", "--query-timeout", "1h"},
		"stop-timeout: 0s":                               {"loginaudit", "serve", "--stop-timeout", "0s"},
		"log.level":                                      {"loginaudit", "serve", "--log-level", "loud"},
		"ingest.batch-messages: 0":                       {"loginaudit", "serve", "--ingest-batch-messages", "0"},
		"ingest.batch-bytes: 1KiB":                       {"loginaudit", "serve", "--ingest-batch-bytes", "1KiB"},
		"ingest.batch-wait: 2h0m0s":                      {"loginaudit", "serve", "--ingest-batch-wait", "2h"},
		"nats.tls-cert and nats.tls-key":                 {"loginaudit", "serve", "--nats-tls-cert", "x"},
		"data-dir: is missing":                           {"loginaudit", "serve", "--data-dir", ""},
		"give --nats-tls-cert and --nats-tls-key":        {"loginaudit", "serve", "--nats-addr", "0.0.0.0:0"},
		"nats.addr: :0 is reached":                       {"loginaudit", "settings", "--nats-addr", ":0"},
		"nats.addr: [::]:4222 is reached":                {"loginaudit", "serve", "--nats-addr", "[::]:4222"},
		`"127.0.0.1:99999" is not HOST:PORT with a port of 0 to 65535 (--http-addr or`: {"loginaudit", "serve", "--http-addr", "127.0.0.1:99999"},
		`"127.0.0.1:99998" is not HOST:PORT with a port of 0 to 65535 (--http-addr or`: {"loginaudit", "settings", "--http-addr", "127.0.0.1:99998"},
		`"127.0.0.1:-1" is not HOST:PORT with a port of 0 to 65535 (--nats-addr or`:    {"loginaudit", "serve", "--nats-addr", "127.0.0.1:-1"},
		`"127.0.0.1:nats" is not HOST:PORT with a port of 0 to 65535 (--admin-addr or`: {"ingest", "settings", "--admin-addr", "127.0.0.1:nats"},
		`"127.0.0.1" is not HOST:PORT with a port of 0 to 65535 (--engine-addr or`:     {"loginaudit", "serve", "--engine-addr", "127.0.0.1"},
		"engine.addr: 0.0.0.0:0 is not a loopback address":                             {"loginaudit", "settings", "--engine-addr", "0.0.0.0:0"},
		"http.tls-cert and http.tls-key are given together":                            {"loginaudit", "serve", "--http-tls-key", "x"},
		"requires at least 1 arg": {"loginaudit", "import"},
		"nkey and creds exclude":  {"loginaudit", "import", "--nkey", "a", "--creds", "b", "-"},
		`nats: the scheme "http" is not allowed; nats, tls, ws or wss`:      {"loginaudit", "import", "--nats", "http://u:p@127.0.0.1:1", "-"},
		`nats: the scheme "HTTPS" is not allowed; nats, tls, ws or wss`:     {"loginaudit", "emit", "--nats", "nats://127.0.0.1:1, HTTPS://127.0.0.1:1"},
		`nats.url: the scheme "http" is not allowed; nats, tls, ws or wss`:  {"ingest", "--nats-url", "http://127.0.0.1:1"},
		`nats.url: the scheme "https" is not allowed; nats, tls, ws or wss`: {"loginaudit", "streams", "--nats-url", "https://127.0.0.1:1"},
		"users: 0 is not allowed":                            {"loginaudit", "emit", "--users", "0"},
		"rate: -1 is not allowed":                            {"loginaudit", "emit", "--rate", "-1"},
		"duration: \"soon\"":                                 {"loginaudit", "emit", "--duration", "soon"},
		"duration: it is negative":                           {"loginaudit", "emit", "--duration", "-1s"},
		"history: -1h0m0s":                                   {"loginaudit", "emit", "--history", "-1h"},
		"output: \"xml\"":                                    {"loginaudit", "parked", "list", "--output", "xml"},
		"from-seq: -1":                                       {"loginaudit", "parked", "list", "--from-seq", "-1"},
		`"1x" is not the sequence`:                           {"loginaudit", "parked", "show", "1x"},
		`"0" is not the sequence`:                            {"loginaudit", "parked", "show", "0"},
		"accepts 1 arg":                                      {"loginaudit", "parked", "show"},
		`state: "done" is not allowed; open`:                 {"loginaudit", "parked", "list", "--state", "done"},
		`reason: "bogus" is not allowed; one of too_large, `: {"loginaudit", "parked", "list", "--reason", "bogus"},
		`too_far_ahead, row_refused`:                         {"loginaudit", "parked", "replay", "--reason", "bogus"},
		`reason: "bogus" is not allowed`:                     {"loginaudit", "parked", "discard", "--because", "x", "--reason", "bogus"},
		"or --all":                                           {"loginaudit", "parked", "discard", "--erase", "--because", "x", "--state", "all"},
		"limit: -1":                                          {"loginaudit", "parked", "list", "--limit", "-1"},
		"to-stream-seq: -1":                                  {"loginaudit", "parked", "replay", "--to-stream-seq", "-1"},
		"from-seq: 5 is after to-seq 4":                      {"loginaudit", "parked", "list", "--from-seq", "5", "--to-seq", "4"},
		"from-stream-seq: 5 is after":                        {"loginaudit", "parked", "list", "--from-stream-seq", "5", "--to-stream-seq", "4"},
		`from: "-1fortnight" is not a time`:                  {"loginaudit", "parked", "list", "--from", "-1fortnight"},
		`to: "yesterday" is not a time`:                      {"loginaudit", "parked", "discard", "--because", "x", "--to", "yesterday"},
		"from: now is not before to, -1h":                    {"loginaudit", "parked", "list", "--from", "now", "--to", "-1h"},
		"name the sequences":                                 {"loginaudit", "parked", "replay"},
		"not both":                                           {"loginaudit", "parked", "replay", "5", "--account", "acme"},
		"all: it allows no filter":                           {"loginaudit", "parked", "replay", "--all", "--valid"},
		"for one message":                                    {"loginaudit", "parked", "replay", "5", "6", "--body", "-"},
		`"x" is not the sequence`:                            {"loginaudit", "parked", "replay", "x"},
		"because: is missing; say why (--reason chooses messages by their reason code; \"not wanted\"": {"loginaudit", "parked", "discard", "5", "--reason", "not wanted"},
		"because: it is not UTF-8":                     {"loginaudit", "parked", "discard", "5", "--because", "\xff"},
		"because: it has 1025 bytes":                   {"loginaudit", "parked", "discard", "5", "--because", strings.Repeat("x", 1025)},
		"by: it has 257 bytes":                         {"loginaudit", "parked", "replay", "5", "--by", strings.Repeat("x", 257)},
		"state: replayed is allowed with --erase only": {"loginaudit", "parked", "discard", "5", "--because", "x", "--state", "replayed"},
		"clickhouse.username: is missing":              {"loginaudit", "migrate", "--clickhouse-username", ""},
		"nats.url: is missing":                         {"ingest", "--nats-url", ""},
		"nkey and creds exclude each other":            {"ingest", "--nats-nkey", "a", "--nats-creds", "b"},
		"clickhouse.tls-cert and":                      {"ingest", "--clickhouse-tls-cert", "a"},
		`unknown command "now" for "ingest"`:           {"ingest", "now"},
		"admin-token: is missing":                      {"query"},
		"admin.addr: \"x\" is not HOST:PORT":           {"query", "--admin-addr", "x", "--admin-token-file", tokenIn(t)},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			r := run(t, "", args[0], args[1:]...)
			if r.Status != 2 || !strings.Contains(r.Err, want) || !strings.Contains(r.Err, `--help"`) {
				t.Errorf("status %d, want %q\n%s", r.Status, want, r.Err)
			}
		})
	}
}

func tokenIn(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if _, err := access.OpenAdminToken(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestExitStatusIs1WhenItFailsAndTheReasonIsTold(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("no seed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"make run":                {"import", "--data-dir", dir, "-"},
		"nothing runs":            {"emit", "--data-dir", dir},
		"(is it running":          {"import", "--nats", "nats://127.0.0.1:1", "-"},
		"read nkey seed":          {"import", "--nats", "nats://127.0.0.1:1", "--nkey", file, "-"},
		"read NATS credentials":   {"import", "--nats", "nats://127.0.0.1:1", "--creds", file + "x", "-"},
		"read tls-ca: " + file:    {"import", "--nats", "nats://127.0.0.1:1", "--tls-ca", file, "-"},
		"read tls-cert":           {"import", "--nats", "nats://127.0.0.1:1", "--tls-cert", file, "--tls-key", file, "-"},
		"migrate: ":               {"migrate", "--clickhouse-addr", "127.0.0.1:1"},
		"clickhouse: read tls-ca": {"migrate", "--clickhouse-tls", "--clickhouse-tls-ca", file + "x"},
		"make data directory":     {"serve", "--data-dir", file + "/x"},
		`"npm ci" in the folder of loginaudit installs`: {"serve", "--data-dir", filepath.Join(dir, "d"), "--engine-library", file + "x", "--http-addr", "127.0.0.1:0", "--nats-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			if r := run(t, "", "loginaudit", args...); r.Status != 1 || !strings.Contains(r.Err, want) {
				t.Errorf("status %d, want %q\n%s", r.Status, want, r.Err)
			}
		})
	}
}

func TestImportCountsAlsoWhenNothingIsPublished(t *testing.T) {
	dir := t.TempDir()
	for want, args := range map[string][]string{
		"(is it running": {"--nats", "nats://127.0.0.1:1", "-"},
		"nothing runs":   {"--data-dir", filepath.Join(dir, "none"), "-"},
		"read nkey seed": {"--nats", "nats://127.0.0.1:1", "--nkey", filepath.Join(dir, "none"), "-"},
	} {
		if r := run(t, "", "loginaudit", append([]string{"import"}, args...)...); r.Status != 1 || !strings.Contains(r.Err, want) || r.Out != "published=0 duplicate=0 rejected=0\n" {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, args := range [][]string{
		{"ingest"}, {"query"}, {"ingest", "settings"}, {"query", "settings"}, {"ingest", "version"},
		{"loginaudit"}, {"loginaudit", "serve"}, {"loginaudit", "migrate"}, {"loginaudit", "import"}, {"loginaudit", "emit"},
		{"loginaudit", "parked"}, {"loginaudit", "parked", "list"}, {"loginaudit", "parked", "show"},
		{"loginaudit", "parked", "replay"}, {"loginaudit", "parked", "discard"}, {"loginaudit", "settings"}, {"loginaudit", "version"}, {"loginaudit", "completion"},
	} {
		r := run(t, "", args[0], append(args[1:], "--help")...)
		if r.Status != 0 || !strings.Contains(r.Out, "Usage:") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestVersionIsForPeopleAndForPrograms(t *testing.T) {
	if r := run(t, "", "loginaudit", "version"); r.Status != 0 || !strings.HasPrefix(r.Out, "loginaudit ") {
		t.Errorf("%+v", r)
	}
	var v struct{ Version, Go, Platform string }
	r := run(t, "", "query", "version", "--json")
	if err := json.Unmarshal([]byte(r.Out), &v); err != nil || v.Version == "" || !strings.HasPrefix(v.Go, "go1.") || v.Platform == "" {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestShellCompletionIsWritten(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := run(t, "", "loginaudit", "completion", shell); r.Status != 0 || !strings.Contains(r.Out, "loginaudit") {
			t.Errorf("%s: %d", shell, r.Status)
		}
	}
}

func TestSettingsArePrintedAsASettingsFileWithoutSecrets(t *testing.T) {
	t.Setenv("LOGINAUDIT_ADMIN_TOKEN", "la_admin_hunter2")
	r := run(t, "", "query", "settings", "--session-limit", "12h")
	if r.Status != 0 || strings.Contains(r.Out, "hunter2") || !strings.Contains(r.Out, "session-limit: 12h") {
		t.Fatalf("%+v", r)
	}
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(r.Out, "'***'", "fromfile")), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := run(t, "", "query", "settings", "--config", file); again.Out != r.Out {
		t.Errorf("read back:\n%s\n%s", r.Out, again.Out)
	}
	if serve := run(t, "", "loginaudit", "settings"); !strings.Contains(serve.Out, "data-dir: ./data") || !strings.Contains(serve.Out, "session-limit: 24h") {
		t.Errorf("serve: %+v", serve)
	}
}

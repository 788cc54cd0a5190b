package deploycheck

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/loginaudit/loginaudit/internal/app"
)

// documentedStep is the block of commands after the mark in docs/operations.md.
func documentedStep(t testing.TB, mark string) string {
	t.Helper()
	pattern := regexp.MustCompile(`(?s)( *)<!-- test: ` + mark + " -->\n *```bash\n(.*?)\n *```")
	m := pattern.FindStringSubmatch(projectFile(t, "docs/operations.md"))
	if m == nil {
		t.Fatalf("docs/operations.md has lost the step %q", mark)
	}
	return strings.ReplaceAll("\n"+m[2], "\n"+m[1], "\n")
}

// What the page tells to type makes every secret that the compose file wants,
// and the hashes and public keys that belong to them.
func TestDocumentedStepsMakeTheSecretsThatComposeNeeds(t *testing.T) {
	dir := projectCopy(t)
	makeSecrets(t, dir)
	environ := map[string]string{}
	text, err := os.ReadFile(filepath.Join(dir, ".env"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			environ[name] = value
		}
	}
	project, err := loadCompose(t, environ, "docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	secret := func(name string) string {
		path := filepath.Join(dir, "deploy", "secrets", name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o444 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	for name := range project.Secrets {
		secret(name)
	}
	for user, variable := range clickHouseUsers {
		sum := sha256.Sum256([]byte(secret("clickhouse_" + user + "_password")))
		if hash := hex.EncodeToString(sum[:]); environ[variable] != hash {
			t.Errorf("%s is %s, the password's hash is %s", variable, environ[variable], hash)
		}
	}
	for role, variable := range natsRoles {
		pair, err := nkeys.FromSeed([]byte(secret("nats_" + role + "_nkey")))
		if err != nil {
			t.Fatal(err)
		}
		if public, err := pair.PublicKey(); err != nil || environ[variable] != public {
			t.Errorf("%s is %s, the seed's public key is %s (%v)", variable, environ[variable], public, err)
		}
	}
	if !regexp.MustCompile(`^la_admin_[A-Za-z0-9_-]{32,256}$`).MatchString(secret("admin_token")) {
		t.Error("the token has not the form that query takes")
	}
	if info, err := os.Stat(filepath.Join(dir, "deploy", "secrets")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the secrets: %v, %v", info.Mode(), err)
	}
}

// makeSecrets does what the page tells, as whoever pastes it into bash.
func makeSecrets(t testing.TB, dir string) {
	t.Helper()
	shell := exec.Command("bash", "-euo", "pipefail", "-c", documentedStep(t, "secrets"))
	shell.Dir = dir
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// projectCopy is a folder with what the documented steps use of the project.
func projectCopy(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"bin", "deploy/secrets"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "deploy", ".env.example"), []byte(projectFile(t, "deploy/.env.example")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.Args[0], filepath.Join(dir, "bin", "loginaudit")); err != nil { // see testsystem.Main
		t.Fatal(err)
	}
	return dir
}

// filesIn is the text of .env and of every secret, by path.
func filesIn(t testing.TB, dir string) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "deploy", "secrets", "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, path := range append(paths, filepath.Join(dir, ".env")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(text)
	}
	return all
}

// Whoever does the steps again, or after something was lost, does not lock out
// the servers that run already.
func TestDocumentedStepsDoneAgainKeepEverySecretAndSetting(t *testing.T) {
	dir := projectCopy(t)
	makeSecrets(t, dir)
	settings := filepath.Join(dir, ".env")
	text, err := os.ReadFile(settings)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "QUERY_LISTEN=", "QUERY_LISTEN=127.0.0.1:9999", 1))
	if err := os.WriteFile(settings, text, 0o600); err != nil {
		t.Fatal(err)
	}
	before := filesIn(t, dir)
	makeSecrets(t, dir)
	if after := filesIn(t, dir); !maps.Equal(before, after) {
		t.Errorf("something is another:\n%v\n%v", before, after)
	}

	if err := os.Remove(settings); err != nil {
		t.Fatal(err)
	}
	makeSecrets(t, dir)
	before[settings] = strings.Replace(before[settings], "127.0.0.1:9999", "", 1)
	if after := filesIn(t, dir); !maps.Equal(before, after) {
		t.Errorf("without .env, something is another:\n%v\n%v", before, after)
	}
}

// loginaudit runs the operator's tool within the test.
func loginaudit(args ...string) (code int, said string) {
	var out strings.Builder
	root := app.LoginauditCommand()
	root.SetOut(&out)
	root.SetErr(&out)
	code = app.Execute(root, args)
	return code, out.String()
}

func TestNKeyNeverReplacesAKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed")
	code, first := loginaudit("nkey", path)
	if code != 0 || !nkeys.IsValidPublicUserKey(strings.TrimSpace(first)) {
		t.Fatalf("%d: %s", code, first)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code, said := loginaudit("nkey", path); code != 1 || !strings.Contains(said, "exists") {
		t.Errorf("again: %d: %s", code, said)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the key is another: %v", err)
	}
	_, made := loginaudit("nkey", filepath.Join(t.TempDir(), "other"))
	if code, said := loginaudit("nkey", "--public", path); code != 0 || said != first || said == made {
		t.Errorf("its public key: %d: %s, was %s", code, said, first)
	}
	if code, _ := loginaudit("nkey"); code != 2 {
		t.Errorf("without a file: %d", code)
	}
	if code, _ := loginaudit("nkey", filepath.Join(path, "below", "a", "file")); code != 1 {
		t.Errorf("where nothing can be written: %d", code)
	}
}

func TestNKeyShowsThePublicKeyOfNothingButAUsersSeed(t *testing.T) {
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"no seed": "read nkey seed", string(seed): "not the seed of a user"} {
		path := filepath.Join(t.TempDir(), "seed")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, said := loginaudit("nkey", "--public", path)
		if code != 1 || !strings.Contains(said, want) || strings.Contains(said, text) {
			t.Errorf("%d: %s", code, said)
		}
	}
	if code, said := loginaudit("nkey", "--public", filepath.Join(t.TempDir(), "none")); code != 1 || !strings.Contains(said, "none") {
		t.Errorf("%d: %s", code, said)
	}
}

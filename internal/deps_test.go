// Package internal holds no code, only the test of who may import whom.
package internal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/loginaudit/loginaudit/"

type siblingRule struct {
	pkg     string
	may     []string
	because string
}

// siblings lists, for every package of the project, the packages of the
// project that it may import, and why no others. "*" allows all but
// internal/testserver. docs/design.md tells the same in a picture.
var siblings = []siblingRule{
	{"event", nil, "auth services import it: it must cost them nothing"},
	{"schema", nil, "it only embeds the files beside it"},
	{"publish", []string{"event"}, "auth services import it: nothing internal may leak into their builds"},
	{"client", []string{"event"}, "programs of others import it: standard library and event only, nothing internal"},
	{"internal/stream", []string{"event"}, "the JetStream side knows neither who writes nor who reads"},
	{"internal/ingest", []string{"event"}, "the loop writes to its Sink and parks by a function, so each can be broken on purpose in tests"},
	{"internal/query", []string{"event"}, "a question is neither SQL nor HTTP"},
	{"internal/store", []string{"event", "internal/query", "schema"}, "it is the only package that knows ClickHouse, and knows nothing else"},
	{"internal/tail", []string{"internal/query"}, "the tail follows whatever tells it what arrived, and hands it to whoever asks"},
	{"internal/access", []string{"event"}, "rights are decided without knowing how a question came or is answered"},
	{"internal/export", []string{"event", "internal/query"}, "an encoder knows neither where events come from nor who reads them"},
	{"internal/web", []string{"event", "internal/query", "internal/access", "internal/export", "schema"}, "the page asks through interfaces of its own"},
	{"internal/engine", nil, "the embedded servers know nothing of what runs on them"},
	{"internal/ops", nil, "settings, health and shutdown know no domain"},
	{"internal/emit", []string{"event", "publish"}, "made-up traffic comes the way real traffic does"},
	{"internal/app", []string{"*"}, "the one place where siblings meet"},
	{"internal/testserver", []string{"*"}, "tests only"},
	{"internal/testsystem", nil, "tests only: it knows the programs from the outside"},
	{"internal/uitest", nil, "tests only: it knows the browser and nothing of the page"},
	{"internal/faults", []string{"*"}, "tests only: it runs the whole system and breaks it"},
	{"internal/ingestbench", []string{"*"}, "it measures the whole way in, with the parts as they are"},
	{"internal/querybench", []string{"*"}, "it measures the whole way out, with the parts as they are"},
	{"internal/apicheck", []string{"schema"}, "tests only: it knows the document of the API and nothing of who answers"},
	{"internal/oracle", []string{"event", "internal/query"}, "tests only: a second reading of the contract must share no code with the first"},
	{"internal/e2e", []string{"*"}, "tests only"},
	{"cmd/ingest", []string{"internal/app", "internal/ops"}, "commands are thin: wiring is internal/app's"},
	{"cmd/query", []string{"internal/app", "internal/ops"}, "commands are thin: wiring is internal/app's"},
	{"cmd/loginaudit", []string{"internal/app", "internal/ops", "internal/engine"}, "commands are thin; engine only because its child process is this binary"},
}

// forbidden lists modules from outside that a package may not reach, not even
// through another package. An empty who means every package that is not in
// except.
var forbidden = []struct {
	what, who, except []string
	because           string
}{
	{
		[]string{"github.com/nats-io"},
		[]string{"internal/store", "internal/tail", "internal/web", "internal/query", "internal/access", "internal/export", "schema", "internal/ops"}, nil,
		"only the way in speaks NATS",
	},
	{
		[]string{"github.com/nats-io/nats-server"},
		nil, []string{"internal/engine", "internal/testserver", "internal/app", "cmd/loginaudit", "cmd/ingest", "cmd/query", "internal/e2e", "internal/faults", "internal/ingestbench", "internal/querybench"},
		"the embedded server belongs to the engine",
	},
	{
		[]string{"github.com/ClickHouse", "github.com/pressly/goose"},
		[]string{"publish", "internal/stream", "internal/ingest", "internal/tail", "internal/web", "internal/query", "internal/access", "internal/export", "internal/ops", "internal/emit", "schema"}, nil,
		"only store (and the engine's own probe) speaks to ClickHouse",
	},
	{
		[]string{"github.com/spf13", "github.com/knadh/koanf"},
		nil, []string{"internal/ops", "internal/app", "cmd/loginaudit", "cmd/ingest", "cmd/query", "internal/testserver", "internal/e2e", "internal/faults", "internal/ingestbench", "internal/querybench"},
		"flags and settings end where the commands end",
	},
	{
		[]string{"github.com/getkin/kin-openapi"},
		nil, []string{"internal/apicheck"},
		"the document of the API is checked in tests only",
	},
	{
		[]string{"github.com/go-chi"},
		nil, []string{"internal/web", "internal/app", "cmd/loginaudit", "cmd/ingest", "cmd/query", "internal/testserver", "internal/e2e", "internal/faults", "internal/ingestbench", "internal/querybench"},
		"routes are web's",
	},
}

type pkg struct {
	ImportPath   string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages lists the project's packages and everything they need.
func packages(t testing.TB) map[string]pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Standard,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaint.String())
	}
	all := map[string]pkg{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p
	}
}

func TestImportsBetweenSiblingsGoOneWay(t *testing.T) {
	for path, p := range packages(t) {
		if !strings.HasPrefix(path, module) {
			continue
		}
		i := slices.IndexFunc(siblings, func(r siblingRule) bool {
			return r.pkg == p.name() || strings.HasPrefix(p.name(), r.pkg+"/")
		})
		if i < 0 {
			if len(p.Imports) > 0 {
				t.Errorf("%s is in no rule: add it to siblings with its reason", p.name())
			}
			continue
		}
		rule := siblings[i]
		for _, imported := range p.Imports {
			name, ours := strings.CutPrefix(imported, module)
			inside := strings.HasPrefix(name, rule.pkg+"/")
			if !ours || inside || slices.Contains(rule.may, name) || name != "internal/testserver" && slices.Contains(rule.may, "*") {
				continue
			}
			t.Errorf("%s imports %s, but may import only %v of the project: %s", p.name(), name, rule.may, rule.because)
		}
	}
}

func TestImportsOfEventAreStandardLibraryOnly(t *testing.T) {
	all := packages(t)
	for _, imported := range all[module+"event"].Imports {
		if !all[imported].Standard {
			t.Errorf("event imports %s: auth services import event, it must cost them nothing", imported)
		}
	}
}

func TestImportsOfClientAreStandardLibraryAndEventOnly(t *testing.T) {
	all := packages(t)
	for _, imported := range all[module+"client"].Imports {
		if !all[imported].Standard && imported != module+"event" {
			t.Errorf("client imports %s: programs of others import client, it must cost them nothing", imported)
		}
	}
}

func TestImportsReachNoForbiddenModule(t *testing.T) {
	all := packages(t)
	for _, rule := range forbidden {
		for path, p := range all {
			name, ours := strings.CutPrefix(path, module)
			if !ours || rule.who != nil && !slices.Contains(rule.who, name) || slices.Contains(rule.except, name) {
				continue
			}
			if way := reach(all, p, rule.what); way != nil {
				t.Errorf("%s: %s", strings.Join(way, " → "), rule.because)
			}
		}
	}
}

// reach is a shortest chain of imports from p into a module of what, or nil.
func reach(all map[string]pkg, p pkg, what []string) []string {
	from := map[string]string{p.ImportPath: ""}
	for queue := []string{p.ImportPath}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if slices.ContainsFunc(what, func(m string) bool { return at == m || strings.HasPrefix(at, m+"/") }) {
			var way []string
			for ; at != ""; at = from[at] {
				way = append([]string{at}, way...)
			}
			return way
		}
		for _, next := range all[at].Imports {
			if _, seen := from[next]; !seen && !all[next].Standard {
				from[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}

// internal/faults is test support itself, made of other test support.
func TestImportsOfTestSupportAreInTestsOnly(t *testing.T) {
	for path, p := range packages(t) {
		for _, support := range []string{"internal/testserver", "internal/testsystem", "internal/uitest", "internal/oracle", "internal/faults", "internal/apicheck"} {
			if strings.HasPrefix(path, module) && p.name() != "internal/faults" && slices.Contains(p.Imports, module+support) {
				t.Errorf("%s imports %s outside of its tests", p.name(), support)
			}
		}
	}
}

// ClickHouse's HTTP port had a hole that needs no password
// (CVE-2026-116366), so nothing may open or use it.
func TestImportedClickHouseClientIsNeverToldToSpeakHTTP(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || d.Name() == "deps_test.go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("clickhouse.HTTP")) || bytes.Contains(text, []byte("clickhouse+http")) {
			t.Errorf("%s speaks HTTP to ClickHouse", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

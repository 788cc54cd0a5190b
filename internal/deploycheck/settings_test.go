package deploycheck

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/loginaudit/loginaudit/internal/app"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// program is the command that a command line runs: the name of the binary,
// then its arguments.
func program(t testing.TB, line []string) *cobra.Command {
	t.Helper()
	roots := map[string]*cobra.Command{
		"ingest": app.IngestCommand(), "query": app.QueryCommand(), "loginaudit": app.LoginauditCommand(),
	}
	root, ok := roots[line[0][strings.LastIndex(line[0], "/")+1:]]
	if !ok {
		t.Fatalf("%q is none of the programs", line[0])
	}
	cmd, _, err := root.Find(line[1:])
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return cmd
}

// knownVariables are the variables that a command reads: one for each flag, and
// one for each secret, which has a flag only for the file that holds it.
func knownVariables(cmd *cobra.Command) map[string]bool {
	known := map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "LOGINAUDIT_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		known[name] = true
		if secret, ok := strings.CutSuffix(name, "_FILE"); ok {
			known[secret] = true
		}
	})
	return known
}

// checkVariables fails for each LOGINAUDIT_ variable that the command ignores.
func checkVariables(t testing.TB, where string, cmd *cobra.Command, names []string) {
	t.Helper()
	known := knownVariables(cmd)
	for _, name := range names {
		if strings.HasPrefix(name, "LOGINAUDIT_") && !known[name] {
			t.Errorf("%s: %q knows no variable %s", where, cmd.CommandPath(), name)
		}
	}
}

// checkFlags fails unless the command takes the arguments.
func checkFlags(t testing.TB, where string, cmd *cobra.Command, args []string) {
	t.Helper()
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if strings.HasPrefix(arg, "--") && cmd.Flags().Lookup(name) == nil {
			t.Errorf("%s: %q has no flag %s", where, cmd.CommandPath(), arg)
		}
	}
}

// Whatever a page tells to set must exist in at least one of the programs.
func TestDocumentedVariablesAndFlagsExist(t *testing.T) {
	known, flags := map[string]bool{}, map[string]bool{"help": true, "version": true}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		for name := range knownVariables(cmd) {
			known[name] = true
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	for _, root := range []*cobra.Command{app.IngestCommand(), app.QueryCommand(), app.LoginauditCommand()} {
		visit(root)
	}
	variable := regexp.MustCompile(`LOGINAUDIT_[A-Z0-9_]*[A-Z0-9]`)
	ours := regexp.MustCompile("(?m)(?:^|[`/ ])(?:ingest|query|loginaudit(?: [a-z]+)*)((?: (?:--[a-z-]+(?:[= ][^-\\s`]+)?|[^-\\s`]+))*)")
	flag := regexp.MustCompile(`--([a-z][a-z-]*[a-z])`)
	for _, name := range []string{"docs/operations.md", "CONTRIBUTING.md"} {
		text := projectFile(t, name)
		for _, found := range variable.FindAllString(text, -1) {
			if found != "LOGINAUDIT_" && !known[found] {
				t.Errorf("%s: no program knows %s", name, found)
			}
		}
		for _, line := range ours.FindAllStringSubmatch(text, -1) {
			for _, found := range flag.FindAllStringSubmatch(line[1], -1) {
				if !flags[found[1]] {
					t.Errorf("%s: no program has the flag %s (%s)", name, found[0], strings.TrimSpace(line[0]))
				}
			}
		}
	}
}

// documentedMetrics are the metrics that docs/operations.md names; one with a
// star at the end stands for all that begin so.
func documentedMetrics(t testing.TB) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(loginaudit_[a-z_]+\\*?)`").FindAllStringSubmatch(projectFile(t, "docs/operations.md"), -1) {
		names[m[1]] = true
	}
	return names
}

var update = flag.Bool("update", false, "write the table of settings in docs/operations.md anew")

// settingsTable is the table of every setting of the commands that an operator
// runs on real servers, from the commands themselves.
func settingsTable(t testing.TB) string {
	t.Helper()
	type row struct{ flag, standard, help string }
	by, order := map[row][]string{}, []row{}
	commands := [][]string{{"loginaudit", "serve"}, {"ingest"}, {"query"}, {"loginaudit", "migrate"}, {"loginaudit", "streams"}}
	for _, line := range commands {
		program(t, line).Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			help, _, _ := strings.Cut(f.Usage, " (or LOGINAUDIT_")
			r := row{f.Name, f.DefValue, strings.ReplaceAll(help, "`", "")}
			if by[r] == nil {
				order = append(order, r)
			}
			by[r] = append(by[r], line[len(line)-1])
		})
	}
	slices.SortStableFunc(order, func(a, b row) int { return cmp.Compare(a.flag, b.flag) })
	var table strings.Builder
	table.WriteString("| flag | environment | default | of | meaning |\n|---|---|---|---|---|\n")
	for _, r := range order {
		variable := "LOGINAUDIT_" + strings.ToUpper(strings.ReplaceAll(r.flag, "-", "_"))
		standard := ""
		if r.standard != "" {
			standard = "`" + r.standard + "`"
		}
		fmt.Fprintf(&table, "| `--%s` | `%s` | %s | %s | %s |\n", r.flag, variable, standard, strings.Join(by[r], ", "), r.help)
	}
	return table.String()
}

func TestDocumentedSettingsAreThoseOfThePrograms(t *testing.T) {
	const begin, end = "<!-- settings: written by go test ./internal/deploycheck -update -->\n", "<!-- end of settings -->"
	text := projectFile(t, "docs/operations.md")
	before, rest, ok := strings.Cut(text, begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/operations.md has lost the marks around its table of settings")
	}
	want := settingsTable(t)
	if *update {
		path := filepath.Join(testsystem.Root(t), "docs", "operations.md")
		if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if have != want {
		t.Error("the table of settings in docs/operations.md is not that of the programs: run go test ./internal/deploycheck -update")
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		of   []time.Duration
		p    float64
		want time.Duration
	}{
		{hundred, 50, 50}, {hundred, 95, 95}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred, 0, 1},
		{hundred[:10], 99, 10}, {hundred[:10], 50, 5}, {hundred[:1], 50, 1}, {nil, 99, 0},
	} {
		if got := percentile(c.of, c.p); got != c.want {
			t.Errorf("percentile %g of %d values: %d, want %d", c.p, len(c.of), got, c.want)
		}
	}
}

func TestRowsOfAnyListAreCounted(t *testing.T) {
	for body, want := range map[string]int{
		`{"users":[{},{}],"next_cursor":null}`: 2, `{"events":[{}],"next_cursor":"x"}`: 1,
		`{"attempts":[]}`: 0, `{"sessions":[{},{},{}]}`: 3, `{"username":"anna"}`: 0, `no JSON`: 0,
	} {
		if got := countRows([]byte(body)); got != want {
			t.Errorf("%s: %d rows, want %d", body, got, want)
		}
	}
}

func TestFlagsOutOfRangeAreRefusedByName(t *testing.T) {
	for _, c := range [][]string{{"-events", "10"}, {"-until", "yesterday"}, {"-questions", "("}, {"-rate", "-1"}, {"-n", "0"}} {
		if _, err := parse(c); err == nil || !strings.Contains(err.Error(), c[0]) {
			t.Errorf("%v: %v", c, err)
		}
	}
	o, err := parse([]string{"-until", "2026-11-23T13:00:00+01:00"})
	if err != nil || o.until.Format(time.RFC3339) != "2026-11-23T12:00:00Z" {
		t.Errorf("until %s, %v", o.until, err)
	}
}

func TestComparisonMarksWhatMoreThanDoubled(t *testing.T) {
	a := report{Results: []result{{Name: "one", N: 5, P50: 2, P99: 4}, {Name: "two", N: 5, P50: 2, P99: 4}, {Name: "gone", N: 5, P50: 1}, {Name: "broken", Trouble: "x"}}}
	b := report{Results: []result{{Name: "one", N: 5, P50: 5, P99: 8}, {Name: "two", N: 5, P50: 3, P99: 8}, {Name: "new", N: 5, P50: 1}, {Name: "broken", N: 5, P50: 1}}}
	dir := t.TempDir()
	for name, r := range map[string]report{"a": a, "b": b} {
		if err := r.write(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	first, err := readReport(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := readReport(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	compare(&out, first, second)
	lines := map[string]string{}
	for line := range strings.Lines(out.String()) {
		name, rest, _ := strings.Cut(line, " ")
		lines[name] = rest
	}
	if !strings.Contains(lines["one"], "2.50") || !strings.Contains(lines["one"], "!") || strings.Contains(lines["two"], "!") {
		t.Errorf("compared:\n%s", out.String())
	}
	for _, name := range []string{"gone", "new", "broken"} {
		if _, ok := lines[name]; ok {
			t.Errorf("%s was not measured twice, but compared:\n%s", name, out.String())
		}
	}
	if _, err := readReport(filepath.Join(dir, "c")); err == nil || !strings.Contains(err.Error(), "read report") {
		t.Errorf("a report that is not there: %v", err)
	}
}

func TestCopyOfWhatWasLoadedSharesTheLargeFilesOfTables(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "loaded"), filepath.Join(t.TempDir(), "run")
	part := filepath.Join("clickhouse", "server", "data", "store", "abc", "part")
	large, small, log := filepath.Join(part, "data.bin"), filepath.Join(part, "count.txt"), filepath.Join("clickhouse", "server", "log", "large.log")
	for name, size := range map[string]int{large: linkFrom, small: 10, log: linkFrom} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inside := filepath.Join(from, "clickhouse", "inside")
	if err := os.Symlink(filepath.Join(from, part), inside); err != nil {
		t.Fatal(err)
	}
	if err := copyLoaded(from, to); err != nil {
		t.Fatal(err)
	}
	for name, shared := range map[string]bool{large: true, small: false, log: false} {
		a, err := os.Stat(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.Stat(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		if os.SameFile(a, b) != shared || a.Size() != b.Size() {
			t.Errorf("%s: shared is %v, want %v; %d of %d bytes", name, os.SameFile(a, b), shared, b.Size(), a.Size())
		}
	}
	if leads, err := os.Readlink(filepath.Join(to, "clickhouse", "inside")); err != nil || leads != filepath.Join(to, part) {
		t.Errorf("the link into the folder leads to %q, %v", leads, err)
	}
}

func TestRowsOfAnAnswerAreNamedAsThoseOfPostgreSQL(t *testing.T) {
	for body, want := range map[string]string{
		`{"username":"anna","sessions":[{"username":"anna"}]}`:    "anna",
		`{"users":[{"username":"a"},{"username":"b"}]}`:           "a,b",
		`{"events":[{"id":"1","username":"a"},{"id":"2"}]}`:       "1,2",
		`{"attempts":[{"session_id":"s-1"},{"session_id":null}]}`: "s-1,",
		`{"type":"about:blank","title":"Not Found","status":404}`: "",
		`<html>`: "",
	} {
		if got := strings.Join(keysOf([]byte(body)), ","); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	if got := firstDifference([]string{"a", "b"}, []string{"a", "c"}); !strings.Contains(got, `row 1 is "b" and "c"`) {
		t.Errorf("difference: %q", got)
	}
}

func TestMissingPostgreSQLIsToldWithWhatToInstall(t *testing.T) {
	t.Setenv("POSTGRES_BIN", t.TempDir())
	if _, err := postgresBinary("no-such-program"); err == nil || !strings.Contains(err.Error(), "install postgresql-15") {
		t.Errorf("no such program: %v", err)
	}
	if err := os.WriteFile(filepath.Join(os.Getenv("POSTGRES_BIN"), "mine"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if path, err := postgresBinary("mine"); err != nil || filepath.Dir(path) != os.Getenv("POSTGRES_BIN") {
		t.Errorf("POSTGRES_BIN is not heeded: %s, %v", path, err)
	}
}

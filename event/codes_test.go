package event

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strconv"
	"testing"

	"github.com/loginaudit/loginaudit/schema"
)

// codeTable reads schema/codes.csv: of one table, code to columns by name.
func codeTable(t *testing.T, table string) map[int]map[string]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(schema.Codes)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]map[string]string{}
	for _, row := range rows[1:] {
		columns := map[string]string{}
		for i, name := range rows[0] {
			columns[name] = row[i]
		}
		if columns["table"] == table {
			code, err := strconv.Atoi(columns["code"])
			if err != nil {
				t.Fatal(err)
			}
			all[code] = columns
		}
	}
	return all
}

func TestEntriesAreThoseOfTheTable(t *testing.T) {
	table := codeTable(t, "entry")
	for code := range 256 {
		row, known := table[code]
		if e := Entry(code); e.Valid() != known || e.Name() != row["name"] {
			t.Errorf("entry %d: %v %q, the table says %v %q", code, e.Valid(), e.Name(), known, row["name"])
		}
	}
	if got := Entries(); len(got) != len(table) || !slices.IsSorted(got) {
		t.Errorf("Entries() = %v", got)
	}
}

func TestStatusesAreThoseOfTheTableColumnByColumn(t *testing.T) {
	table := codeTable(t, "status")
	for code := range 256 {
		row, known := table[code]
		s := Status(code)
		rank := ""
		if known {
			rank = strconv.Itoa(int(s.Rank()))
		}
		got := []string{s.Name(), string(s.Kind()), string(s.Attempt()), string(s.Outcome()), string(s.Session()), rank}
		want := []string{row["name"], row["kind"], row["attempt"], row["outcome"], row["session"], row["rank"]}
		if s.Valid() != known || !slices.Equal(got, want) {
			t.Errorf("status %d: %q, the table says %q", code, got, want)
		}
		if known && (!slices.Contains(Kinds(), s.Kind()) || !slices.Contains(Outcomes(), s.Outcome())) {
			t.Errorf("status %d: kind %q or outcome %q is not listed", code, s.Kind(), s.Outcome())
		}
	}
	if got := Statuses(); len(got) != len(table) || !slices.IsSorted(got) {
		t.Errorf("Statuses() = %v", got)
	}
}

func TestEmptyUsernameIsAllowedForFourStatuses(t *testing.T) {
	var got []Status
	for code := range 256 {
		if s := Status(code); s.AllowsEmptyUsername() {
			got = append(got, s)
		}
	}
	if !slices.Equal(got, []Status{3, 9, 13, 14}) {
		t.Error(got)
	}
}

func TestFieldsAreFoundByTheirNames(t *testing.T) {
	for f := range fieldCount {
		if fieldOf(f.String()) != f {
			t.Errorf("field %d: %q", f, f)
		}
	}
	if fieldUnknown.String() != "" || fieldOf("Status") != fieldUnknown {
		t.Error("a name that the contract does not have is a field")
	}
}

func TestReasonsAreDistinctAndSayTheirRule(t *testing.T) {
	seen := map[Reason]bool{}
	for _, r := range Reasons() {
		if seen[r] || r.Rule() == "" {
			t.Errorf("reason %q: seen %v, rule %q", r, seen[r], r.Rule())
		}
		seen[r] = true
	}
	if Reason("other").Rule() != "" {
		t.Error("a reason that is not in the set has a rule")
	}
}

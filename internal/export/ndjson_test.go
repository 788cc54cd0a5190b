package export_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/internal/query"
)

// asLists writes a value as the lists of the API do.
func asLists(t testing.TB, v any) []byte {
	t.Helper()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestNDJSONLinesAreTheEventsOfTheListsByteForByte(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := someEvents(rt)
		var want []byte
		for _, e := range events {
			want = append(want, asLists(t, e)...)
		}
		end := map[string]any{"export": struct {
			Complete  bool            `json:"complete"`
			Events    int             `json:"events"`
			Watermark query.Watermark `json:"watermark"`
		}{true, len(events), mark()}}
		want = append(want, asLists(t, end)...)
		if got := written(t, query.ExportNDJSON, events); !bytes.Equal(got, want) {
			rt.Fatalf("got  %q\nwant %q", got, want)
		}
	})
}

func FuzzNDJSONTextIsThatOfTheLists(f *testing.F) {
	for _, seed := range []string{"", "ann", "\x00\b\f\n\r\t\"\\/\x7f", "<&>\u2028\u2029", "\xff", "😀\xf0\x9f"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e := realEvent(0)
		e.Username, e.Reason, e.Attributes = text, &text, map[string]string{text: text, "a": "", "": text}
		got, _, _ := bytes.Cut(written(t, query.ExportNDJSON, []query.Event{e}), []byte("\n"))
		if want := asLists(t, e); string(got)+"\n" != string(want) {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	})
}

func TestNDJSONOfNothingIsItsLastLine(t *testing.T) {
	want := `{"export":{"complete":true,"events":0,"watermark":{"stream_seq":77,"time":"2026-11-01T09:30:15.120034Z","lag_ms":3}}}` + "\n"
	if got := written(t, query.ExportNDJSON, nil); string(got) != want {
		t.Errorf("got %q", got)
	}
}

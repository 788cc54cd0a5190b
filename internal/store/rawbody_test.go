package store_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
)

// drawBody writes an event as one publisher or another would: with or without
// spaces, its members in any order, and with escapes where none are needed.
func drawBody(t *rapid.T, e event.Event) []byte {
	body, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatal(err)
	}
	members["occurred_at"] = drawTimeText(t, e)
	if rapid.Bool().Draw(t, "unknown member") {
		members["x"] = json.RawMessage(fmt.Sprintf(`{"id":%q,"entry":%d}`, e.ID, e.Entry))
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	comma := rapid.SampledFrom([]string{",", ", ", ",\n\t"}).Draw(t, "comma")
	colon := rapid.SampledFrom([]string{":", ": ", " : "}).Draw(t, "colon")
	var out []string
	for _, name := range rapid.Permutation(names).Draw(t, "order") {
		value := string(members[name])
		if rapid.IntRange(0, 9).Draw(t, "escape") == 0 {
			value = strings.Replace(value, "a", `\u0061`, 1)
		}
		out = append(out, fmt.Sprintf("%q%s%s", name, colon, value))
	}
	return []byte("{" + strings.Join(out, comma) + "}")
}

func drawTimeText(t *rapid.T, e event.Event) json.RawMessage {
	layouts := []string{"2006-01-02T15:04:05.000000Z"}
	if e.OccurredAt.Nanosecond()%1_000_000 == 0 {
		layouts = append(layouts, "2006-01-02T15:04:05.000Z")
	}
	if e.OccurredAt.Nanosecond() == 0 {
		layouts = append(layouts, "2006-01-02T15:04:05Z", "2006-01-02T15:04:05+00:00")
	}
	return json.RawMessage(`"` + e.OccurredAt.Format(rapid.SampledFrom(layouts).Draw(t, "layout")) + `"`)
}

func TestRawIsTheBodyByteForByte(t *testing.T) {
	db := openDatabase(t)
	var accounts accountNames
	rapid.Check(t, func(rt *rapid.T) {
		account := accounts.name("raw")
		want := make(map[uint64]string)
		var events []event.Stored
		for i, e := range drawEvents(rt, account, 20) {
			body := drawBody(rt, e.Event)
			decoded, hash, err := event.Decode(body)
			if err != nil {
				rt.Fatalf("%s: %v", body, err)
			}
			seq := uint64(i + 1)
			events = append(events, event.Stored{Event: decoded, Hash: hash, Raw: body, ReceivedAt: epoch, StreamSeq: seq})
			want[seq] = string(body)
		}
		if err := db.writer.Insert(t.Context(), events); err != nil {
			rt.Fatal(err)
		}
		rows, err := db.raw.Query(t.Context(), "SELECT stream_seq, raw FROM events WHERE account = '"+account+"'")
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		n := 0
		for ; rows.Next(); n++ {
			var seq uint64
			var raw string
			if err := rows.Scan(&seq, &raw); err != nil {
				rt.Fatal(err)
			}
			if raw != want[seq] {
				rt.Errorf("raw is  %q,\nwant %q", raw, want[seq])
			}
		}
		if rows.Err() != nil || n != len(want) {
			rt.Errorf("%d rows, error %v; want %d", n, rows.Err(), len(want))
		}
	})
}

// A database from before had the bodies themselves.
func TestBodiesFromBeforeOutlinesStay(t *testing.T) {
	db := openDatabase(t)
	body := `{"id":"old","account":"acme","username":"ada","entry":1,"status":1,"occurred_at":"2026-11-01T00:00:00Z"}`
	db.exec(t, "INSERT INTO events (account, occurred_at, rank, content_hash, id_text, username, entry, status, outline, version)"+
		" VALUES ('acme', '2026-11-01 00:00:00', 1, 'aaaaaaaaaaaaaaaa', 'old', 'ada', 1, 1, '"+body+"', 1)")
	if got := db.texts(t, "SELECT raw FROM events"); len(got) != 1 || got[0] != body {
		t.Errorf("raw %q, want %q", got, body)
	}
}

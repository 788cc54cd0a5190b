package export_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/export"
	"github.com/loginaudit/loginaudit/internal/query"
)

var at = time.Date(2026, 11, 1, 9, 30, 15, 120_034_000, time.UTC)

func about() export.About {
	return export.About{Account: "acme", Parameters: url.Values{"status": {"5", "1"}, "q": {"a&b"}}, At: at, Version: "1.2.3"}
}

func mark() query.Watermark {
	time := query.At(at)
	return query.Watermark{StreamSeq: 77, Time: &time, LagMS: 3}
}

// written is what an encoder makes of the events, given in two parts.
func written(t testing.TB, format query.ExportFormat, events []query.Event) []byte {
	t.Helper()
	var out bytes.Buffer
	e := export.New(format, &out, about())
	half := len(events) / 2
	for _, part := range [][]query.Event{events[:half], events[half:]} {
		if err := e.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(mark()); err != nil {
		t.Fatal(err)
	}
	if e.Events() != uint64(len(events)) {
		t.Errorf("the encoder counts %d events of %d", e.Events(), len(events))
	}
	return out.Bytes()
}

// someText has what encoders like to change, and bytes that are no UTF-8.
func someText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"", "ann", "=1+1", "+49", "-3", "@SUM(A1)", "\t=1", "\r=1", "＝1", "'quoted", " =1", "a,b", `a"b`, `"`, "a\r\nb", "\n",
			"<b>&amp;</b>", "\u2028\u2029", "\x00\x01\x1f\x7f", "名前", "\xff\xfe", "a\xc3", "ÄÖÜ😀", `\`, `\u0041`, "\b\f",
		}),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
}

func optional(rt *rapid.T, label string) *string {
	return rapid.Ptr(someText(), true).Draw(rt, label)
}

func someTime(rt *rapid.T, label string) query.Timestamp {
	return query.At(time.UnixMicro(rapid.Int64Range(631152000e6, 10413792000e6-1).Draw(rt, label)))
}

func someEvent(rt *rapid.T) query.Event {
	status := rapid.SampledFrom(event.Statuses()).Draw(rt, "status")
	entry := rapid.SampledFrom(event.Entries()).Draw(rt, "entry")
	e := query.Event{
		ID: someText().Draw(rt, "id"), Account: "acme", Username: someText().Draw(rt, "username"), OccurredAt: someTime(rt, "at"),
		Entry: entry, EntryName: entry.Name(), Status: status, StatusName: status.Name(), Kind: status.Kind(), Outcome: status.Outcome(),
		SessionID: optional(rt, "session"), IP: optional(rt, "ip"), UserAgent: optional(rt, "agent"), Service: optional(rt, "service"),
		MFAMethod: rapid.Ptr(rapid.SampledFrom(event.MFAMethods()), true).Draw(rt, "mfa"),
		DeviceID:  optional(rt, "device"), RequestID: optional(rt, "request"), Reason: optional(rt, "reason"),
		ReceivedAt: someTime(rt, "received"), IngestedAt: someTime(rt, "ingested"),
		StreamSeq: rapid.Uint64Range(1, 1<<63-1).Draw(rt, "seq"), Conflict: rapid.Bool().Draw(rt, "conflict"),
	}
	if rapid.Bool().Draw(rt, "attributes") {
		e.Attributes = rapid.MapOf(someText(), someText()).Draw(rt, "attribute")
	}
	copy(e.Hash[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "hash"))
	return e
}

func someEvents(rt *rapid.T) []query.Event {
	return rapid.SliceOfN(rapid.Custom(someEvent), 0, 5).Draw(rt, "events")
}

// realEvent is one as services send it.
func realEvent(i int) query.Event {
	text := func(s string) *string { return &s }
	e := query.Event{
		ID: "01890a5d-ac96-774b-bcce-b302099a8057", Account: "acme", Username: "user4711@example.com",
		OccurredAt: query.At(at.Add(time.Duration(i) * time.Second)), Entry: 1, EntryName: event.Entry(1).Name(),
		Status: 21, StatusName: event.Status(21).Name(), Kind: event.KindMFA, Outcome: event.OutcomeSuccess,
		SessionID: text("session-0123456789abcdef"), IP: text("203.0.113.77"),
		UserAgent: text("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"),
		Service:   text("sso"), MFAMethod: (*event.MFAMethod)(text("totp")), Attributes: map[string]string{"country": "DE", "tenant": "blue"},
		ReceivedAt: query.At(at), IngestedAt: query.At(at), StreamSeq: uint64(i) + 1,
	}
	e.Hash[0], e.Hash[1], e.Hash[2] = byte(i), byte(i>>8), byte(i>>16)
	return e
}

func realEvents(n int) []query.Event {
	events := make([]query.Event, n)
	for i := range events {
		events[i] = realEvent(i)
	}
	return events
}

// TestExportHoldsAsMuchMemoryForAThousandBatchesAsForAHundred counts what is alive
// after a collection, at the moments when most is.
func TestExportHoldsAsMuchMemoryForAThousandBatchesAsForAHundred(t *testing.T) {
	batch := realEvents(1000)
	for _, format := range query.ExportFormats() {
		t.Run(string(format), func(t *testing.T) {
			e := export.New(format, io.Discard, about())
			few := most(t, e, batch, 100)
			many := most(t, e, batch, 900)
			if many > few+few/4+1<<20 {
				t.Errorf("%d bytes are alive with a million events, %d with a hundred thousand", many, few)
			}
			if err := e.Close(mark()); err != nil || e.Events() != 1_000_000 {
				t.Errorf("%d events, %v", e.Events(), err)
			}
		})
	}
}

// most writes a batch n times and is the most that is alive meanwhile.
func most(t *testing.T, e export.Encoder, batch []query.Event, n int) (alive uint64) {
	t.Helper()
	for i := range n {
		if err := e.Write(batch); err != nil {
			t.Fatal(err)
		}
		if i%(n/20) == 0 {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			alive = max(alive, stats.HeapAlloc)
		}
	}
	return alive
}

func TestExportTellsTheErrorOfItsWriter(t *testing.T) {
	for _, format := range query.ExportFormats() {
		t.Run(string(format), func(t *testing.T) {
			reader, writer := io.Pipe()
			if err := reader.Close(); err != nil {
				t.Fatal(err)
			}
			e := export.New(format, writer, about())
			err := e.Write(realEvents(1))
			if err == nil {
				err = e.Close(mark())
			}
			if err == nil {
				t.Error("nobody reads, and no error is told")
			}
		})
	}
}

func TestExportThatIsBrokenIsNotWhole(t *testing.T) {
	problem := json.RawMessage(`{"status":503}`)
	for _, format := range query.ExportFormats() {
		t.Run(string(format), func(t *testing.T) {
			var out bytes.Buffer
			e := export.New(format, &out, about())
			if err := e.Write(realEvents(2)); err != nil {
				t.Fatal(err)
			}
			if err := e.Break(problem); err != nil {
				t.Fatal(err)
			}
			whole := written(t, format, realEvents(2))
			switch {
			case !export.ProvesItself(format):
				if !bytes.HasPrefix(whole, out.Bytes()) {
					t.Errorf("a broken export has what a whole one has not: %q", out.Bytes())
				}
			case format == query.ExportParquet:
				if bytes.HasSuffix(out.Bytes(), []byte("PAR1")) || !bytes.HasSuffix(whole, []byte("PAR1")) {
					t.Error("the footer does not tell a whole export from a broken one")
				}
			default:
				want := `{"export":{"complete":false,"events":2,"error":{"status":503}}}` + "\n"
				if !bytes.HasSuffix(out.Bytes(), []byte(want)) {
					t.Errorf("the last line is %q, want %s", lastLine(out.Bytes()), want)
				}
			}
		})
	}
}

func lastLine(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return b[bytes.LastIndexByte(b, '\n')+1:]
}

func TestExportNamesItsMediaTypeAndExtension(t *testing.T) {
	want := map[query.ExportFormat][2]string{
		query.ExportNDJSON:  {"application/x-ndjson", ".ndjson"},
		query.ExportCSV:     {"text/csv; charset=utf-8; header=present", ".csv"},
		query.ExportParquet: {"application/vnd.apache.parquet", ".parquet"},
		query.ExportOCSF:    {"application/x-ndjson", ".ocsf.ndjson"},
	}
	for _, format := range query.ExportFormats() {
		if got := [2]string{export.MediaType(format), export.Extension(format)}; got != want[format] {
			t.Errorf("%s: %v, want %v", format, got, want[format])
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	events := realEvents(10_000)
	for _, format := range query.ExportFormats() {
		b.Run(string(format), func(b *testing.B) {
			e := export.New(format, io.Discard, about())
			for b.Loop() {
				if err := e.Write(events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(e.Events())/b.Elapsed().Seconds(), "events/s")
		})
	}
}

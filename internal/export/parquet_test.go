package export_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// parquetRow is a row as a reader sees it that knows the columns by name.
type parquetRow struct {
	ID         string            `parquet:"id"`
	Account    string            `parquet:"account"`
	Username   string            `parquet:"username"`
	OccurredAt int64             `parquet:"occurred_at,timestamp(microsecond)"`
	Entry      int32             `parquet:"entry"`
	EntryName  string            `parquet:"entry_name"`
	Status     int32             `parquet:"status"`
	StatusName string            `parquet:"status_name"`
	Kind       string            `parquet:"kind"`
	Outcome    string            `parquet:"outcome"`
	SessionID  *string           `parquet:"session_id"`
	IP         *string           `parquet:"ip"`
	UserAgent  *string           `parquet:"user_agent"`
	Service    *string           `parquet:"service"`
	MFAMethod  *string           `parquet:"mfa_method"`
	DeviceID   *string           `parquet:"device_id"`
	RequestID  *string           `parquet:"request_id"`
	Reason     *string           `parquet:"reason"`
	Attributes map[string]string `parquet:"attributes,optional"`
	ReceivedAt int64             `parquet:"received_at,timestamp(microsecond)"`
	IngestedAt int64             `parquet:"ingested_at,timestamp(microsecond)"`
	StreamSeq  int64             `parquet:"stream_seq"`
	Conflict   bool              `parquet:"conflict"`
}

func (r parquetRow) event() query.Event {
	return query.Event{
		ID: r.ID, Account: r.Account, Username: r.Username, OccurredAt: query.At(time.UnixMicro(r.OccurredAt)),
		Entry: event.Entry(r.Entry), EntryName: r.EntryName, Status: event.Status(r.Status), StatusName: r.StatusName,
		Kind: event.Kind(r.Kind), Outcome: event.Outcome(r.Outcome), SessionID: r.SessionID, IP: r.IP, UserAgent: r.UserAgent,
		Service: r.Service, MFAMethod: (*event.MFAMethod)(r.MFAMethod), DeviceID: r.DeviceID, RequestID: r.RequestID, Reason: r.Reason,
		Attributes: r.Attributes, ReceivedAt: query.At(time.UnixMicro(r.ReceivedAt)), IngestedAt: query.At(time.UnixMicro(r.IngestedAt)),
		StreamSeq: uint64(r.StreamSeq), Conflict: r.Conflict,
	}
}

func openParquet(t testing.TB, text []byte) *parquet.File {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func readParquet(t testing.TB, text []byte) []query.Event {
	t.Helper()
	reader := parquet.NewGenericReader[parquetRow](openParquet(t, text))
	rows := make([]parquetRow, reader.NumRows())
	if n, err := reader.Read(rows); n != len(rows) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%d of %d rows, %v", n, len(rows), err)
	}
	events := make([]query.Event, len(rows))
	for i, row := range rows {
		events[i] = row.event()
	}
	return events
}

func TestParquetGivesEveryValueBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := someEvents(rt)
		got := readParquet(t, written(t, query.ExportParquet, events))
		for i := range events {
			events[i].Hash = event.Hash{} // is no member
			if len(events[i].Attributes) == 0 && len(got[i].Attributes) == 0 {
				got[i].Attributes = events[i].Attributes
			}
			if !reflect.DeepEqual(got[i], events[i]) {
				rt.Fatalf("got  %s\nwant %s", asLists(t, got[i]), asLists(t, events[i]))
			}
		}
	})
}

func TestParquetHasTypedColumnsWithTheNamesOfTheContract(t *testing.T) {
	want := `message event {
	required binary id (STRING);
	required binary account (STRING);
	required binary username (STRING);
	required int64 occurred_at (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	required int32 entry (INT(32,true));
	required binary entry_name (STRING);
	required int32 status (INT(32,true));
	required binary status_name (STRING);
	required binary kind (STRING);
	required binary outcome (STRING);
	optional binary session_id (STRING);
	optional binary ip (STRING);
	optional binary user_agent (STRING);
	optional binary service (STRING);
	optional binary mfa_method (STRING);
	optional binary device_id (STRING);
	optional binary request_id (STRING);
	optional binary reason (STRING);
	optional group attributes (MAP) {
		repeated group key_value {
			required binary key (STRING);
			required binary value (STRING);
		}
	}
	required int64 received_at (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	required int64 ingested_at (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	required int64 stream_seq (INT(64,true));
	required boolean conflict;
}`
	if got := openParquet(t, written(t, query.ExportParquet, realEvents(1))).Schema().String(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestParquetTellsInItsFooterWhatItIs(t *testing.T) {
	file := openParquet(t, written(t, query.ExportParquet, realEvents(3)))
	for key, want := range map[string]string{
		"loginaudit.account":    "acme",
		"loginaudit.parameters": "q=a%26b&status=5&status=1",
		"loginaudit.at":         "2026-11-01T09:30:15.120034Z",
		"loginaudit.events":     "3",
		"loginaudit.watermark":  `{"stream_seq":77,"time":"2026-11-01T09:30:15.120034Z","lag_ms":3}`,
		"loginaudit.complete":   "true",
	} {
		if got, ok := file.Lookup(key); !ok || got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestParquetIsCutIntoRowGroupsByRowsAndByBytes(t *testing.T) {
	groups := func(events []query.Event) (n int) {
		file := openParquet(t, written(t, query.ExportParquet, events))
		for _, g := range file.RowGroups() {
			if g.NumRows() > 50_000 {
				t.Errorf("a row group has %d rows", g.NumRows())
			}
			n++
		}
		return n
	}
	if n := groups(realEvents(120_000)); n != 3 {
		t.Errorf("120,000 small events are in %d row groups, want 3", n)
	}
	long := string(bytes.Repeat([]byte("x"), 20_000))
	events := realEvents(2000)
	for i := range events {
		events[i].Reason = &long
	}
	if n := groups(events); n != 3 {
		t.Errorf("40 MB in 2,000 events are in %d row groups, want 3 of 16 MiB", n)
	}
}

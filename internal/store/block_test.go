package store

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
)

// encoded are the block's columns as they are sent.
func encoded(t rapid.TB, b *Block) []byte {
	t.Helper()
	var out proto.Buffer
	for _, c := range b.input {
		if c.Data.Rows() != b.Rows() {
			t.Fatalf("column %s has %d rows of %d", c.Name, c.Data.Rows(), b.Rows())
		}
		if c, ok := c.Data.(proto.Preparable); ok {
			if err := c.Prepare(); err != nil {
				t.Fatal(err)
			}
		}
		out.PutString(c.Name)
		c.Data.EncodeColumn(&out)
	}
	return out.Buf
}

// anyBody has no control characters but white space, as no text of JSON has.
var anyBody = rapid.StringMatching(`[\t\n\r -~é]*`)

// anyStored is an event with any content: a block does not validate.
func anyStored() *rapid.Generator[event.Stored] {
	return rapid.Custom(func(t *rapid.T) event.Stored {
		text := func(name string) string { return rapid.String().Draw(t, name) }
		e := event.Stored{Event: event.Event{
			ID: text("id"), Account: text("account"), Username: text("username"), SessionID: text("session_id"),
			UserAgent: text("user_agent"), Service: text("service"), MFAMethod: event.MFAMethod(text("mfa_method")),
			DeviceID: text("device_id"), RequestID: text("request_id"), Reason: text("reason"),
			Entry: event.Entry(rapid.Uint8().Draw(t, "entry")), Status: rapid.SampledFrom(event.Statuses()).Draw(t, "status"),
			OccurredAt: time.Date(1990+rapid.IntRange(0, 50).Draw(t, "year"), 1, 1, 0, 0, 0, 1000, time.UTC),
		}, Raw: []byte(anyBody.Draw(t, "raw")), StreamSeq: rapid.Uint64().Draw(t, "stream_seq")}
		if rapid.Bool().Draw(t, "has address") {
			e.IP = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "ip")))
		}
		if rapid.Bool().Draw(t, "has attributes") {
			e.Attributes = map[string]string{text("key"): text("value")} // one: maps have no order
		}
		return e
	})
}

func TestBlockThatIsUsedAgainSendsWhatAFreshOneSends(t *testing.T) {
	used := NewBlock()
	rapid.Check(t, func(rt *rapid.T) {
		used.Reset()
		fresh := NewBlock()
		for _, e := range rapid.SliceOf(anyStored()).Draw(rt, "events") {
			used.Add(&e)
			fresh.Add(&e)
		}
		if !bytes.Equal(encoded(rt, used), encoded(rt, fresh)) {
			rt.Fatal("a block that was used before sends something else")
		}
	})
}

func TestPartOfABlockSendsItsRowsAndNoOthers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := rapid.SliceOfN(anyStored(), 1, 20).Draw(rt, "events")
		from := rapid.IntRange(0, len(events)-1).Draw(rt, "from")
		to := rapid.IntRange(from+1, len(events)).Draw(rt, "to")
		whole, want := NewBlock(), NewBlock()
		for i, e := range events {
			whole.Add(&e)
			if i >= from && i < to {
				want.Add(&e)
			}
			if got := whole.Raw(i); !bytes.Equal(got, e.Raw) {
				rt.Fatalf("the body of row %d is %q, want %q", i, got, e.Raw)
			}
		}
		parts := whole.parts(from, to)
		if len(parts) != 1 || !bytes.Equal(encoded(rt, parts[0]), encoded(rt, want)) {
			rt.Fatalf("rows [%d, %d) of %d are %d parts, or send something else", from, to, len(events), len(parts))
		}
	})
}

// The texts of an event from an [event.Decoder] lie in the message's memory.
func TestBlockSharesNoMemoryWithTheMessages(t *testing.T) {
	body := []byte(`{"account":"acme","attributes":{"k":"v"},"entry":1,"id":"one","mfa_method":"totp",` +
		`"occurred_at":"2026-01-01T00:00:00Z","service":"web","status":24,"username":"ada"}`)
	add := func(b *Block, body []byte) {
		var d event.Decoder
		e, hash, err := d.Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		b.Add(&event.Stored{Event: e, Hash: hash, Raw: body})
	}
	b, want := NewBlock(), NewBlock()
	add(b, body)
	add(want, bytes.Clone(body))
	clear(body)
	if !bytes.Equal(encoded(t, b), encoded(t, want)) {
		t.Error("the block changed with the message's memory")
	}
}

func TestMemoryOfABlockOfLongTextsIsGivenBack(t *testing.T) {
	b := NewBlock()
	for i := range 100 {
		b.Add(&event.Stored{Event: event.Event{ID: fmt.Sprint(i)}, Raw: make([]byte, 64<<10)})
	}
	b.Reset()
	for i := range 100 {
		b.Add(&event.Stored{Event: event.Event{ID: fmt.Sprint(i)}, Raw: []byte("short")})
	}
	b.Reset()
	if got := cap(b.outline.sent); got > keepBelow {
		t.Errorf("a block of short texts keeps %d bytes, want at most %d", got, keepBelow)
	}
}

func TestEventCostsABlockNoAllocation(t *testing.T) {
	b := NewBlock()
	e := &event.Stored{Event: event.Event{
		ID: "019aae4c-02b5-722a-8f87-79a5432f6dad", Account: "acme", Username: "ada", Service: "web", Status: 1, Entry: 1,
		OccurredAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}, Raw: make([]byte, 400)}
	fill := func() {
		for range 1000 {
			b.Add(e)
		}
		b.Reset()
	}
	fill()
	if n := testing.AllocsPerRun(10, fill); n > 10 {
		t.Errorf("1,000 events cost %v allocations, want next to none", n)
	}
}

package publish

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
)

// encoded is a segment's data and where each record ends.
type encoded struct {
	records []record
	data    []byte
	ends    []int
}

func anySegment(t *rapid.T) encoded {
	var e encoded
	for i := range rapid.IntRange(0, 8).Draw(t, "records") {
		r := record{seq: uint64(i + 1), stored: time.UnixMicro(rapid.Int64().Draw(t, "stored")).UTC()}
		r.msg = Message{
			Subject: rapid.StringN(0, 20, maxSubject).Draw(t, "subject"),
			Body:    rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "body"),
			Ref:     r.seq,
		}
		copy(r.msg.Hash[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hash"))
		data, err := encodeRecord(r.msg, r.stored)
		if err != nil {
			t.Fatal(err)
		}
		seal(data, r.seq)
		e.records = append(e.records, r)
		e.data = append(e.data, data...)
		e.ends = append(e.ends, len(e.data))
	}
	return e
}

func scanned(data []byte) (records []record, damaged []stretch, end int64) {
	damaged, end = scan(data, func(r record, _ int64, _ int) { records = append(records, r) })
	return records, damaged, end
}

func sameRecord(a, b record) bool {
	return a.seq == b.seq && a.stored.Equal(b.stored) && a.msg.Subject == b.msg.Subject &&
		bytes.Equal(a.msg.Body, b.msg.Body) && a.msg.Hash == b.msg.Hash && a.msg.Ref == b.msg.Ref
}

func TestRecordsBeforeACutAreAllReadAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anySegment(t)
		cut := rapid.IntRange(0, len(e.data)).Draw(t, "cut")
		whole := 0
		for whole < len(e.ends) && e.ends[whole] <= cut {
			whole++
		}
		want := 0
		if whole > 0 {
			want = e.ends[whole-1]
		}
		records, damaged, end := scanned(e.data[:cut])
		if !slices.EqualFunc(records, e.records[:whole], sameRecord) || len(damaged) > 0 || end != int64(want) {
			t.Fatalf("cut at %d: %d records, end %d, damaged %v, want %d records and end %d", cut, len(records), end, damaged, whole, want)
		}
	})
}

func TestDamageCostsOnlyTheRecordThatItHitsAndIsTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anySegment(t)
		if len(e.data) == 0 {
			return
		}
		at := rapid.IntRange(0, len(e.data)-1).Draw(t, "at")
		e.data[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		hit := slices.IndexFunc(e.ends, func(end int) bool { return at < end })
		from := 0
		if hit > 0 {
			from = e.ends[hit-1]
		}
		records, damaged, end := scanned(e.data)
		if want := slices.Delete(slices.Clone(e.records), hit, hit+1); !slices.EqualFunc(records, want, sameRecord) {
			t.Fatalf("records are %v, want %v", records, want)
		}
		last := hit == len(e.records)-1
		switch told := []stretch{{int64(from), int64(e.ends[hit] - from)}}; {
		case last && (len(damaged) > 0 || end != int64(from)):
			t.Fatalf("damage of the last record is told as %v with end %d, want the end %d", damaged, end, from)
		case !last && (!slices.Equal(damaged, told) || end != int64(len(e.data))):
			t.Fatalf("damage is told as %v with end %d, want %v", damaged, end, told)
		}
	})
}

func TestZerosAreNoRecord(t *testing.T) {
	if _, _, err := decodeRecord(make([]byte, 4096)); !errors.Is(err, errBroken) {
		t.Errorf("error is %v, want %v", err, errBroken)
	}
}

func TestSubjectThatIsTooLongForARecordIsInvalid(t *testing.T) {
	_, err := encodeRecord(Message{Subject: string(make([]byte, maxSubject+1))}, time.Now())
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("error is %v, want %v", err, ErrInvalid)
	}
}

// FuzzScan reads any file: what it finds, what it tells as damaged and the torn
// end make up the file, and what it finds encodes to the same bytes again.
func FuzzScan(f *testing.F) {
	m, err := NewMessage(event.Event{ID: "e-1", Account: "acme", Username: "ada", Entry: 1, Status: 1, OccurredAt: time.Unix(1.7e9, 0)})
	if err != nil {
		f.Fatal(err)
	}
	one, err := encodeRecord(m, time.Unix(1.7e9, 0))
	if err != nil {
		f.Fatal(err)
	}
	seal(one, 1)
	f.Add([]byte{})
	f.Add(one)
	f.Add(append(append(slices.Clone(one), "damage"...), one...))
	f.Add(one[:len(one)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		covered := int64(0)
		damaged, end := scan(data, func(r record, offset int64, size int) {
			covered += int64(size)
			again, err := encodeRecord(r.msg, r.stored)
			if err != nil {
				t.Fatal(err)
			}
			seal(again, r.seq)
			if !bytes.Equal(again, data[offset:offset+int64(size)]) {
				t.Fatalf("the record at %d encodes to other bytes", offset)
			}
		})
		for _, d := range damaged {
			covered += d.size
		}
		if covered != end || end > int64(len(data)) {
			t.Fatalf("records and damage cover %d of %d bytes, and the end is at %d", covered, len(data), end)
		}
	})
}

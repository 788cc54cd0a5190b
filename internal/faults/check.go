package faults

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/stream"
)

const (
	// maxWorkerMemory is the most memory that a worker may ever have had
	// resident; the race detector multiplies it.
	maxWorkerMemory = 300 << 20 * raceFactor
	// maxWorkerGoroutines is the most goroutines that a worker has at rest.
	maxWorkerGoroutines = 150
	// shown is how many differences of one kind are told.
	shown = 5
)

// report collects what is wrong of one kind, and tells the first of it.
type report struct {
	what  string
	wrong []string
	more  int
}

func (r *report) add(format string, args ...any) {
	if len(r.wrong) == shown {
		r.more++
		return
	}
	r.wrong = append(r.wrong, fmt.Sprintf(format, args...))
}

func (s *System) tell(r *report) {
	s.tb.Helper()
	if len(r.wrong) > 0 {
		s.tb.Errorf("%s: %s\nand %d more", r.what, strings.Join(r.wrong, "\n"), r.more)
	}
}

// Check waits until everything in the stream is stored or parked and the
// watermark says so, and then fails the test unless all of this holds:
//
//   - every confirmed message is in the stream, byte for byte, and nothing is
//     there that nobody sent;
//   - each valid message of the stream is in ClickHouse exactly once, its bytes
//     are the message's, it has the place of its first appearance, and there is
//     nothing else; the API lists the same, once each;
//   - each invalid message is parked exactly once, byte for byte, and nothing else;
//   - users, and the log-in histories of some of them, are those of a plain fold
//     over the stream;
//   - no watermark that the API gave claimed an event that could not be found
//     then, or a moment before which the stream received more;
//   - the workers that run are within their bounds of memory and goroutines.
//
// Workers, servers and the query service must run, or the wait ends in vain. It
// may be called several times in a test. A stream that was deleted and made again
// is beyond it.
func (s *System) Check() {
	s.tb.Helper()
	began := time.Now()
	s.Drain()
	drained := time.Since(began)
	t := s.readTruth()
	s.checkStream(t)
	s.checkRows(t)
	s.checkParked(t)
	s.checkAnswers(t)
	s.checkWatermarks(t)
	s.checkWorkers()
	s.tb.Logf("checked in %s, of which %s for the lag: %d messages, %d events of which %d were confirmed, %d invalid",
		time.Since(began).Round(time.Millisecond), drained.Round(time.Millisecond),
		t.messages, len(t.events), s.Confirmed(), len(t.invalid))
}

// Drain waits until the watermark is at the end of the stream: the lag is 0.
func (s *System) Drain() {
	s.tb.Helper()
	s.Until("the lag is 0", func() error {
		info, err := s.StreamInfo()
		if err != nil {
			return err
		}
		mark, err := s.Watermark()
		if err == nil && mark.StreamSeq != info.State.LastSeq {
			err = fmt.Errorf("the watermark is at %d, the stream's last sequence is %d", mark.StreamSeq, info.State.LastSeq)
		}
		return err
	})
}

// truth is what the stream holds.
type truth struct {
	messages int
	// all are the valid messages in order, repeats among them; events the first
	// of each content.
	all     []event.Stored
	events  map[event.Hash]event.Stored
	invalid map[uint64]Invalid
	times   []received
}

// received is when the stream took a message.
type received struct {
	seq uint64
	at  time.Time
}

// readTruth reads the whole stream, past workers and proxies.
func (s *System) readTruth() *truth {
	s.tb.Helper()
	t := &truth{events: map[event.Hash]event.Stored{}, invalid: map[uint64]Invalid{}}
	ctx, cancel := context.WithTimeout(s.tb.Context(), time.Minute)
	defer cancel()
	info, err := s.StreamInfo()
	if err != nil {
		s.tb.Fatalf("faults: read stream: %v", err)
	}
	if info.State.Msgs == 0 {
		return t
	}
	err = s.eachMessage(ctx, func(msg *nats.Msg, meta *nats.MsgMetadata) (more bool) {
		t.add(msg, meta)
		return meta.Sequence.Stream < info.State.LastSeq
	})
	if err != nil {
		s.tb.Fatalf("faults: read stream: %v", err)
	}
	return t
}

func (t *truth) add(msg *nats.Msg, meta *nats.MsgMetadata) {
	t.messages++
	at := meta.Timestamp.UTC()
	t.times = append(t.times, received{meta.Sequence.Stream, at})
	e, hash, err := event.Decode(msg.Data)
	if err == nil {
		err = errors.Join(e.CheckSubject(msg.Subject), e.CheckReceived(at))
	}
	if err != nil {
		t.invalid[meta.Sequence.Stream] = Invalid{msg.Subject, msg.Data, meta.Sequence.Stream}
		return
	}
	stored := event.Stored{Event: e, Hash: hash, Raw: msg.Data, ReceivedAt: at, StreamSeq: meta.Sequence.Stream}
	t.all = append(t.all, stored)
	if _, again := t.events[hash]; !again {
		t.events[hash] = stored
	}
}

// checkStream holds the stream against what was sent and confirmed.
func (s *System) checkStream(t *truth) {
	s.tb.Helper()
	lost := &report{what: "confirmed, but not in the stream"}
	for hash, c := range s.ledger.events() {
		if _, there := t.events[hash]; !there {
			lost.add("%d %s", c.seq, c.message.Body)
		}
	}
	for seq, m := range s.ledger.invalids() {
		if there, ok := t.invalid[seq]; !ok || string(there.Body) != string(m.Body) || there.Subject != m.Subject {
			lost.add("invalid %d %s %q", seq, m.Subject, m.Body)
		}
	}
	s.tell(lost)
	invented := &report{what: "in the stream, but never sent"}
	for _, e := range t.all {
		if !s.ledger.wasSent(e.Subject(), e.Raw) {
			invented.add("%d %s", e.StreamSeq, e.Raw)
		}
	}
	for _, m := range t.invalid {
		if !s.ledger.wasSent(m.Subject, m.Body) {
			invented.add("%d %s %q", m.Seq, m.Subject, m.Body)
		}
	}
	s.tell(invented)
}

// storedRow is a row of the table events.
type storedRow struct {
	account, hash, raw string
	seq                uint64
}

// checkRows holds the table of facts against the stream.
func (s *System) checkRows(t *truth) {
	s.tb.Helper()
	rows, err := s.rows()
	if err != nil {
		s.tb.Fatalf("faults: read rows: %v", err)
	}
	wrong := &report{what: "ClickHouse is not as the stream"}
	seen := map[event.Hash]bool{}
	for _, row := range rows {
		bytes, err := hex.DecodeString(row.hash)
		if err != nil || len(bytes) != len(event.Hash{}) {
			wrong.add("%q is no hash", row.hash)
			continue
		}
		hash := event.Hash(bytes)
		want, ok := t.events[hash]
		switch {
		case !ok:
			wrong.add("invented: %d %s", row.seq, row.raw)
		case seen[hash]:
			wrong.add("doubled: %d %s", row.seq, row.raw)
		case row.raw != string(want.Raw), row.account != want.Account:
			wrong.add("not the same bytes: %s %s\nwant %s %s", row.account, row.raw, want.Account, want.Raw)
		case row.seq != want.StreamSeq:
			wrong.add("sequence %d, want %d: %s", row.seq, want.StreamSeq, row.raw)
		}
		seen[hash] = true
	}
	for hash, e := range t.events {
		if !seen[hash] {
			wrong.add("lost: %d %s", e.StreamSeq, e.Raw)
		}
	}
	for _, table := range []string{"events_by_user", "event_ids"} {
		n, err := s.Count("SELECT count() FROM " + table + " FINAL")
		if err := errors.Join(err, Exactly(n, uint64(len(t.events)))); err != nil {
			wrong.add("rows of %s: %v", table, err)
		}
	}
	s.tell(wrong)
}

// rows reads all distinct events.
func (s *System) rows() ([]storedRow, error) {
	var all []storedRow
	err := s.sql(s.tb.Context(), func(ctx context.Context, conn driver.Conn) error {
		rows, err := conn.Query(ctx, "SELECT account, hex(content_hash), raw, stream_seq FROM events FINAL")
		if err != nil {
			return err
		}
		for rows.Next() {
			var r storedRow
			if err := rows.Scan(&r.account, &r.hash, &r.raw, &r.seq); err != nil {
				return errors.Join(err, rows.Close())
			}
			all = append(all, r)
		}
		return errors.Join(rows.Err(), rows.Close())
	})
	return all, err
}

// checkParked holds LOGIN_PARKED against the invalid messages of the stream.
func (s *System) checkParked(t *truth) {
	s.tb.Helper()
	wrong := &report{what: "parked is not invalid"}
	seen := map[uint64]bool{}
	for m, err := range stream.NewInbox(s.operator).List(s.tb.Context(), stream.ParkedFilter{}) {
		if err != nil {
			s.tb.Fatalf("faults: read parked messages: %v", err)
		}
		want, ok := t.invalid[m.StreamSeq]
		switch {
		case !ok:
			wrong.add("parked, but valid: %d %s %q", m.StreamSeq, m.Subject, m.Body)
		case seen[m.StreamSeq]:
			wrong.add("parked twice: %d", m.StreamSeq)
		case m.Subject != want.Subject, string(m.Body) != string(want.Body):
			wrong.add("not the same bytes: %s %q\nwant %s %q", m.Subject, m.Body, want.Subject, want.Body)
		}
		seen[m.StreamSeq] = true
	}
	for seq, m := range t.invalid {
		if !seen[seq] {
			wrong.add("not parked: %d %s %q", seq, m.Subject, m.Body)
		}
	}
	s.tell(wrong)
}

// checkWatermarks looks at what the API claimed while the test ran.
func (s *System) checkWatermarks(t *truth) {
	s.tb.Helper()
	wrong, marks, checked := s.watch.findings()
	r := &report{what: "a watermark claimed too much"}
	for _, w := range wrong {
		r.add("%s", w)
	}
	// earliest[i] is the earliest of the messages from place i on.
	earliest := slices.Clone(t.times)
	for i := len(earliest) - 2; i >= 0; i-- {
		if earliest[i+1].at.Before(earliest[i].at) {
			earliest[i] = earliest[i+1]
		}
	}
	for _, mark := range marks {
		beyond := sort.Search(len(t.times), func(i int) bool { return t.times[i].seq > mark.StreamSeq })
		if mark.Time == nil || beyond == len(earliest) {
			continue
		}
		if m := earliest[beyond]; m.at.Before(mark.Time.Time) {
			r.add("it claims all before %s, and %d, but %d was received at %s", mark.Time, mark.StreamSeq, m.seq, m.at)
		}
	}
	s.tell(r)
	s.tb.Logf("looked at %d watermarks and found %d events in time", len(marks), checked)
}

// checkWorkers looks at what the workers take.
func (s *System) checkWorkers() {
	s.tb.Helper()
	for i, w := range s.workers {
		if peak := w.Peak(); peak > maxWorkerMemory {
			s.tb.Errorf("worker %d had %d MiB resident, at most %d are allowed", i, peak>>20, maxWorkerMemory>>20)
		}
		if !w.runs() {
			continue
		}
		if n := w.Metric("go_goroutines"); n > maxWorkerGoroutines {
			s.tb.Errorf("worker %d has %v goroutines, at most %d are allowed", i, n, maxWorkerGoroutines)
		}
	}
}

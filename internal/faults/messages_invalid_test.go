package faults_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/publish"
)

// fields are the members of a valid event, as JSON, with some changed; "" leaves
// one out.
func fields(id string, changes ...string) []byte {
	members := map[string]string{
		"id": fmt.Sprintf("%q", id), "account": `"acme"`, "username": `"ann"`,
		"occurred_at": `"2026-03-01T08:00:00Z"`, "entry": "1", "status": "1",
	}
	for i := 0; i < len(changes); i += 2 {
		members[changes[i]] = changes[i+1]
	}
	var text []string
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if members[name] != "" {
			text = append(text, fmt.Sprintf("%q:%s", name, members[name]))
		}
	}
	return []byte("{" + strings.Join(text, ",") + "}")
}

func pairs(n int) string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprintf("key-%d", i)] = "value"
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err.Error() // maps of strings are JSON
	}
	return string(text)
}

// ofEveryReason has a body, and where it is not login.events.acme.login the rest
// of a subject, for each reason that can be broken from outside.
func ofEveryReason(id string) map[event.Reason][]faults.Invalid {
	all := map[event.Reason][]faults.Invalid{}
	add := func(r event.Reason, body []byte) {
		all[r] = append(all[r], faults.Invalid{Subject: event.SubjectPrefix + "acme.login", Body: body})
	}
	valid := string(fields(id))
	add(event.ReasonTooLarge, fields(id, "rest", `"`+strings.Repeat("x", event.MaxBody)+`"`))
	add(event.ReasonInvalidUTF8, fields(id, "reason", "\"\xff\xfe\""))
	add(event.ReasonNotJSON, []byte(valid[:len(valid)-1]))
	add(event.ReasonNotJSON, nil)
	add(event.ReasonNotJSON, []byte("\x00\x01\x02"+id))
	add(event.ReasonTrailingData, []byte(valid+valid))
	add(event.ReasonNotObject, []byte("["+valid+"]"))
	add(event.ReasonTooDeep, fields(id, "rest", strings.Repeat("[", 100)+strings.Repeat("]", 100)))
	add(event.ReasonLoneSurrogate, fields(id, "reason", `"\ud800"`))
	add(event.ReasonBadNumber, fields(id, "rest", "1e999"))
	add(event.ReasonDuplicateMember, []byte(`{"\u0069d":"again",`+valid[1:]))
	add(event.ReasonDuplicateMember, fields(id, "attributes", `{"a":"1","a":"1"}`))
	add(event.ReasonMissing, fields(id, "occurred_at", ""))
	add(event.ReasonMissing, fields(id, "status", "null"))
	add(event.ReasonWrongType, fields(id, "status", `"1"`))
	add(event.ReasonTooShort, fields(""))
	add(event.ReasonTooLong, fields(id, "username", `"`+strings.Repeat("u", 257)+`"`))
	add(event.ReasonBadCharacters, fields(id+" with a space"))
	add(event.ReasonEmptyUsername, fields(id, "username", `""`))
	add(event.ReasonBadTime, fields(id, "occurred_at", `"2026-03-01 08:00:00"`))
	add(event.ReasonLeapSecond, fields(id, "occurred_at", `"2016-12-31T23:59:60Z"`))
	add(event.ReasonTooEarly, fields(id, "occurred_at", `"1989-12-31T23:59:59Z"`))
	add(event.ReasonUnknownEntry, fields(id, "entry", "9"))
	add(event.ReasonUnknownStatus, fields(id, "status", "4"))
	add(event.ReasonBadAddress, fields(id, "ip", `"10.0.0.1:22"`))
	add(event.ReasonBadMFAMethod, fields(id, "mfa_method", `"pigeon"`))
	add(event.ReasonTooManyAttributes, fields(id, "attributes", pairs(33)))
	add(event.ReasonTooFarAhead, fields(id, "occurred_at", `"2126-03-01T08:00:00Z"`))
	for _, rest := range []string{"other.login", "acme.login.more", "acme", "ACME.login"} {
		all[event.ReasonSubjectMismatch] = append(all[event.ReasonSubjectMismatch], faults.Invalid{Subject: event.SubjectPrefix + rest, Body: fields(id)})
	}
	for _, rest := range []string{"acme.logout", "acme.LOGIN", "acme.x"} {
		all[event.ReasonKindMismatch] = append(all[event.ReasonKindMismatch], faults.Invalid{Subject: event.SubjectPrefix + rest, Body: fields(id)})
	}
	return all
}

// A publisher floods the stream with messages that break the contract in every
// way, more than others publish valid ones. Each is parked with its reason, byte
// for byte, and the valid ones are stored as if nothing was.
func TestFloodOfInvalidMessagesOfEveryKindIsParkedAndValidOnesAreStored(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	w, hostile, honest := s.NewWorker("--ingest-batch-wait=500ms"), s.NewPublisher(), s.NewPublisher()
	want := map[event.Reason]int{}
	for i := range 10 {
		for reason, messages := range ofEveryReason(fmt.Sprintf("bad-%d", i)) {
			send(t, hostile, messages)
			want[reason] += len(messages)
		}
		honest.Publish(20)
	}
	for _, reason := range event.Reasons() {
		if want[reason] == 0 && reason != event.ReasonReservedMember { // of a publisher's own code only
			t.Errorf("no message breaks %s", reason)
		}
	}
	w.Start()
	s.Stored(s.Confirmed())
	s.Check()
	got := map[event.Reason]int{}
	for m, err := range stream.NewInbox(s.JetStream()).List(t.Context(), stream.ParkedFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		got[event.Reason(m.Reason)]++
		if m.Detail == "" {
			t.Errorf("parked message %d has no sentence", m.Seq)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("parked by reason: %v, want %v", got, want)
	}
	for reason, n := range want {
		if err := faults.Exactly(w.Metric(fmt.Sprintf("loginaudit_ingest_parked_total{reason=%q}", reason)), float64(n)); err != nil {
			t.Errorf("metric of %s: %v", reason, err)
		}
	}
}

// JetStream speaks to clients by messages without a body but with a header
// Status. A publisher sends such ones: they are messages like others to the worker,
// and are parked, with their headers.
func TestMessageThatLooksLikeJetStreamsOwnWordIsParked(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	w, p := s.NewWorker(), s.NewPublisher()
	w.Start()
	for _, status := range []string{"100", "404", "408", "409", "503", "nonsense"} {
		headers := nats.Header{"Status": {status}, "Description": {"Consumer Deleted"}}
		if err := p.SendInvalid(faults.Invalid{Subject: event.SubjectPrefix + "acme.login"}, headers); err != nil {
			t.Fatal(err)
		}
		p.Publish(20)
	}
	s.Check()
	found := 0
	for m, err := range stream.NewInbox(s.JetStream()).List(t.Context(), stream.ParkedFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Headers.Get("Status") != "" && m.Headers.Get("Description") == "Consumer Deleted" {
			found++
		}
	}
	if found != 6 {
		t.Errorf("%d messages are parked with their headers, want 6", found)
	}
	if n := w.Metric("loginaudit_ingest_fetch_errors_total"); n != 0 {
		t.Errorf("%v fetches failed, want none", n)
	}
}

// A message that is larger than the contract allows is refused before it is sent,
// by the stream, or by the server; whoever published it is told, and nobody else
// notices. What is a little larger gets into the stream, and is parked.
func TestOversizedMessageIsRefusedWithAClearError(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	w, p := s.NewWorker(), s.NewPublisher()
	w.Start()
	huge := func(n int) publish.Message {
		m := p.Messages(1)[0]
		m.Body = append(m.Body[:len(m.Body)-1:len(m.Body)-1], `,"rest":"`+strings.Repeat("x", n)+`"}`...)
		return m
	}
	before := last(t, s)
	if err := p.SendOne(huge(event.MaxBody)); !errors.Is(err, publish.ErrTooLarge) {
		t.Errorf("the publisher's library gives %v, want %v", err, publish.ErrTooLarge)
	}
	for _, c := range []struct {
		size int
		want string
	}{{80_000, "message size exceeds maximum allowed"}, {2 << 20, nats.ErrMaxPayload.Error()}} {
		err := p.SendPlain(huge(c.size))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("a body of %d bytes gives %v, want %q", c.size, err, c.want)
		}
	}
	if now := last(t, s); now != before {
		t.Errorf("the stream has %d messages more, want none", now-before)
	}
	send(t, p, ofEveryReason("a little")[event.ReasonTooLarge])
	p.Publish(20)
	s.Check()
	if n := w.Metric(`loginaudit_ingest_parked_total{reason="too_large"}`); n != 1 {
		t.Errorf("%v messages are parked as too large, want 1", n)
	}
}

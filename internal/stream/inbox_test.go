package stream_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// made is a message of LOGIN_EVENTS that the stream never had.
type made struct {
	jetstream.Msg
	subject string
	body    []byte
	header  nats.Header
	seq     uint64
}

func (m made) Subject() string      { return m.subject }
func (m made) Data() []byte         { return m.body }
func (m made) Headers() nats.Header { return m.header }
func (m made) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{
		Stream: stream.Events, Sequence: jetstream.SequencePair{Stream: m.seq}, Timestamp: time.Unix(1_700_000_000, int64(m.seq)),
	}, nil
}

// deliveredNow is one that the stream has just received.
type deliveredNow struct{ made }

func (m deliveredNow) Metadata() (*jetstream.MsgMetadata, error) {
	meta, err := m.made.Metadata()
	meta.Timestamp = time.Now()
	return meta, err
}

// parkMany parks n messages, in order of their sequences as far as 50 at a time
// allow: every tenth for a time too far ahead, the others because they are not
// JSON; of 7 accounts in turn.
func parkMany(t testing.TB, js jetstream.JetStream, from, n int) {
	t.Helper()
	parker, places := stream.NewParker(js), make(chan struct{}, 50)
	var all sync.WaitGroup
	for i := from; i < from+n; i++ {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			reason := &event.Error{Reason: event.ReasonNotJSON, Detail: fmt.Sprintf("is not JSON at byte %d", i)}
			if i%10 == 0 {
				reason = &event.Error{Reason: event.ReasonTooFarAhead, Field: "occurred_at", Detail: "is too far ahead"}
			}
			m := made{subject: fmt.Sprintf("login.events.a%d.login", i%7), body: fmt.Appendf(nil, "no event %d", i), seq: uint64(i + 1)}
			if err := parker.Park(t.Context(), m, reason); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// listed are the messages of a filter.
func listed(t testing.TB, js jetstream.JetStream, filter stream.ParkedFilter) []stream.ParkedMessage {
	t.Helper()
	var all []stream.ParkedMessage
	for m, err := range stream.NewInbox(js).List(t.Context(), filter) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func TestTenThousandParkedMessagesAreFilteredAndEachIsThereOnce(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 0, 10_000)
	cases := []struct {
		filter stream.ParkedFilter
		want   int
	}{
		{stream.ParkedFilter{}, 10_000},
		{stream.ParkedFilter{Reasons: []string{"too_far_ahead"}}, 1000},
		{stream.ParkedFilter{Account: "a3"}, 1429},
		{stream.ParkedFilter{Account: "a0", Reasons: []string{"too_far_ahead", "missing"}, Field: "occurred_at"}, 143},
		{stream.ParkedFilter{Text: "byte 77"}, 100},
		{stream.ParkedFilter{FromStreamSeq: 101, ToStreamSeq: 200}, 100},
		{stream.ParkedFilter{FromSeq: 9001}, 1000},
		{stream.ParkedFilter{From: time.Now().Add(time.Hour)}, 0},
		{stream.ParkedFilter{To: time.Now().Add(-time.Hour)}, 0},
		{stream.ParkedFilter{From: time.Now().Add(-time.Hour), To: time.Now().Add(time.Hour)}, 10_000},
	}
	for _, c := range cases {
		seen := map[uint64]bool{}
		last := uint64(0)
		for _, m := range listed(t, js, c.filter) {
			if seen[m.StreamSeq] || m.Seq <= last {
				t.Fatalf("%+v: message %d of %d is out of order or there twice", c.filter, m.Seq, m.StreamSeq)
			}
			if string(m.Body) != fmt.Sprintf("no event %d", m.StreamSeq-1) {
				t.Fatalf("%+v: message %d has the body %q", c.filter, m.Seq, m.Body)
			}
			seen[m.StreamSeq], last = true, m.Seq
		}
		if len(seen) != c.want {
			t.Errorf("%+v lists %d messages, want %d", c.filter, len(seen), c.want)
		}
	}
}

func TestTimesOfAFilterAreFromAndBefore(t *testing.T) {
	js := parkAll(t)
	all := listed(t, js, stream.ParkedFilter{})
	got := listed(t, js, stream.ParkedFilter{From: all[1].ParkedAt, To: all[3].ParkedAt})
	if len(got) != 2 || got[0].Seq != 2 || got[1].Seq != 3 {
		t.Errorf("listed are %v", got)
	}
}

func TestListEndsWhileOthersPark(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	parkMany(t, js, 0, 5000)
	n := 0
	for m, err := range stream.NewInbox(js).List(t.Context(), stream.ParkedFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n%100 == 0 { // two come for every hundred that are read
			parkMany(t, js, 5000+n/50, 2)
		}
		if n++; m.Seq > 5000 {
			t.Fatalf("message %d came after the list began", m.Seq)
		}
	}
	if n != 5000 {
		t.Errorf("listed are %d, want 5000", n)
	}
	if n := len(listed(t, js, stream.ParkedFilter{})); n != 5100 {
		t.Errorf("then %d are listed, want 5100", n)
	}
}

// parkedTwice parks a message twice, as a worker did that knew nothing of what was
// parked long ago. Another is parked between the two.
func parkedTwice(t *testing.T) jetstream.JetStream {
	t.Helper()
	js := connect(t, nil)
	ensure(t, js)
	park(t, js, made{subject: "login.events.acme.login", body: []byte("once"), seq: 7}, broken())
	park(t, js, made{subject: "login.events.acme.login", body: []byte("other"), seq: 8}, broken())
	s, err := js.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	again := &nats.Msg{Subject: first.Subject, Header: first.Header, Data: first.Data}
	again.Header.Del(jetstream.MsgIDHeader)
	if _, err := js.PublishMsg(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	return js
}

func TestMessageThatWasParkedTwiceIsGivenOnceAndSettledOnce(t *testing.T) {
	for _, seq := range []uint64{1, 3} {
		js := parkedTwice(t)
		if got := listed(t, js, stream.ParkedFilter{}); len(got) != 2 || got[0].Seq != 1 || got[1].Seq != 2 {
			t.Fatalf("listed are %+v", got)
		}
		selected, missing, err := stream.NewInbox(js).SelectSeqs(t.Context(), []uint64{seq})
		if err != nil || len(missing) != 0 || len(selected) != 1 || len(selected[0].Copies) != 1 {
			t.Fatalf("selected are %+v, %v, %v", selected, missing, err)
		}
		discard(t, js, selected)
		if got := listed(t, js, stream.ParkedFilter{State: stream.StateOpen}); len(got) != 1 || got[0].Seq != 2 {
			t.Errorf("open are %+v", got)
		}
		if n := openCounts(t, js); n.Total != 1 || n.Parked != 3 {
			t.Errorf("counted are %+v", n)
		}
		for _, other := range []uint64{1, 3} {
			m := get(t, js, other)
			notes, err := stream.NewInbox(js).Notes(t.Context(), other)
			if err != nil || len(notes) != 1 || m.State != stream.StateDiscarded || notes[0].CopyOf > 0 == (other == seq) {
				t.Errorf("message %d is %s, notes %+v, %v", other, m.State, notes, err)
			}
		}
	}
}

func TestFilterChoosesAMessageThatWasParkedTwiceOnce(t *testing.T) {
	js := parkedTwice(t)
	for _, filter := range []stream.ParkedFilter{{}, {FromSeq: 2}, {State: stream.StateOpen}} {
		selected, err := stream.NewInbox(js).Select(t.Context(), filter)
		if err != nil || len(selected) != 2 || len(selected[0].Copies)+len(selected[1].Copies) != 1 {
			t.Errorf("%+v selects %+v, %v", filter, selected, err)
		}
	}
}

func TestSequencesThatAreNotThereAreTold(t *testing.T) {
	js := parkAll(t)
	there, missing, err := stream.NewInbox(js).SelectSeqs(t.Context(), []uint64{9, 2, 0})
	if err != nil || len(there) != 1 || there[0].Seq != 2 || fmt.Sprint(missing) != "[9 0]" {
		t.Errorf("there are %+v, missing %v, %v", there, missing, err)
	}
}

// A message that somebody else put there may have the headers that the server
// adds, and look like a word of the server.
func TestMessageWithTheServersOwnHeadersHoldsNobodyUp(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	strange := nats.NewMsg("login.parked.acme")
	for name, value := range map[string]string{
		"Nats-Sequence": "99", "Nats-Time-Stamp": "yesterday", "Nats-Subject": "login.events.x.y",
		"Status": "404", "Nats-Num-Pending": "x",
	} {
		strange.Header.Set(name, value)
	}
	if _, err := js.PublishMsg(t.Context(), strange); err != nil {
		t.Fatal(err)
	}
	park(t, js, made{subject: "login.events.acme.login", seq: 1}, broken())
	got := listed(t, js, stream.ParkedFilter{})
	if len(got) != 2 || got[0].Seq != 1 || got[0].Subject != "login.parked.acme" || got[0].Headers.Get("Nats-Sequence") != "99" || got[1].Seq != 2 {
		t.Errorf("listed are %+v", got)
	}
	if m := get(t, js, 1); m.Seq != 1 || m.Reason != stream.ReasonOther {
		t.Errorf("message 1 is %+v", m)
	}
}

func TestStreamWithoutDirectGetsIsTold(t *testing.T) {
	js := connect(t, nil)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream.Parked, Subjects: []string{"login.parked.>"}}); err != nil {
		t.Fatal(err)
	}
	park(t, js, deliveredNow{made{subject: "login.events.acme.login", seq: 1}}, broken())
	// What is older may be there already, which cannot be seen.
	err := stream.NewParker(js).Park(t.Context(), made{subject: "login.events.acme.login", seq: 2}, broken())
	if !errors.Is(err, nats.ErrNoResponders) || !contains(err, "loginaudit streams") {
		t.Errorf("error is %v", err)
	}
	_, err = stream.NewInbox(js).Get(t.Context(), 1)
	if !errors.Is(err, nats.ErrNoResponders) || err == nil || !contains(err, "loginaudit streams") {
		t.Errorf("error is %v", err)
	}
	for _, err := range stream.NewInbox(js).List(t.Context(), stream.ParkedFilter{}) {
		if !contains(err, "does not allow direct gets") {
			t.Errorf("error is %v", err)
		}
	}
}

func TestListEndsWithItsContext(t *testing.T) {
	js := parkAll(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range stream.NewInbox(js).List(ctx, stream.ParkedFilter{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want Canceled", err)
		}
	}
}

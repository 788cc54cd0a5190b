package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func park(t *testing.T, js jetstream.JetStream, msg jetstream.Msg, reason error) {
	t.Helper()
	if err := stream.NewParker(js).Park(t.Context(), msg, reason); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, js jetstream.JetStream, seq uint64) stream.ParkedMessage {
	t.Helper()
	m, err := stream.NewInbox(js).Get(t.Context(), seq)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestParkedMessageHasTheOriginalsBytesHeadersAndPlace(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	body := []byte("\x00\xff not { json\r\n\r\n\x80")
	original := nats.NewMsg("login.events.acme.login")
	original.Data = body
	original.Header = nats.Header{"traceparent": {"00-abc"}, "X-Twice": {"one", "two"}, "x-twice": {""}}
	msg := deliver(t, js, original)
	park(t, js, msg, broken())

	meta, err := msg.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	got := get(t, js, 1)
	if !bytes.Equal(got.Body, body) {
		t.Errorf("the body is %q, want %q", got.Body, body)
	}
	if !equalHeaders(got.Headers, original.Header) {
		t.Errorf("the headers are %v, want %v", got.Headers, original.Header)
	}
	if got.Subject != "login.events.acme.login" || got.Stream != stream.Events || got.StreamSeq != 1 ||
		!got.ReceivedAt.Equal(meta.Timestamp) || got.Seq != 1 || got.ParkedAt.IsZero() {
		t.Errorf("parked is %+v", got)
	}
	if got.Reason != "missing" || got.Field != "id" || got.Detail != "id is required" {
		t.Errorf("the reason is %q of %q: %q", got.Reason, got.Field, got.Detail)
	}
}

func equalHeaders(a, b nats.Header) bool {
	return maps.EqualFunc(a, b, func(x, y []string) bool { return fmt.Sprint(x) == fmt.Sprint(y) })
}

func TestHeadersOfTheOriginalHaveNoEffectWhenItIsParked(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	for i := range 3 {
		msg := nats.NewMsg("login.events.acme.login")
		msg.Header.Set("Nats-Msg-Id", fmt.Sprint("own-", i))
		msg.Header.Set("Loginaudit-Parked-Reason", "forged")
		msg.Header.Set("Loginaudit-Header-Nats-Msg-Id", "forged")
		msg.Header.Set("Status", "503")
		delivered := deliver(t, js, withBody(msg, "x"))
		// The stream would refuse these, so they come in only here.
		delivered.Headers().Set("Nats-Rollup", "all")
		delivered.Headers().Set("Nats-Expected-Last-Sequence", "77")
		delivered.Headers().Set("Nats-Msg-Id", "same")
		park(t, js, delivered, broken())
	}
	for seq := uint64(1); seq <= 3; seq++ {
		got := get(t, js, seq)
		if got.StreamSeq != seq || got.Reason != "missing" {
			t.Errorf("parked is %+v", got)
		}
		for name, want := range map[string]string{
			"Nats-Msg-Id": "same", "Nats-Rollup": "all", "Status": "503",
			"Loginaudit-Parked-Reason": "forged", "Loginaudit-Header-Nats-Msg-Id": "forged",
		} {
			if got.Headers.Get(name) != want {
				t.Errorf("header %s is %q, want %q", name, got.Headers.Get(name), want)
			}
		}
	}
}

func withBody(msg *nats.Msg, body string) *nats.Msg {
	msg.Data = []byte(body)
	return msg
}

func TestHeadersThatDoNotFitAreKeptBehindTheBody(t *testing.T) {
	cases := map[string]nats.Header{
		"too many":       {},
		"odd name":       {"a name (odd)": {"v"}, "plain": {"w"}},
		"name not ASCII": {"näme": {"v"}},
		"value not UTF8": {"plain": {"\xff\xfe"}, "ö": {"\xff"}},
	}
	for i := range 3000 {
		cases["too many"].Set(fmt.Sprintf("h%04d", i), strings.Repeat("v", i%16))
	}
	for name, header := range cases {
		t.Run(name, func(t *testing.T) {
			js := connect(t, nil)
			ensure(t, js)
			body := "a: b\r\nc: d\r\n"
			publishRaw(t, js, "login.events.acme.login", header, body)
			park(t, js, next(t, js), broken())
			got := get(t, js, 1)
			if string(got.Body) != body {
				t.Errorf("the body is %q, want %q", got.Body, body)
			}
			if !equalHeaders(got.Headers, header) {
				t.Errorf("the headers are not the original's: %.200v", got.Headers)
			}
		})
	}
}

func TestParkingTheSameMessageAgainCollapses(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	msg := deliver(t, js, &nats.Msg{Subject: "login.events.acme.login"})
	park(t, js, msg, broken())
	park(t, js, msg, broken())
	s, err := js.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("%d messages are parked, want 1", n)
	}
}

func TestSameSequenceOfAStreamThatWasMadeAgainIsAnotherMessage(t *testing.T) {
	js := connect(t, nil)
	for _, body := range []string{"first", "second"} {
		ensure(t, js)
		park(t, js, deliver(t, js, &nats.Msg{Subject: "login.events.acme.login", Data: []byte(body)}), broken())
		if err := js.DeleteStream(t.Context(), stream.Events); err != nil {
			t.Fatal(err)
		}
	}
	for seq, want := range map[uint64]string{1: "first", 2: "second"} {
		if got := get(t, js, seq); string(got.Body) != want || got.StreamSeq != 1 {
			t.Errorf("parked message %d is %q at %d", seq, got.Body, got.StreamSeq)
		}
	}
}

func TestReasonOfAnyErrorFitsAHeader(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	cases := []struct {
		reason error
		code   string
	}{
		{errors.New("two\r\nlines\x00"), "other"},
		{nil, "other"},
		{fmt.Errorf("wrapped: %w", broken()), "missing"},
		{&event.Error{Reason: event.ReasonTooLong, Detail: strings.Repeat("ä", 5000)}, "too_long"},
	}
	for i, c := range cases {
		msg := deliver(t, js, &nats.Msg{Subject: "login.events.acme.login"})
		park(t, js, msg, c.reason)
		got := get(t, js, uint64(i+1))
		if got.Reason != c.code || strings.ContainsAny(got.Detail, "\r\n\x00") || len(got.Detail) > 1100 {
			t.Errorf("reason %v is parked as %q: %q", c.reason, got.Reason, got.Detail)
		}
	}
}

func TestMessageIsNotParkedWhileTheStreamRefuses(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	msg := deliver(t, js, &nats.Msg{Subject: "login.events.acme.login"})
	if err := js.DeleteStream(t.Context(), stream.Parked); err != nil {
		t.Fatal(err)
	}
	if err := stream.NewParker(js).Park(t.Context(), msg, broken()); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("error is %v, want ErrNoStreamResponse", err)
	}
}

func TestMessageThatIsNotOfAStreamIsNotParked(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	if err := stream.NewParker(js).Park(t.Context(), foreign{}, broken()); !errors.Is(err, jetstream.ErrNotJSMessage) {
		t.Errorf("error is %v, want ErrNotJSMessage", err)
	}
}

// foreign is a message without JetStream's metadata.
type foreign struct{ jetstream.Msg }

func (foreign) Metadata() (*jetstream.MsgMetadata, error) { return nil, jetstream.ErrNotJSMessage }

// parkAll parks messages on three subjects, with two reasons.
func parkAll(t *testing.T) jetstream.JetStream {
	t.Helper()
	js := connect(t, nil)
	ensure(t, js)
	for i, subject := range []string{"login.events.acme.login", "login.events.acme.too.many", "login.events.beta.login", "login.events.acme.mfa"} {
		var reason error = &event.Error{Reason: event.ReasonNotJSON, Detail: "is not JSON"}
		if i == 3 {
			reason = broken()
		}
		park(t, js, deliver(t, js, &nats.Msg{Subject: subject}), reason)
	}
	return js
}

func TestParkedMessagesAreListedInOrderByAccountReasonAndPlace(t *testing.T) {
	js := parkAll(t)
	cases := []struct {
		filter stream.ParkedFilter
		want   string
	}{
		{stream.ParkedFilter{}, "[1 2 3 4]"},
		{stream.ParkedFilter{Account: "acme"}, "[1 4]"},
		{stream.ParkedFilter{Account: "_"}, "[2]"},
		{stream.ParkedFilter{Account: "nobody"}, "[]"},
		{stream.ParkedFilter{Reasons: []string{"not_json"}}, "[1 2 3]"},
		{stream.ParkedFilter{Reasons: []string{"not_json", "missing"}}, "[1 2 3 4]"},
		{stream.ParkedFilter{Reasons: []string{"too_long"}}, "[]"},
		{stream.ParkedFilter{Field: "id"}, "[4]"},
		{stream.ParkedFilter{Text: "IS NOT js"}, "[1 2 3]"},
		{stream.ParkedFilter{Subject: "login.events.acme.login"}, "[1]"},
		{stream.ParkedFilter{Subject: "login.events.*.login"}, "[1 3]"},
		{stream.ParkedFilter{Subject: "login.events.acme.>"}, "[1 2 4]"},
		{stream.ParkedFilter{Subject: "login.events.acme"}, "[]"},
		{stream.ParkedFilter{Subject: "login.events.acme.login.>"}, "[]"},
		{stream.ParkedFilter{Subject: "*.*.*.mfa"}, "[4]"},
		{stream.ParkedFilter{FromSeq: 2, ToSeq: 3}, "[2 3]"},
		{stream.ParkedFilter{FromStreamSeq: 3}, "[3 4]"},
		{stream.ParkedFilter{ToStreamSeq: 1}, "[1]"},
		{stream.ParkedFilter{State: stream.StateOpen}, "[1 2 3 4]"},
		{stream.ParkedFilter{State: stream.StateReplayed}, "[]"},
		{stream.ParkedFilter{Valid: true}, "[]"},
		{stream.ParkedFilter{FromSeq: 2, Account: "acme"}, "[4]"},
		{stream.ParkedFilter{FromSeq: 9}, "[]"},
	}
	for _, c := range cases {
		seqs := []uint64{}
		for m, err := range stream.NewInbox(js).List(t.Context(), c.filter) {
			if err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, m.StreamSeq)
		}
		if fmt.Sprint(seqs) != c.want {
			t.Errorf("%+v lists %v, want %s", c.filter, seqs, c.want)
		}
	}
}

func TestListGoesOnAfterADiscardedMessageAndStopsWhenAsked(t *testing.T) {
	js := parkAll(t)
	s, err := js.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for m, err := range stream.NewInbox(js).List(t.Context(), stream.ParkedFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seqs = append(seqs, m.Seq); len(seqs) == 2 {
			break
		}
	}
	if fmt.Sprint(seqs) != "[1 3]" {
		t.Errorf("listed are %v, want 1 and 3", seqs)
	}
	if _, err := stream.NewInbox(js).Get(t.Context(), 2); !errors.Is(err, stream.ErrNotParked) {
		t.Errorf("error is %v, want ErrNotParked", err)
	}
}

func TestListTellsThatThereIsNoStream(t *testing.T) {
	js := connect(t, nil)
	for _, err := range stream.NewInbox(js).List(t.Context(), stream.ParkedFilter{}) {
		if !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("error is %v, want ErrStreamNotFound", err)
		}
	}
	if _, err := stream.NewInbox(js).Get(t.Context(), 1); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("error is %v, want ErrStreamNotFound", err)
	}
}

func TestMessageThatLoginauditDidNotParkIsShownAsItIs(t *testing.T) {
	js := connect(t, nil)
	ensure(t, js)
	strange := nats.NewMsg("login.parked.acme")
	strange.Data = []byte("hello")
	strange.Header.Set("Loginaudit-Parked-Body-Length", "9")
	if _, err := js.PublishMsg(t.Context(), strange); err != nil {
		t.Fatal(err)
	}
	if got := get(t, js, 1); got.Reason != stream.ReasonOther || string(got.Body) != "hello" || got.Subject != "login.parked.acme" {
		t.Errorf("shown is %+v", got)
	}
}

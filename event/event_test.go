package event

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func exampleEvent() Event {
	return Event{
		ID: "e-1", Account: "acme", Username: "maria",
		OccurredAt: time.Date(2026, 11, 1, 8, 30, 0, 123456000, time.UTC),
		Entry:      1, Status: 1,
	}
}

func fullEvent() Event {
	e := exampleEvent()
	e.SessionID, e.IP, e.UserAgent, e.Service = "s-1", netip.MustParseAddr("2001:db8::1"), "curl/8.5", "sso"
	e.MFAMethod, e.DeviceID, e.RequestID, e.Reason = "totp", "d-1", "r-1", `said "yes"`
	e.Attributes = map[string]string{"idp": "okta", "country": "NL"}
	e.Unknown = map[string]json.RawMessage{"zone": json.RawMessage(`[1,2]`), "a": json.RawMessage(`null`), "id2": json.RawMessage(`"x"`)}
	return e
}

// raw makes an Unknown of one member.
func raw(name, value string) map[string]json.RawMessage {
	return map[string]json.RawMessage{name: json.RawMessage(value)}
}

func TestDecodeGivesWhatEncodeTook(t *testing.T) {
	for _, want := range []Event{exampleEvent(), fullEvent()} {
		body, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, hash, err := Decode(body)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		checkAgreement(t, body, hash)
		if canonical, err := Canonical(body); err != nil || string(canonical) != string(body) {
			t.Errorf("Encode did not write the canonical form: %s, %v", body, err)
		}
	}
}

func TestDecodeSharesNoMemoryWithTheBody(t *testing.T) {
	body, err := Encode(fullEvent())
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	if !reflect.DeepEqual(got, fullEvent()) {
		t.Errorf("got %+v", got)
	}
}

func TestDecodeTakesABodyOfTheLargestSize(t *testing.T) {
	body, err := Encode(exampleEvent())
	if err != nil {
		t.Fatal(err)
	}
	body = append(body, strings.Repeat(" ", MaxBody-len(body))...)
	if _, _, err := Decode(body); err != nil {
		t.Errorf("%d bytes: %v", len(body), err)
	}
	_, _, err = Decode(append(body, ' '))
	if got := asReason(t, err).Reason; got != ReasonTooLarge {
		t.Errorf("%d bytes: %s", len(body)+1, got)
	}
}

// The publisher is told the same whatever the order in which it wrote.
func TestReasonDoesNotDependOnTheOrderOfMembers(t *testing.T) {
	a := `{"id":"","account":"a.b","username":"x","occurred_at":"2026-11-01T08:30:00Z","entry":99,"status":4}`
	b := `{"status":4,"entry":99,"occurred_at":"2026-11-01T08:30:00Z","username":"x","account":"a.b","id":""}`
	_, _, errA := Decode([]byte(a))
	_, _, errB := Decode([]byte(b))
	if asReason(t, errA).Reason != ReasonTooShort || errA.Error() != errB.Error() {
		t.Errorf("%v\n%v", errA, errB)
	}
	for range 20 { // maps are ranged over at random
		e := exampleEvent()
		e.Attributes = map[string]string{}
		for _, c := range "abcdefgh" {
			e.Attributes[strings.Repeat(string(c), MaxAttributeKey+1)] = "x"
		}
		if err := e.Validate(); !strings.Contains(err.Error(), `"aaaa`) {
			t.Fatal(err)
		}
	}
}

func TestCodesAreReadFromEveryIntegralNumber(t *testing.T) {
	for _, tc := range []struct {
		in     string
		want   Reason
		status Status
	}{
		{in: "21", status: 21}, {in: "21.0", status: 21}, {in: "2.1e1", status: 21}, {in: "2100E-2", status: 21},
		{in: "4", want: ReasonUnknownStatus}, {in: "-0", want: ReasonUnknownStatus}, {in: "-1", want: ReasonUnknownStatus},
		{in: "257", want: ReasonUnknownStatus}, {in: "4294967297", want: ReasonUnknownStatus}, {in: "1e308", want: ReasonUnknownStatus},
		{in: "1.5", want: ReasonWrongType}, {in: "1e-1", want: ReasonWrongType}, {in: `"21"`, want: ReasonWrongType},
	} {
		body := `{"id":"e","account":"a","username":"u","occurred_at":"2026-11-01T08:30:00Z","entry":1,"status":` + tc.in + `}`
		e, _, err := Decode([]byte(body))
		if tc.want != "" {
			if got := asReason(t, err).Reason; got != tc.want {
				t.Errorf("%s: %s, want %s", tc.in, got, tc.want)
			}
		} else if err != nil || e.Status != tc.status {
			t.Errorf("%s: %d, %v", tc.in, e.Status, err)
		}
	}
}

func TestUnknownMembersKeepTheirText(t *testing.T) {
	body := read(t, "testdata/valid/unknown_members.json")
	e, _, err := Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]json.RawMessage{
		"etag": json.RawMessage(`"\"x\""`), "big": json.RawMessage(`12345678901234567890`),
		"risk":    json.RawMessage(`{ "score" : 7.50, "why":["a\/b", null,true , false ,[],{ }]}`),
		"nothing": json.RawMessage(`null`), "Status": json.RawMessage(`99`),
	}
	if !reflect.DeepEqual(e.Unknown, want) {
		t.Errorf("got %s", e.Unknown)
	}
}

func TestAddressesAreHeldInOneForm(t *testing.T) {
	for in, want := range map[string]string{
		"198.51.100.23": "198.51.100.23", "::ffff:198.51.100.23": "198.51.100.23",
		"::FFFF:c633:6417": "198.51.100.23", "2001:DB8:0:0::1": "2001:db8::1", "::": "::",
	} {
		e, _, err := Decode([]byte(`{"id":"e","account":"a","username":"u","occurred_at":"2026-11-01T08:30:00Z","entry":1,"status":1,"ip":"` + in + `"}`))
		if err != nil || e.IP.String() != want {
			t.Errorf("%s: %s, %v; want %s", in, e.IP, err, want)
		}
	}
}

func TestSubjectNamesAccountAndKind(t *testing.T) {
	e := exampleEvent()
	for status, want := range map[Status]string{
		1: "login.events.acme.login", 2: "login.events.acme.logout", 21: "login.events.acme.mfa", 14: "login.events.acme.reset",
	} {
		e.Status = status
		if got := e.Subject(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if err := e.CheckSubject(want); err != nil {
			t.Error(err)
		}
	}
}

func TestCheckSubjectTellsAccountFromKind(t *testing.T) {
	for _, tc := range []struct {
		subject string
		reason  Reason
		field   string
	}{
		{"login.events.acme", ReasonSubjectMismatch, "subject"},
		{"login.events.acme.", ReasonSubjectMismatch, "subject"},
		{"login.events..login", ReasonSubjectMismatch, "subject"},
		{"login.events.acme.login.x", ReasonSubjectMismatch, "subject"},
		{"login.parked.acme.login", ReasonSubjectMismatch, "subject"},
		{"", ReasonSubjectMismatch, "subject"},
		{"login.events.\x1b[31m" + strings.Repeat("é", 99), ReasonSubjectMismatch, "subject"},
		{"login.events.Acme.login", ReasonSubjectMismatch, "account"},
		{"login.events.acme.logout", ReasonKindMismatch, "status"},
		{"login.events.acme.LOGIN", ReasonKindMismatch, "status"},
	} {
		got := asReason(t, exampleEvent().CheckSubject(tc.subject))
		if got.Reason != tc.reason || got.Field != tc.field {
			t.Errorf("%q: %s %s, want %s %s", tc.subject, got.Reason, got.Field, tc.reason, tc.field)
		}
	}
}

func TestCheckReceivedAllowsTenMinutesAhead(t *testing.T) {
	e := exampleEvent()
	for _, ahead := range []time.Duration{-1e6 * time.Hour, 0, MaxAhead} {
		if err := e.CheckReceived(e.OccurredAt.Add(-ahead)); err != nil {
			t.Errorf("%s ahead: %v", ahead, err)
		}
	}
	if got := asReason(t, e.CheckReceived(e.OccurredAt.Add(-MaxAhead-time.Microsecond))).Reason; got != ReasonTooFarAhead {
		t.Error(got)
	}
}

func TestOrderIsByTimeThenRankThenHash(t *testing.T) {
	at := exampleEvent().OccurredAt
	stored := func(after time.Duration, status Status, hash byte) Stored {
		return Stored{Event: Event{OccurredAt: at.Add(after), Status: status}, Hash: Hash{hash}}
	}
	ordered := []Stored{
		stored(0, 14, 9), stored(0, 24, 8), stored(0, 5, 7), stored(0, 1, 1), stored(0, 1, 2), stored(0, 2, 0),
		stored(time.Microsecond, 14, 0),
	}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.Before(b) != (i < j) {
				t.Errorf("%d before %d: %v", i, j, a.Before(b))
			}
		}
	}
}

func TestHashIsReadFromWhatItWrites(t *testing.T) {
	h := Hash{0: 0xAB, 15: 0x01}
	if h.String() != "ab000000000000000000000000000001" || MessageID(h) != h.String() {
		t.Error(h)
	}
	if got, err := ParseHash(h.String()); err != nil || got != h {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", "ab", "AB000000000000000000000000000001", "gb000000000000000000000000000001", h.String() + "00"} {
		if got, err := ParseHash(bad); err == nil || got != (Hash{}) {
			t.Errorf("ParseHash(%q) = %s, %v", bad, got, err)
		}
	}
}

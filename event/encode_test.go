package event

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestEncodeRefusesWhatDecodeWouldRefuse(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n+1) }
	for _, tc := range []struct {
		name   string
		change func(e *Event)
		reason Reason
		field  string
	}{
		{"no id", func(e *Event) { e.ID = "" }, ReasonTooShort, "id"},
		{"id with space", func(e *Event) { e.ID = "a b" }, ReasonBadCharacters, "id"},
		{"long id", func(e *Event) { e.ID = long(MaxID) }, ReasonTooLong, "id"},
		{"id not UTF-8", func(e *Event) { e.ID = "\xff" }, ReasonInvalidUTF8, "id"},
		{"no account", func(e *Event) { e.Account = "" }, ReasonTooShort, "account"},
		{"account with dot", func(e *Event) { e.Account = "a.b" }, ReasonBadCharacters, "account"},
		{"long account", func(e *Event) { e.Account = long(MaxAccount) }, ReasonTooLong, "account"},
		{"no username", func(e *Event) { e.Username = "" }, ReasonEmptyUsername, "username"},
		{"long username", func(e *Event) { e.Username = long(MaxUsername) }, ReasonTooLong, "username"},
		{"username not UTF-8", func(e *Event) { e.Username = "a\xc3" }, ReasonInvalidUTF8, "username"},
		{"no time", func(e *Event) { e.OccurredAt = time.Time{} }, ReasonMissing, "occurred_at"},
		{"early", func(e *Event) { e.OccurredAt = Earliest().Add(-1) }, ReasonTooEarly, "occurred_at"},
		{"late", func(e *Event) { e.OccurredAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, ReasonBadTime, "occurred_at"},
		{"no entry", func(e *Event) { e.Entry = 0 }, ReasonUnknownEntry, "entry"},
		{"entry 9", func(e *Event) { e.Entry = 9 }, ReasonUnknownEntry, "entry"},
		{"status 4", func(e *Event) { e.Status = 4 }, ReasonUnknownStatus, "status"},
		{"status 200", func(e *Event) { e.Status = 200 }, ReasonUnknownStatus, "status"},
		{"zone", func(e *Event) { e.IP = netip.MustParseAddr("fe80::1%eth0") }, ReasonBadAddress, "ip"},
		{"long session", func(e *Event) { e.SessionID = long(MaxSessionID) }, ReasonTooLong, "session_id"},
		{"long agent", func(e *Event) { e.UserAgent = long(MaxUserAgent) }, ReasonTooLong, "user_agent"},
		{"long service", func(e *Event) { e.Service = long(MaxService) }, ReasonTooLong, "service"},
		{"method", func(e *Event) { e.MFAMethod = "pigeon" }, ReasonBadMFAMethod, "mfa_method"},
		{"long device", func(e *Event) { e.DeviceID = long(MaxDeviceID) }, ReasonTooLong, "device_id"},
		{"long request", func(e *Event) { e.RequestID = long(MaxRequestID) }, ReasonTooLong, "request_id"},
		{"long reason", func(e *Event) { e.Reason = long(MaxReason) }, ReasonTooLong, "reason"},
		{"reason not UTF-8", func(e *Event) { e.Reason = "\xed\xa0\x80" }, ReasonInvalidUTF8, "reason"},
		{"key", func(e *Event) { e.Attributes = map[string]string{long(MaxAttributeKey): ""} }, ReasonTooLong, "attributes"},
		{"value", func(e *Event) { e.Attributes = map[string]string{"k": long(MaxAttributeValue)} }, ReasonTooLong, "attributes"},
		{"value not UTF-8", func(e *Event) { e.Attributes = map[string]string{"k": "\xff"} }, ReasonInvalidUTF8, "attributes"},
		{"33 pairs", func(e *Event) { e.Attributes = pairs(33, "v") }, ReasonTooManyAttributes, "attributes"},
		{"escapes make it large", func(e *Event) { e.Attributes = pairs(32, strings.Repeat("\x01", 1024)) }, ReasonTooLarge, ""},
		{"unknown name of the contract", func(e *Event) { e.Unknown = raw("ip", `"::1"`) }, ReasonReservedMember, "ip"},
		{"unknown name not UTF-8", func(e *Event) { e.Unknown = raw("\xff", `1`) }, ReasonInvalidUTF8, ""},
		{"unknown value not UTF-8", func(e *Event) { e.Unknown = raw("x", "\"\xff\"") }, ReasonInvalidUTF8, ""},
		{"unknown value empty", func(e *Event) { e.Unknown = raw("x", ``) }, ReasonNotJSON, ""},
		{"unknown value twice", func(e *Event) { e.Unknown = raw("x", `1 2`) }, ReasonTrailingData, ""},
		{"unknown value ends the message", func(e *Event) { e.Unknown = raw("x", `1,"status":2`) }, ReasonTrailingData, ""},
		{"unknown duplicate", func(e *Event) { e.Unknown = raw("x", `{"status":1,"status":1}`) }, ReasonDuplicateMember, ""},
		{"unknown surrogate", func(e *Event) { e.Unknown = raw("x", `"\ud800"`) }, ReasonLoneSurrogate, ""},
		{"unknown number", func(e *Event) { e.Unknown = raw("x", `1e999`) }, ReasonBadNumber, ""},
		{"unknown depth", func(e *Event) { e.Unknown = raw("x", strings.Repeat("[", 64)+strings.Repeat("]", 64)) }, ReasonTooDeep, ""},
		{"unknown size", func(e *Event) { e.Unknown = raw("x", strings.Repeat(" ", MaxBody)+"1") }, ReasonTooLarge, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := fullEvent()
			tc.change(&e)
			body, err := Encode(e)
			got := asReason(t, err)
			if got.Reason != tc.reason || got.Field != tc.field || body != nil {
				t.Errorf("%s %q (%v), want %s %q", got.Reason, got.Field, got, tc.reason, tc.field)
			}
			if again := e.Validate(); again == nil || again.Error() != got.Error() {
				t.Errorf("Validate says %v, Encode %v", again, got)
			}
		})
	}
}

func pairs(n int, value string) map[string]string {
	all := map[string]string{}
	for i := range n {
		all[fmt.Sprintf("k%02d", i)] = value
	}
	return all
}

func TestEncodeWritesTheCanonicalForm(t *testing.T) {
	e := exampleEvent()
	e.OccurredAt = time.Date(2026, 11, 1, 10, 30, 0, 999_999_999, time.FixedZone("", 2*3600))
	e.IP = netip.MustParseAddr("::ffff:10.0.0.1")
	e.Username = "maria \"\\\n\x01/é😀"
	e.Attributes = map[string]string{"😀": "1", "\uFB33": "2", "a": "3"}
	e.Unknown = raw("iz", ` { "b" : 1.50 , "a" : "\u0041\/" } `)
	e.Unknown["😀"] = []byte(`12345678901234567890`)
	e.Unknown["A"] = []byte(`null`)
	got, err := Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"A":null,"account":"acme","attributes":{"a":"3","😀":"1","` + "\uFB33" + `":"2"},"entry":1,"id":"e-1",` +
		`"ip":"10.0.0.1","iz":{"a":"A/","b":1.5},"occurred_at":"2026-11-01T08:30:00.999999Z","status":1,` +
		`"username":"maria \"\\\n\u0001/é😀","😀":12345678901234567000}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestValidateTakesEveryCombinationOfTheTables(t *testing.T) {
	for _, entry := range Entries() {
		for _, status := range Statuses() {
			e := exampleEvent()
			e.Entry, e.Status = entry, status
			if err := e.Validate(); err != nil {
				t.Errorf("%d %d: %v", entry, status, err)
			}
			e.Username = ""
			if err := e.Validate(); (err == nil) != status.AllowsEmptyUsername() {
				t.Errorf("empty username with %d: %v", status, err)
			}
		}
	}
	for _, method := range MFAMethods() {
		e := exampleEvent()
		if e.MFAMethod = method; e.Validate() != nil {
			t.Errorf("%s: %v", method, e.Validate())
		}
	}
}

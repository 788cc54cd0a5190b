package event_test

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

func ExampleEncode() {
	e := event.Event{
		ID:         "019aa8f1-7c1e-7d3a-9f50-1f6f3a0b9c11",
		Account:    "acme",
		Username:   "maria.gomez@example.com",
		OccurredAt: time.Date(2026, 11, 1, 8, 30, 0, 123456789, time.UTC),
		Entry:      1, // Membership login
		Status:     5, // Invalid password
		SessionID:  "s-7c1e",
		IP:         netip.MustParseAddr("198.51.100.23"),
	}
	body, err := event.Encode(e)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.Subject())
	fmt.Println(string(body))
	// Output:
	// login.events.acme.login
	// {"account":"acme","entry":1,"id":"019aa8f1-7c1e-7d3a-9f50-1f6f3a0b9c11","ip":"198.51.100.23","occurred_at":"2026-11-01T08:30:00.123456Z","session_id":"s-7c1e","status":5,"username":"maria.gomez@example.com"}
}

func ExampleDecode() {
	body := []byte(`{"id": "e-1", "account": "acme", "username": "maria", "occurred_at": "2026-11-01T09:30:00+01:00",
		"entry": 7, "status": 21, "mfa_method": "totp", "risk": {"score": 0.2}}`)
	e, hash, err := event.Decode(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(e.OccurredAt, e.Entry.Name(), "/", e.Status.Name())
	fmt.Println(string(e.Unknown["risk"]))
	fmt.Println(event.MessageID(hash))
	// Output:
	// 2026-11-01 08:30:00 +0000 UTC Mobile Login / Login successful MFA
	// {"score": 0.2}
	// d24280e0b295f5f13c4779adcb49709e
}

// A message that breaks a rule tells which one.
func ExampleError() {
	_, _, err := event.Decode([]byte(`{"id": "e-1", "account": "acme", "username": "maria", "occurred_at": "2026-11-01T09:30:00", "entry": 7, "status": 21}`))
	var wrong *event.Error
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Reason, wrong.Field)
		fmt.Println(wrong)
	}
	// Output:
	// bad_time occurred_at
	// occurred_at is "2026-11-01T09:30:00"; only an RFC 3339 time with offset is allowed, like 2026-11-01T08:30:00.123456Z
}

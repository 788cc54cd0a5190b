package store

import (
	"testing"

	"github.com/loginaudit/loginaudit/event"
)

// outlines are bodies as different publishers write them, and what is kept.
var outlines = []struct{ name, body, outline string }{
	{
		"canonical", `{"account":"acme","entry":2,"id":"a-1","ip":"192.0.2.7","occurred_at":"2026-11-01T08:30:00.123456Z","status":1,"username":"ada"}`,
		"{\"account\":\x02,\"entry\":\x05,\"id\":\x01,\"ip\":\x0e,\"occurred_at\":\x04,\"status\":\x06,\"username\":\x03}",
	},
	{
		"spaces and another order", "{\n  \"id\": \"a-1\", \"username\" : \"ada\",\t\"account\":\"acme\", \"entry\": 2, \"status\": 1, \"occurred_at\": \"2026-11-01T08:30:00Z\" }",
		"{\n  \"id\": \x01, \"username\" : \x03,\t\"account\":\x02, \"entry\": \x05, \"status\": \x06, \"occurred_at\": \x15 }",
	},
	{
		"milliseconds, a number with a fraction, IPv6",
		`{"id":"a-1","account":"acme","username":"ada","entry":2.0,"status":1,"ip":"2001:DB8::1","occurred_at":"2026-11-01T08:30:00.120Z"}`,
		"{\"id\":\x01,\"account\":\x02,\"username\":\x03,\"entry\":\x05.0,\"status\":\x06,\"ip\":\"2001:DB8::1\",\"occurred_at\":\x14}",
	},
	{
		"offset, escapes, unknown members, names as values",
		`{"id":"a-1","account":"acme","username":"a\u0064a","entry":2,"status":1,"occurred_at":"2026-11-01T09:30:00+01:00","x":{"id":"a-1","account":"other"},"reason":"id","attributes":{"reason":"id"}}`,
		"{\"id\":\x01,\"account\":\x02,\"username\":\"a\\u0064a\",\"entry\":\x05,\"status\":\x06,\"occurred_at\":\"2026-11-01T09:30:00+01:00\",\"x\":{\"id\":\x01,\"account\":\"other\"},\"reason\":\x13,\"attributes\":{\"reason\":\x13}}",
	},
	{
		"every field",
		`{"account":"acme","attributes":{"k":"v"},"device_id":"d","entry":1,"id":"a-1","mfa_method":"totp","occurred_at":"2026-11-01T08:30:00.000000Z","reason":"r","request_id":"q","service":"web","session_id":"s","status":24,"user_agent":"Mozilla/5.0 (\"x\")","username":"ada"}`,
		"{\"account\":\x02,\"attributes\":{\"k\":\"v\"},\"device_id\":\x11,\"entry\":\x05,\"id\":\x01,\"mfa_method\":\x10,\"occurred_at\":\x04,\"reason\":\x13,\"request_id\":\x12,\"service\":\x08,\"session_id\":\x07,\"status\":\x06,\"user_agent\":\"Mozilla/5.0 (\\\"x\\\")\",\"username\":\x03}",
	},
}

func TestOutlineHasAMarkForEveryValueThatIsAColumn(t *testing.T) {
	for _, test := range outlines {
		t.Run(test.name, func(t *testing.T) {
			e := decoded(t, test.body)
			var o outliner
			if got := string(o.outline(&e)); got != test.outline {
				t.Errorf("outline %q,\n   want %q", got, test.outline)
			}
			if got := string(restore(test.outline, &e.Event)); got != test.body {
				t.Errorf("restored %s,\n    want %s", got, test.body)
			}
		})
	}
}

func decoded(t testing.TB, body string) event.Stored {
	t.Helper()
	e, hash, err := event.Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return event.Stored{Event: e, Hash: hash, Raw: []byte(body)}
}

func BenchmarkOutline(b *testing.B) {
	e := decoded(b, outlines[4].body)
	var o outliner
	b.ReportAllocs()
	b.SetBytes(int64(len(e.Raw)))
	for b.Loop() {
		o.outline(&e)
	}
}

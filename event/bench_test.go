package event

import (
	"encoding/json"
	"testing"
)

// benchMessage is a canonical message of ordinary size; benchUnsorted is the
// same content as a service without a canonical encoder writes it.
const (
	benchMessage = `{"account":"acme","attributes":{"country":"NL","idp":"okta"},"device_id":"d-83fe1c","entry":1,` +
		`"id":"019aa8f1-7c1e-7d3a-9f50-1f6f3a0b9c11","ip":"198.51.100.23","occurred_at":"2026-11-01T08:30:00.123456Z",` +
		`"service":"sso-frontend","session_id":"s-019aa8f1-7c1e","status":1,` +
		`"user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",` +
		`"username":"maria.gomez@example.com"}`
	benchUnsorted = `{"id": "019aa8f1-7c1e-7d3a-9f50-1f6f3a0b9c11", "account": "acme", "username": "maria.gomez@example.com", ` +
		`"occurred_at": "2026-11-01T08:30:00.123456Z", "entry": 1, "status": 1, "session_id": "s-019aa8f1-7c1e", ` +
		`"ip": "198.51.100.23", "user_agent": "Mozilla\/5.0 (X11; Linux x86_64) AppleWebKit\/537.36 (KHTML, like Gecko) Chrome\/142.0 Safari\/537.36", ` +
		`"service": "sso-frontend", "device_id": "d-83fe1c", "attributes": {"idp": "okta", "country": "NL"}}`
)

func BenchmarkDecodeCanonical(b *testing.B) { benchmarkDecode(b, benchMessage) }

func BenchmarkDecodeUnsorted(b *testing.B) { benchmarkDecode(b, benchUnsorted) }

func benchmarkDecode(b *testing.B, message string) {
	body := []byte(message)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecoder is what the ingest worker does with each message.
func BenchmarkDecoder(b *testing.B) {
	var d Decoder
	body := []byte(benchMessage)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := d.Decode(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkContentHash(b *testing.B) {
	body := []byte(benchUnsorted)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ContentHash(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e, _, err := Decode([]byte(benchMessage))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStandardLibrary is what the hand-made scanner is compared with; it
// checks next to none of the contract.
func BenchmarkStandardLibrary(b *testing.B) {
	body := []byte(benchMessage)
	b.ReportAllocs()
	for b.Loop() {
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			b.Fatal(err)
		}
	}
}

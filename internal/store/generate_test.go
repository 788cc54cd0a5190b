package store_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
)

// epoch is the moment around which generated events lie.
var epoch = time.Date(2026, 3, 28, 12, 0, 0, 0, time.UTC)

// hostile are names that people, attackers and encodings make trouble with.
var hostile = []string{
	"ann", "Ann", "bob", "", "a'b", `a"b\c`, "tab\there", "line\nbreak", "cr\rhere", "nul\x00byte",
	"%", "_", "100%_x", "{account:String}", "?", "$1", "名前", "e\u0301", "\u202eevil", "ÄÖÜ", "Ὀδυσσεύς", "Straße", "NULL", `\N`, "..", "a/b",
	"'; DROP TABLE events; --", "<script>alert(1)</script>",
}

// drawEvents makes a set of events that collide in every way that matters: the
// same instants, names, sessions, ids; far and near times.
func drawEvents(t *rapid.T, account string, most int) []event.Stored {
	names := rapid.SliceOfN(rapid.SampledFrom(hostile), 1, 4).Draw(t, "usernames")
	n := rapid.IntRange(1, most).Draw(t, "events")
	events := make([]event.Stored, n)
	for i := range events {
		events[i] = drawEvent(t, account, names, i)
	}
	return events
}

func drawEvent(t *rapid.T, account string, names []string, i int) event.Stored {
	status := rapid.SampledFrom(event.Statuses()).Draw(t, "status")
	username := rapid.SampledFrom(names).Draw(t, "username")
	if username == "" && !status.AllowsEmptyUsername() {
		username = "ann"
	}
	e := event.Event{
		ID:         fmt.Sprintf("id-%d", rapid.IntRange(0, 2*i+1).Draw(t, "id")),
		Account:    account,
		Username:   username,
		OccurredAt: drawTime(t),
		Entry:      rapid.SampledFrom(event.Entries()).Draw(t, "entry"),
		Status:     status,
		SessionID:  rapid.SampledFrom([]string{"", "s1", "s2", "s'3\n"}).Draw(t, "session"),
		UserAgent:  rapid.SampledFrom([]string{"", "Firefox/1", "curl\t8"}).Draw(t, "agent"),
		Service:    rapid.SampledFrom([]string{"", "web", "api"}).Draw(t, "service"),
		MFAMethod:  rapid.SampledFrom([]event.MFAMethod{"", "totp", "push"}).Draw(t, "mfa"),
		Reason:     rapid.SampledFrom([]string{"", "wrong 100% password", "Übermut"}).Draw(t, "reason"),
	}
	if ip := rapid.SampledFrom([]string{"", "10.0.0.1", "10.0.0.200", "::", "2001:db8::1", "0.0.0.0"}).Draw(t, "ip"); ip != "" {
		e.IP = netip.MustParseAddr(ip)
	}
	if rapid.Bool().Draw(t, "attributes") {
		e.Attributes = map[string]string{"k'ey": "v\\al\n", "": ""}
	}
	return storedAs(e, uint64(i)+1)
}

// drawTime is dense around epoch, so that instants collide and sessions
// expire, and sometimes years away.
func drawTime(t *rapid.T) time.Time {
	step := rapid.SampledFrom([]time.Duration{0, time.Microsecond, time.Minute, time.Hour, 24 * time.Hour, 700 * 24 * time.Hour}).Draw(t, "step")
	return epoch.Add(step * time.Duration(rapid.IntRange(-3, 3).Draw(t, "steps")))
}

// storedAs gives an event its place in the stream. The hash is a function of
// the content, as the contract wants.
func storedAs(e event.Event, seq uint64) event.Stored {
	raw, err := event.Encode(e)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(raw)
	s := event.Stored{Event: e, Raw: raw, ReceivedAt: epoch.Add(time.Duration(seq) * time.Second), StreamSeq: seq}
	copy(s.Hash[:], sum[:])
	return s
}

// accountNames gives every example of a property an account of its own.
type accountNames struct{ next uint64 }

func (a *accountNames) name(prefix string) string {
	a.next++
	return prefix + "-" + fmt.Sprintf("%x", binary.BigEndian.AppendUint64(nil, a.next))
}

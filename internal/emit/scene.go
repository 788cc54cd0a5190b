package emit

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// scene is one stretch of one company's day; what happens goes to out.
type scene struct {
	rng      *rand.Rand
	account  *account
	midnight time.Time // UTC, where the day begins
	out      *[]event.Event
}

// visit is one try to get in, and the session it may open.
type visit struct {
	who     *person
	device  device
	at      time.Time
	session string
}

// visit begins one at a moment.
func (s *scene) visit(who *person, d device, at time.Time) *visit {
	return &visit{who: who, device: d, at: at, session: "s-" + s.hex(12)}
}

// during is a moment of this UTC day: local clock time of somebody in a zone.
func (s *scene) during(zone, local time.Duration) time.Time {
	return s.midnight.Add(((local-zone)%day + day) % day)
}

// pause is a random length of time.
func (s *scene) pause(least, most time.Duration) time.Duration {
	return least + time.Duration(s.rng.Int64N(int64(most-least)+1))
}

// chance is true in a share of cases.
func (s *scene) chance(share float64) bool { return s.rng.Float64() < share }

// tell adds what happened to v now, and lets a few seconds pass.
func (s *scene) tell(v *visit, status event.Status, reason string) {
	e := event.Event{
		Account: s.account.name, Username: v.who.username, OccurredAt: v.at.Truncate(time.Microsecond),
		Entry: v.device.entry, Status: status, SessionID: v.session, IP: v.device.ip,
		UserAgent: v.device.agent, Service: v.device.service, DeviceID: v.device.id,
		RequestID: "req-" + s.hex(8), Reason: reason,
	}
	switch {
	case status >= 20 || status == 18 || status == 19:
		e.MFAMethod = v.who.factor
	case status == 1 && s.chance(0.1):
		e.Unknown = map[string]json.RawMessage{"risk_score": json.RawMessage(fmt.Sprint(s.rng.IntN(40)))}
	case status == 6 || status == 7: // the server's doing: no client is there
		e.UserAgent, e.DeviceID, e.RequestID = "", "", ""
		e.OccurredAt = e.OccurredAt.Truncate(time.Second)
	case status >= 14 && status <= 17:
		e.SessionID = ""
	}
	if s.chance(0.3) {
		e.Attributes = map[string]string{"tls": pick(s.rng, []string{"1.2", "1.3", "1.3"}), "node": fmt.Sprintf("auth-%d", 1+s.rng.IntN(3))}
	}
	e.ID = uuid7(e.OccurredAt, s.rng.Uint64(), s.rng.Uint64())
	*s.out = append(*s.out, e)
	v.at = v.at.Add(s.pause(time.Second, 12*time.Second))
}

func (s *scene) hex(bytes int) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], s.rng.Uint64())
	binary.BigEndian.PutUint64(b[8:], s.rng.Uint64())
	return hex.EncodeToString(b[:bytes])
}

// uuid7 is a UUID of version 7 (RFC 9562): milliseconds, then chance.
func uuid7(at time.Time, high, low uint64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(at.UnixMilli())<<16|high&0xfff|0x7000)
	binary.BigEndian.PutUint64(b[8:], low&^(3<<62)|2<<62)
	x := hex.EncodeToString(b[:])
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}

// logIn is the way in from the password on: true when a session is open.
func (s *scene) logIn(v *visit) bool {
	for range 2 {
		if s.chance(v.who.clumsy) {
			s.tell(v, 5, "")
		}
	}
	if v.who.disabled {
		s.tell(v, 10, "user was disabled by an administrator")
		return false
	}
	if s.account.restricted && v.device.ip == v.who.home.ip && s.chance(0.3) {
		s.tell(v, 12, "address is not on the account's list")
		return false
	}
	if v.who.factor == "" {
		s.tell(v, 1, "")
		return true
	}
	return s.secondFactor(v)
}

// secondFactor is the way in from the right password on.
func (s *scene) secondFactor(v *visit) bool {
	s.tell(v, 25, "")
	s.tell(v, 24, "")
	if s.chance(0.04) {
		s.tell(v, pick(s.rng, []event.Status{22, 22, 23, 26}), "")
		if s.chance(0.2) {
			return false
		}
		s.tell(v, 24, "")
	}
	s.tell(v, 21, "")
	return true
}

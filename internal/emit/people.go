package emit

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/event"
)

// account is one company.
type account struct {
	number     int
	name       string
	people     []*person
	office     netip.Addr // the first address of its network
	restricted bool       // only its own addresses may log in
}

// person is one user with habits.
type person struct {
	username string
	zone     time.Duration // east of UTC
	begins   time.Duration // of the working day, local
	diligent float64       // the share of working days with a log-in
	clumsy   float64       // the share of log-ins with a wrong password
	factor   event.MFAMethod
	disabled bool
	desk     device
	phone    device
	home     device
}

// device is where somebody logs in from.
type device struct {
	id      string
	agent   string
	ip      netip.Addr
	entry   event.Entry
	service string
}

var companies = [...]string{
	"acme", "northwind", "contoso-pay", "globex", "initech",
	"umbrella_retail", "stark-supplies", "hooli", "wayne-logistics", "tyrell",
}

var firstNames = [...]string{
	"anna", "bashir", "chloé", "dmitri", "elif", "farah", "giulia", "henrik", "ines", "jun",
	"katarzyna", "liam", "mónica", "noor", "olu", "priya", "quentin", "rosa", "søren", "tariq",
	"ursula", "valeria", "wei", "ximena", "yusuf", "zoë", "渡辺", "Ольга", "أمينة", "d'arcy",
}

var lastNames = [...]string{
	"andersson", "brown", "costa", "dubois", "eriksen", "fischer", "garcía", "haddad", "ivanova", "jansen",
	"kowalska", "lindqvist", "müller", "nakamura", "o'neill", "petrov", "quispe", "rossi", "silva", "tanaka",
	"ünal", "virtanen", "wang", "xu", "yılmaz", "zhang",
}

var desktops = [...]string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Safari/605.1.15",
	"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0",
}

var phones = [...]string{
	"AcmeMobile/7.4.1 (iPhone16,2; iOS 19.1)",
	"AcmeMobile/7.4.0 (Pixel 9; Android 16)",
	"AcmeMobile/7.3.9 (SM-S931B; Android 15)",
}

var factors = [...]event.MFAMethod{"", "", "", "totp", "totp", "totp", "push", "push", "sms", "webauthn", "email", "call"}

// zones are the hours east of UTC where people live, the commonest first.
var zones = [...]int{1, 1, 1, 0, -5, -5, -8, 2, 9, 5, -3, 10}

func newAccount(rng *rand.Rand, number, users int) *account {
	name := fmt.Sprintf("company-%04d", number+1)
	if number < len(companies) {
		name = companies[number]
	}
	a := &account{
		number: number, name: name, restricted: number%4 == 2,
		office: v4(198, 18, byte(number), 0),
	}
	zone := zones[rng.IntN(len(zones))]
	for i := range users {
		a.people = append(a.people, a.newPerson(rng, i, zone))
	}
	return a
}

func (a *account) newPerson(rng *rand.Rand, i, zone int) *person {
	if rng.Float64() < 0.2 { // somebody abroad
		zone = zones[rng.IntN(len(zones))]
	}
	p := &person{
		username: a.username(i),
		zone:     time.Duration(zone) * time.Hour,
		begins:   8*time.Hour + time.Duration(rng.NormFloat64()*float64(40*time.Minute)),
		diligent: 0.5 + 0.45*rng.Float64(),
		clumsy:   0.02 + 0.1*rng.Float64(),
		factor:   factors[rng.IntN(len(factors))],
		disabled: i > 3 && rng.Float64() < 0.02,
	}
	p.desk = device{
		id: deviceID(rng), agent: pick(rng, desktops[:]), entry: 1, service: "web-login",
		ip: offset(a.office, 1+rng.IntN(5)), // a company shows few addresses
	}
	p.home = device{id: p.desk.id, agent: p.desk.agent, entry: 1, service: "web-login", ip: v6(rng)}
	if rng.Float64() < 0.5 {
		p.home.ip = v4(203, 0, 113, byte(rng.IntN(256)))
	}
	p.phone = device{
		id: deviceID(rng), agent: pick(rng, phones[:]), entry: 7, service: "mobile-login",
		ip: v4(100, byte(64+rng.IntN(64)), byte(rng.IntN(256)), byte(rng.IntN(256))),
	}
	if rng.Float64() < 0.6 {
		p.phone.ip = v6(rng)
	}
	return p
}

// machine is the place among a company's users of the one whose jobs run at
// night; the first is the administrator.
const machine = 1

// username makes up the i-th name of a company. Walking both lists in step
// gives as many pairs as their least common multiple; then numbers tell them
// apart.
func (a *account) username(i int) string {
	switch i {
	case 0:
		return "admin"
	case machine:
		return "svc-batch"
	}
	first := firstNames[(i+7*a.number)%len(firstNames)]
	last := lastNames[(i+5*a.number)%len(lastNames)]
	suffix := ""
	if pairs := len(firstNames) * len(lastNames) / 2; i >= pairs {
		suffix = fmt.Sprint(i)
	}
	switch i % 3 {
	case 0:
		return first + "." + last + suffix
	case 1:
		return first + "." + last + suffix + "@example.com"
	default:
		return strings.ToUpper(string([]rune(first)[:1])) + string([]rune(first)[1:]) + " " + last + suffix
	}
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

func deviceID(rng *rand.Rand) string { return fmt.Sprintf("dev-%010x", rng.Uint64()>>24) }

func v4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }

// v6 is an address of 2001:db8::/32, which is kept for documentation.
func v6(rng *rand.Rand) netip.Addr {
	var b [16]byte
	copy(b[:], []byte{0x20, 0x01, 0x0d, 0xb8})
	binary.BigEndian.PutUint16(b[4:], uint16(rng.Uint32()))
	binary.BigEndian.PutUint64(b[8:], rng.Uint64())
	return netip.AddrFrom16(b)
}

func offset(a netip.Addr, n int) netip.Addr {
	b := a.As4()
	b[3] += byte(n)
	return netip.AddrFrom4(b)
}

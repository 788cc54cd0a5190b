package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The shape of the data set. Small sets have fewer users, so that every user has
// an event and most events are not those.
const (
	allAccounts  = 1_000
	hugeUsers    = 300_000 // in the largest account
	midUsers     = 1_000   // in the account that stands for an ordinary customer
	allUsers     = 1_000_000
	heavyEvents  = 1_000_000 // of the busiest user
	hugeAccount  = 0
	midAccount   = 1
	jobs         = 1 // the place in its account of the user whose jobs run by themselves
	onceOneIn    = 20
	hugeShare    = 3_000 // of 10,000 sessions: those of the largest account
	midShare     = 200
	midIsWhole   = 20_000 // events from which on midAccount has all its users
	hugeIsWhole  = 1_000_000
	eventsAUser  = 10 // at least, of the users of all other accounts
	sharesInAll  = 10_000
	onlyAccounts = 100 // where there are fewer users
)

// population says who there is: the accounts with their sizes, and to whom a
// session belongs. The loader's SQL says the same (loadsql.go); a test compares
// them.
type population struct {
	seed uint64
	// starts are the numbers of the first users of each account, ascending, and
	// behind them the number of all users.
	starts []uint64
	// heavyShare is the busiest user's share of the sessions, of sharesInAll.
	heavyShare uint64
	// stride and offset order the users by their first visit; stride has no
	// divisor in common with the number of users.
	stride, offset uint64
}

// newPopulation makes the population of a set of events.
func newPopulation(events int, seed uint64) population {
	huge := min(hugeUsers, hugeUsers*events/hugeIsWhole)
	mid := min(midUsers, midUsers*events/midIsWhole)
	others := min(allUsers-hugeUsers-midUsers, events/eventsAUser)
	sizes := append([]int{max(huge, 1), max(mid, 1)}, zipf(max(others, onlyAccounts), allAccounts-2)...)
	p := population{seed: seed, starts: []uint64{0}}
	for _, size := range sizes {
		p.starts = append(p.starts, p.starts[len(p.starts)-1]+uint64(size))
	}
	p.heavyShare = uint64(sharesInAll * min(heavyEvents, events/20) / max(1, events-int(p.users())))
	p.stride, p.offset = 1_000_003, seed%p.users()
	for gcd(p.stride, p.users()) != 1 {
		p.stride += 2
	}
	return p
}

// zipf cuts n users into accounts whose sizes fall with their number, as 1, ½, ⅓
// and so on; each has one user at least, and there may be fewer accounts.
func zipf(n, accounts int) []int {
	accounts = min(accounts, n)
	var harmonic float64
	for i := range accounts {
		harmonic += 1 / float64(i+1)
	}
	sizes, left := make([]int, accounts), n
	for i := range sizes {
		sizes[i] = max(1, int(math.Floor(float64(n-accounts)/harmonic/float64(i+1))))
		left -= sizes[i]
	}
	sizes[0] += left
	return sizes
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// users is how many there are in all; their numbers begin with 0.
func (p population) users() uint64 { return p.starts[len(p.starts)-1] }

// accounts is how many there are.
func (p population) accounts() int { return len(p.starts) - 1 }

// size is how many users an account has.
func (p population) size(account int) uint64 { return p.starts[account+1] - p.starts[account] }

// visitors is how many users of an account of that size come more than once: all
// but the last ones, who have one event.
func visitors(size uint64) uint64 { return size - size/onceOneIn }

// accountOf is the account of a user.
func (p population) accountOf(user uint64) int {
	i, found := slices.BinarySearch(p.starts, user)
	if found {
		return i
	}
	return i - 1
}

// The decisions that are drawn, each by its own number.
const (
	drawLot = iota
	drawUser
	drawWithin
	drawJob
	drawPrompt
	drawWork
	drawRare
	drawDevice
	drawSessionHigh
	drawSessionLow
	drawJitter
	// of an event
	drawMoment
	drawIDHigh
	drawIDLow
	drawRequest
	drawAttributes
	drawNode
	drawRisk
	drawReceived
	drawIngested
	// of a user
	drawDesk
	drawPhone
	drawDeskDevice
	drawPhoneDevice
	drawFactor
	drawOffice
	drawHome
	drawHomeLow
	drawCell
	drawCellLow

	draws = 64 // decisions that there may be
)

// draw is a number by chance, the same for the same decision about the same
// thing: ClickHouse's intHash64.
func (p population) draw(thing uint64, decision int) uint64 {
	x := (thing*draws + uint64(decision)) ^ p.mix() ^ 0x4CF2D2BAAE6DA887
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// mix spreads the seed over all bits.
func (p population) mix() uint64 { return p.seed * 0x9E3779B97F4A7C15 }

// visitor is the user of a session: the busiest one and the accounts by their
// shares, within an account few users often and most of them seldom.
func (p population) visitor(session uint64) uint64 {
	lot, account := p.draw(session, drawLot)%sharesInAll, hugeAccount
	switch {
	case lot < p.heavyShare:
		return 0
	case lot < p.heavyShare+midShare:
		account = midAccount
	case lot >= p.heavyShare+midShare+hugeShare:
		rest := p.starts[midAccount+1]
		account = p.accountOf(rest + p.draw(session, drawUser)%(p.users()-rest))
	}
	v := p.draw(session, drawWithin) >> 32
	v = (v * v >> 32) * v >> 32
	return p.starts[account] + v*visitors(p.size(account))>>32
}

// accountName is the name of an account.
func accountName(account int) string {
	switch account {
	case hugeAccount:
		return "huge"
	case midAccount:
		return "thousand"
	}
	return fmt.Sprintf("company-%04d", account)
}

// accountNumber is the number of an account by its name, in decimal.
func accountNumber(name string) string {
	switch name {
	case accountName(hugeAccount):
		return strconv.Itoa(hugeAccount)
	case accountName(midAccount):
		return strconv.Itoa(midAccount)
	}
	return strings.TrimLeft(strings.TrimPrefix(name, "company-"), "0")
}

var firstNames = [...]string{ //nolint:gochecknoglobals // a constant list
	"anna", "bashir", "chloé", "dmitri", "elif", "farah", "giulia", "henrik", "ines", "jun",
	"katarzyna", "liam", "mónica", "noor", "olu", "priya", "quentin", "rosa", "søren", "tariq",
	"ursula", "valeria", "wei", "ximena", "yusuf", "zoë", "渡辺", "ольга", "أمينة", "d'arcy",
}

var lastNames = [...]string{ //nolint:gochecknoglobals // a constant list
	"andersson", "brown", "costa", "dubois", "eriksen", "fischer", "garcía", "haddad", "ivanova", "jansen",
	"kowalska", "lindqvist", "müller", "nakamura", "o'neill", "petrov", "quispe", "rossi", "silva", "tanaka",
	"ünal", "virtanen", "wang", "xu", "yılmaz", "zhang",
}

// namePairs is how many pairs of names come before numbers tell them apart.
const namePairs = len(firstNames) * len(lastNames) / 2

// userName is the name of the i-th user of an account.
func userName(account int, i uint64) string {
	switch i {
	case 0:
		return "admin"
	case jobs:
		return "svc-batch"
	}
	first := firstNames[(i+7*uint64(account))%uint64(len(firstNames))]
	last := lastNames[(i+5*uint64(account))%uint64(len(lastNames))]
	suffix := ""
	if i >= uint64(namePairs) {
		suffix = strconv.FormatUint(i, 10)
	}
	switch i % 3 {
	case 0:
		return first + "." + last + suffix
	case 1:
		return first + "." + last + suffix + "@example.com"
	default:
		return first + " " + last + suffix
	}
}

// name is the account and the name of a user.
func (p population) name(user uint64) (account, username string) {
	a := p.accountOf(user)
	return accountName(a), userName(a, user-p.starts[a])
}

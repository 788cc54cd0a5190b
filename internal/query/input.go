package query

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/loginaudit/loginaudit/event"
)

// Asked is what a question is about, apart from its parameters.
type Asked struct {
	// Account is whose data is asked for.
	Account string
	// Username is the user that the path names; nil where it names none.
	Username *string
	// Now is the moment that "now" means; a cursor overrides it by that of the
	// first page.
	Now time.Time
	// Moving, where not nil, is set to true by a Parse function whose question
	// depends on Now and not on a cursor's: the same words ask for something else
	// later.
	Moving *bool
}

// maxErrors bounds an answer that tells what is wrong.
const maxErrors = 32

// input reads the parameters of one question and collects what is wrong.
type input struct {
	route  route
	values url.Values
	asked  Asked
	clock  clock
	after  []byte // the cursor's position; nil on the first page
	errs   []ParameterError
}

// open checks what is independent of the meaning of the parameters: their
// names, their number, the cursor and the zone, on which the times depend.
func open(r route, v url.Values, a Asked) *input {
	a.Now = clamp(a.Now)
	in := &input{route: r, values: v, asked: a, clock: clock{now: a.Now, zone: time.UTC}}
	in.checkNames()
	in.readZone()
	in.readCursor()
	return in
}

// fail notes that a parameter is wrong.
func (in *input) fail(name, detail string) {
	in.failAllowed(name, detail, allowed(name))
}

func (in *input) failAllowed(name, detail, allowed string) {
	if len(in.errs) < maxErrors {
		in.errs = append(in.errs, ParameterError{Parameter: name, Detail: detail, Allowed: allowed})
	}
}

// err is everything that was wrong, or nil.
func (in *input) err() error {
	if len(in.errs) == 0 {
		return nil
	}
	return &InvalidError{Errors: in.errs}
}

// checkNames refuses parameters that the route does not take, single-valued
// ones given twice, and text that is not UTF-8.
func (in *input) checkNames() {
	names := make([]string, 0, len(in.values))
	for name := range in.values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		values := in.values[name]
		switch {
		case !in.route.takes(name):
			in.failAllowed(cut(name), "is not a parameter here", in.route.allowed())
		case len(values) > 1 && !parameters[name].many:
			in.fail(name, "is given more than once")
		case slices.ContainsFunc(values, func(s string) bool { return !utf8.ValidString(s) }):
			in.fail(name, "is not UTF-8")
		}
	}
}

// has reports whether the parameter is given and belongs to the route.
func (in *input) has(name string) bool {
	return len(in.values[name]) > 0 && in.route.takes(name)
}

// one is the value of a single-valued parameter that may not be empty.
func (in *input) one(name string) (string, bool) {
	if !in.has(name) {
		return "", false
	}
	value := in.values[name][0]
	if value == "" {
		in.fail(name, "is empty")
		return "", false
	}
	return value, utf8.ValidString(value)
}

// exact is the value of a parameter that is compared as it stands; the empty
// one asks for what is absent.
func (in *input) exact(name string) *string {
	if !in.has(name) {
		return nil
	}
	value := in.values[name][0]
	return &value
}

// text is the value of a parameter whose emptiness means nothing is sought.
func (in *input) text(name string) string {
	if !in.has(name) {
		return ""
	}
	return in.values[name][0]
}

// many reads a repeatable parameter against the closed list of its values.
func many[T comparable](in *input, name string, all []T) []T {
	return manyOf(in, name, all, allowed(name))
}

// manyOf is many where the route takes other values than most.
func manyOf[T comparable](in *input, name string, all []T, allowed string) []T {
	if !in.has(name) {
		return nil
	}
	var got []T
	for _, value := range in.values[name] {
		v, ok := find(all, value)
		switch {
		case !ok:
			in.failAllowed(name, shown(value)+" is unknown", allowed)
		case !slices.Contains(got, v):
			got = append(got, v)
		}
	}
	return got
}

// choice reads a single-valued parameter against the closed list of its values.
func choice[T comparable](in *input, name string, all []T, otherwise T) T {
	value, ok := in.one(name)
	if !ok {
		return otherwise
	}
	v, ok := find(all, value)
	if !ok {
		in.fail(name, shown(value)+" is unknown")
		return otherwise
	}
	return v
}

// find is the member of all that is written as value.
func find[T comparable](all []T, value string) (v T, ok bool) {
	for _, a := range all {
		if spell(a) == value {
			return a, true
		}
	}
	return v, false
}

func (in *input) yesNo(name string) *bool {
	value, ok := in.one(name)
	switch {
	case !ok:
		return nil
	case value != "true" && value != "false":
		in.fail(name, shown(value)+" is neither")
		return nil
	}
	yes := value == "true"
	return &yes
}

func (in *input) method(name string) *string {
	value := in.exact(name)
	if value == nil || *value == "" {
		return value
	}
	if _, ok := find(event.MFAMethods(), *value); !ok {
		in.fail(name, shown(*value)+" is unknown")
	}
	return value
}

func (in *input) limit() int { return in.number("limit", DefaultLimit, MaxLimit) }

// number reads a number from 1 to most.
func (in *input) number(name string, otherwise, most int) int {
	value, ok := in.one(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != value {
		in.fail(name, shown(value)+" is not a number in the range")
		return otherwise
	}
	return n
}

func (in *input) readZone() {
	name, ok := in.one("tz")
	if !ok {
		return
	}
	zone, err := time.LoadLocation(name)
	if err != nil || !namesAZone(name) {
		in.fail("tz", shown(name)+" is not a known time zone")
		return
	}
	in.clock.zone = zone
}

// namesAZone refuses what a zone database holds besides zones: the server's own
// zone, which is nobody's choice, and zones that count leap seconds.
func namesAZone(name string) bool {
	switch name {
	case "Local", "localtime", "posixrules", "Factory":
		return false
	}
	return !strings.HasPrefix(name, "right/") && !strings.HasPrefix(name, "posix/")
}

// time reads a time within what the store can hold; zero when it is not given.
func (in *input) time(name string, e edge) time.Time {
	t, given := in.exactTime(name, e)
	if !given {
		return time.Time{}
	}
	return clamp(t)
}

// exactTime reads a time wherever it lies.
func (in *input) exactTime(name string, e edge) (t time.Time, given bool) {
	value, ok := in.one(name)
	if !ok {
		return time.Time{}, false
	}
	t, err := in.clock.exact(value, e)
	if isRelative(value) {
		in.moves()
	}
	if err != nil {
		in.fail(name, shown(value)+" "+err.Error())
		return time.Time{}, false
	}
	return t, true
}

// asOf is the moment of the answer: now unless given.
func (in *input) asOf() time.Time {
	if t := in.time("as_of", asMoment); !t.IsZero() {
		return t
	}
	in.moves()
	return in.clock.now
}

// moves notes that the question depends on now. The now of a cursor stays.
func (in *input) moves() {
	if in.after == nil && in.asked.Moving != nil {
		*in.asked.Moving = true
	}
}

// timeRange reads a half-open range.
func (in *input) timeRange(start, end string) TimeRange {
	from, hasStart := in.exactTime(start, asStart)
	to, hasEnd := in.exactTime(end, asEnd)
	if hasStart && hasEnd && !from.Before(to) {
		in.failAllowed(end, fmt.Sprintf("ends at %s, which leaves nothing after %s at %s", At(to), start, At(from)),
			"a time after "+start+"; a date means the whole of that day")
	}
	// Only now: a range that no event can lie in is no wrong range.
	var r TimeRange
	if hasStart {
		r.Start = clamp(from)
	}
	if hasEnd {
		r.End = clamp(to)
	}
	return r
}

// prefix reads an address or a range of addresses of one family.
func (in *input) prefix(name string) netip.Prefix {
	value, ok := in.one(name)
	if !ok {
		return netip.Prefix{}
	}
	p, err := parsePrefix(value)
	if err != nil {
		in.fail(name, shown(value)+" "+err.Error())
	}
	return p
}

var (
	errNoPrefix = errors.New("is neither an address nor a range")
	errZone     = errors.New("has a zone, which no event has")
)

// parsePrefix reads an address or CIDR. Bits beyond the range's length are
// dropped. What lies in the block ::ffff:0:0/96 is IPv4; a wider IPv6 range
// stays IPv6, so that it never means an IPv4 address.
func parsePrefix(s string) (netip.Prefix, error) {
	addr, bits, hasBits := strings.Cut(s, "/")
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}, errNoPrefix
	}
	if ip.Zone() != "" {
		return netip.Prefix{}, errZone
	}
	n := ip.BitLen()
	if hasBits {
		n, err = strconv.Atoi(bits)
		if err != nil || n < 0 || n > ip.BitLen() || strconv.Itoa(n) != bits {
			return netip.Prefix{}, errNoPrefix
		}
	}
	if ip.Is4In6() && n >= 96 {
		ip, n = ip.Unmap(), n-96
	}
	return netip.PrefixFrom(ip, n).Masked(), nil
}

// spell writes a value as the parameters take it: codes as numbers.
func spell[T any](v T) string {
	switch v := any(v).(type) {
	case event.Status:
		return strconv.Itoa(int(v))
	case event.Entry:
		return strconv.Itoa(int(v))
	default:
		return fmt.Sprint(v)
	}
}

// shown quotes what the asker wrote, within reason.
func shown(s string) string { return strconv.Quote(cut(s)) }

func cut(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

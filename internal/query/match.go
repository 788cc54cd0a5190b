package query

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
)

// Matches reports whether the filter lets the event through, exactly as the store
// decides it by SQL. Order, Limit and After, which say how events are listed and
// not which are meant, do not count. Nor does the account, which a filter does
// not name.
func (f EventFilter) Matches(e Event) bool {
	return anyOf(f.Statuses, e.Status) && anyOf(f.Entries, e.Entry) &&
		anyOf(f.Kinds, e.Status.Kind()) && anyOf(f.Outcomes, e.Status.Outcome()) &&
		(f.Username == nil || *f.Username == e.Username) &&
		equals(f.SessionID, e.SessionID) && equals(f.Service, e.Service) && equals(f.MFAMethod, e.MFAMethod) &&
		f.Range.holds(e.OccurredAt) && inPrefix(f.IP, e.IP) && f.textMatches(e)
}

// equals compares a value that may be absent with the one that is wanted, if any;
// the empty one means that it is absent.
func equals[S ~string](want *string, have *S) bool {
	switch {
	case want == nil:
		return true
	case have == nil:
		return *want == ""
	default:
		return *want == string(*have)
	}
}

// holds compares by microseconds, as the store does.
func (r TimeRange) holds(t Timestamp) bool {
	at := t.UnixMicro()
	return (r.Start.IsZero() || at >= r.Start.UnixMicro()) && (r.End.IsZero() || at < r.End.UnixMicro())
}

// inPrefix tells whether the address, in the form of an answer, lies in a range.
// Families do not meet: an answer has no IPv4-mapped IPv6 address.
func inPrefix(p netip.Prefix, address *string) bool {
	if !p.IsValid() {
		return true
	}
	if address == nil {
		return false
	}
	ip, err := netip.ParseAddr(*address)
	return err == nil && p.Contains(ip)
}

// textMatches tells whether the text stands in one of the texts of the event.
func (f EventFilter) textMatches(e Event) bool {
	if f.Text == "" {
		return true
	}
	for _, text := range []*string{&e.Username, e.Reason, e.UserAgent} {
		if text != nil && Holds(*text, f.Text) {
			return true
		}
	}
	return false
}

// Holds tells whether part stands somewhere in text, whatever the case: ASCII is
// compared letter by letter, any other part by Unicode's case folding.
func Holds(text, part string) bool {
	form := asciiLower
	if strings.ContainsFunc(part, func(r rune) bool { return r >= utf8.RuneSelf }) {
		form = fold
	}
	return strings.Contains(form(text), form(part))
}

// asciiLower makes the letters of ASCII small, and nothing else.
func asciiLower(text string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// fold is Unicode's full case folding (CaseFolding.txt, C and F) as ClickHouse's
// library has it.
func fold(text string) string {
	folder := cases.Fold()
	if !strings.ContainsFunc(text, func(r rune) bool { return foldedOtherwise(r) != 0 }) {
		return folder.String(text)
	}
	var b strings.Builder
	for _, r := range text {
		if other := foldedOtherwise(r); other != 0 {
			b.WriteRune(other)
		} else {
			b.WriteString(folder.String(string(r)))
		}
	}
	return b.String()
}

// foldedOtherwise is what folds otherwise than in golang.org/x/text: letters that
// came with Unicode 16 and 17, and Cherokee, which folds to its capitals. 0 for
// all others.
func foldedOtherwise(r rune) rune {
	switch {
	case r < 0x13A0:
		return 0
	case r <= 0x13F5:
		return r
	case r == 0x1C89, r == 0xA7CC, r == 0xA7CE, r == 0xA7D2, r == 0xA7D4, r == 0xA7DA:
		return r + 1
	case r == 0xA7CB:
		return 0x0264
	case r == 0xA7DC:
		return 0x019B
	case 0x10D50 <= r && r <= 0x10D65:
		return r + 0x20
	case 0x16EA0 <= r && r <= 0x16EB8:
		return r + 0x1B
	}
	return 0
}

package store_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/text/cases"
	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// spicy are texts whose cases meet in every way that Unicode has: expansions, final
// sigma, dotless and dotted i, combining marks, titlecase, ligatures, Cherokee, signs
// that fold into ASCII, and letters of the latest versions.
var spicy = []string{
	"a", "A", "s", "S", "k", "K", "i", "I", "x", "9", "%", "_", "\\", "'", " ", "\x00", "\n",
	"ß", "ẞ", "ss", "SS", "ς", "σ", "Σ", "İ", "ı", "i̇", "é", "e\u0301", "É", "\u0345", "Ǆ", "ǅ", "ǆ", "ﬁ", "fi", "FI", "ﬃ",
	"\u212a", "\u212b", "Å", "å", "ſ", "Ꭰ", "ꭰ", "Ᏸ", "ᏸ", "ა", "Ა", "Ω", "Ω", "ŉ", "ʼn", "名", "🙂", "\u200d", "\u00ad",
	"\u1c89", "\u1c8a", "\ua7cb", "\u0264", "\ua7dc", "\u019b", "\U00010d50", "\U00010d70", "\U00016ea0", "\U00016ebb", "𐐀", "𐐨",
}

func drawText(rt *rapid.T, label string, least, most int) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(spicy), least, most).Draw(rt, label), "")
}

// addresses of both families, and such as look like the other one.
var addresses = []string{"0.0.0.0", "10.0.0.1", "10.0.0.200", "255.255.255.255", "::", "::1", "::10.0.0.1", "2001:db8::1", "64:ff9b::a00:1", "ffff::"}

func drawSpicyEvent(rt *rapid.T, account string, i int) event.Stored {
	e := drawEvent(rt, account, []string{"ann"}, i).Event
	e.Username = drawText(rt, "username", 1, 3)
	e.Reason = drawText(rt, "reason", 0, 3)
	e.UserAgent = drawText(rt, "agent", 0, 3)
	e.IP = netip.Addr{}
	if ip := rapid.SampledFrom(append([]string{""}, addresses...)).Draw(rt, "address"); ip != "" {
		e.IP = netip.MustParseAddr(ip)
	}
	e.OccurredAt = e.OccurredAt.Add(time.Duration(rapid.IntRange(-2, 2).Draw(rt, "micros")) * time.Microsecond)
	return storedAs(e, uint64(i)+1)
}

func drawSpicyFilter(rt *rapid.T, events []event.Stored) query.EventFilter {
	f := query.EventFilter{
		Range:    drawRange(rt),
		Statuses: drawSet(rt, "statuses", event.Statuses()),
		Entries:  drawSet(rt, "entries", event.Entries()),
		Kinds:    drawSet(rt, "kinds", event.Kinds()),
		Outcomes: drawSet(rt, "outcomes", event.Outcomes()),
		Limit:    query.MaxLimit,
	}
	// Bounds need not be whole microseconds.
	if !f.Range.Start.IsZero() {
		f.Range.Start = f.Range.Start.Add(time.Duration(rapid.IntRange(-1500, 1500).Draw(rt, "start nanos")))
	}
	if !f.Range.End.IsZero() {
		f.Range.End = f.Range.End.Add(time.Duration(rapid.IntRange(-1500, 1500).Draw(rt, "end nanos")))
	}
	one := rapid.SampledFrom(events).Draw(rt, "one")
	exact := func(label, own string) *string {
		switch rapid.IntRange(0, 6).Draw(rt, label) {
		case 0:
			return new("")
		case 1, 2:
			return &own
		default:
			return nil
		}
	}
	f.Username, f.SessionID = exact("username?", one.Username), exact("session?", one.SessionID)
	f.Service, f.MFAMethod = exact("service?", one.Service), exact("mfa?", string(one.MFAMethod))
	if rapid.Bool().Draw(rt, "text?") {
		f.Text = drawText(rt, "text", 1, 2)
	}
	if rapid.IntRange(0, 2).Draw(rt, "address?") == 0 {
		ip := netip.MustParseAddr(rapid.SampledFrom(append([]string{"::ffff:0:0", "::fffe:0:0"}, addresses...)).Draw(rt, "range"))
		bits := rapid.IntRange(0, ip.BitLen()).Draw(rt, "bits")
		if ip.Is4In6() && bits >= 96 { // as the parameter is read
			ip, bits = ip.Unmap(), bits-96
		}
		f.IP = netip.PrefixFrom(ip, bits).Masked()
	}
	return f
}

// The tail filters in Go what lists filter by SQL.
func TestAFilterMeansTheSameInGoAndInSQL(t *testing.T) {
	db := openDatabase(t)
	names := &accountNames{}
	matched, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		account := names.name("match")
		events := make([]event.Stored, rapid.IntRange(1, 30).Draw(rt, "events"))
		for i := range events {
			events[i] = drawSpicyEvent(rt, account, i)
		}
		if err := db.writer.Insert(context.Background(), events); err != nil {
			rt.Fatal(err)
		}
		all, err := db.reader.Events(context.Background(), account, query.EventFilter{Limit: query.MaxLimit})
		if err != nil {
			rt.Fatal(err)
		}
		for range 8 {
			f := drawSpicyFilter(rt, events)
			page, err := db.reader.Events(context.Background(), account, f)
			if err != nil {
				rt.Fatal(err)
			}
			bySQL := make(map[event.Hash]bool)
			for _, e := range page.Events {
				bySQL[e.Hash] = true
			}
			for _, e := range all.Events {
				if f.Matches(e) != bySQL[e.Hash] {
					rt.Fatalf("Matches is %v, SQL says otherwise: filter %s, event %+v", f.Matches(e), described(f), e)
				}
				if bySQL[e.Hash] {
					matched++
				} else {
					refused++
				}
			}
		}
	})
	if matched == 0 || refused == 0 {
		t.Errorf("%d matched, %d did not: the property tells nothing", matched, refused)
	}
}

// described is the filter without pointers.
func described(f query.EventFilter) string {
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return fmt.Sprintf("%+q", *s)
	}
	return fmt.Sprintf("%+v username %s session %s service %s mfa %s text %+q", f, text(f.Username), text(f.SessionID), text(f.Service), text(f.MFAMethod), f.Text)
}

// folded is what ClickHouse makes of texts.
func (d database) folded(t testing.TB, texts []string) (folded []string) {
	t.Helper()
	row := d.raw.QueryRow(t.Context(), "SELECT arrayMap(x -> caseFoldUTF8(x), {texts:Array(String)})", clickhouse.Named("texts", texts))
	if err := row.Scan(&folded); err != nil {
		t.Fatal(err)
	}
	return folded
}

// Every character that has cases for anyone is sought in each of its forms.
func TestEveryCharacterIsFoundWhateverItsCaseInGoAsInSQL(t *testing.T) {
	db := openDatabase(t)
	var all []string
	for r := rune(0x80); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) {
			all = append(all, string(r))
		}
	}
	var letters, forms []string
	for chunk := range slices.Chunk(all, 1<<14) {
		for i, folded := range db.folded(t, chunk) {
			letter := chunk[i]
			r, _ := utf8.DecodeRuneInString(letter)
			for _, form := range []string{
				folded, strings.ToUpper(letter), strings.ToLower(letter), strings.ToTitle(letter), cases.Fold().String(letter), string(unicode.SimpleFold(r)),
			} {
				if form != letter {
					letters, forms = append(letters, letter, form), append(forms, form, letter)
				}
			}
		}
	}
	sought, has := db.folded(t, letters), db.folded(t, forms)
	different := 0
	for i := range letters {
		got := query.EventFilter{Text: letters[i] + "é"}.Matches(query.Event{Username: forms[i] + "É"})
		if want := strings.Contains(has[i]+"é", sought[i]+"é"); got != want {
			t.Errorf("%+q is sought in %+q: found is %v in Go, %v in SQL", letters[i], forms[i], got, want)
		}
		if !got {
			different++
		}
	}
	if different == 0 || different == len(letters) {
		t.Errorf("of %d pairs %d are different: that tells nothing", len(letters), different)
	}
}

package web

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"
	"pgregory.net/rapid"
)

func TestTextShowsWhatHidesOrReordersAsItsCode(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"ann":                                   "ann",
		"josé müller 山田 😀":                      "josé müller 山田 😀",
		"\u202egnp.exe":                         "⟨U+202E⟩gnp.exe",
		"a\u200bb\u200db":                       "a⟨U+200B⟩b⟨U+200D⟩b",
		"\u2066x\u2069":                         "⟨U+2066⟩x⟨U+2069⟩",
		"a\nb\tc\x00\x1b[31m":                   "a⟨U+000A⟩b⟨U+0009⟩c⟨U+0000⟩⟨U+001B⟩[31m",
		"a\u00a0b":                              "a⟨U+00A0⟩b",
		"soft\u00adhyphen":                      "soft⟨U+00AD⟩hyphen",
		" ann ":                                 "⟨U+0020⟩ann⟨U+0020⟩",
		"a  b":                                  "a  b",
		"\ufeffx":                               "⟨U+FEFF⟩x",
		"x\ufe0f":                               "x⟨U+FE0F⟩",
		"\u3164":                                "⟨U+3164⟩",
		"\u2800x":                               "⟨U+2800⟩x",
		"\ue000":                                "⟨U+E000⟩",
		"\u0301a":                               "⟨U+0301⟩a",
		"e\u0301":                               "e\u0301",
		"z" + strings.Repeat("\u0335", 6) + "y": "z\u0335\u0335\u0335\u0335⟨U+0335⟩⟨U+0335⟩y",
		"\U000E0041":                            "⟨U+E0041⟩",
		"a\xffb":                                "a⟨U+FFFD⟩b",
		"⟨U+202E⟩":                              "⟨U+202E⟩",
		"<b>&amp;</b>":                          "<b>&amp;</b>",
	} {
		if got := plain(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTextLosesNothingAndHasNothingHidden(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "text")
		var back strings.Builder
		for _, piece := range visible(in) {
			if piece.Code == "" {
				back.WriteString(piece.Text)
				continue
			}
			var r rune
			for _, digit := range strings.TrimPrefix(piece.Code, "U+") {
				r = r<<4 | rune(strings.IndexRune("0123456789ABCDEF", digit))
			}
			back.WriteRune(r)
		}
		if back.String() != in {
			t.Fatalf("%q came back as %q", in, back.String())
		}
		if shown := plain(in); strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q is shown as %q", in, shown)
		}
	})
}

func TestTextOfMessagesKeepsItsLines(t *testing.T) {
	got := visibleLines("{\n\t\"a\": \"\u202e\r\"\n}\n")
	if len(got) != 4 || got[0].Text != "{\n\t\"a\": \"" || got[1].Code != "U+202E" || got[2].Code != "U+000D" || got[3].Text != "\"\n}\n" {
		t.Errorf("%q", got)
	}
}

// hostile are names and texts of somebody who wants to be shown as another, or
// as part of the page.
func hostile() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg onload=alert(1)>`, `</title><script>x</script>`,
		`javascript:alert(1)`, `{{.Account}}`, "admin\u202e\u2066txt.exe", "ad\u200bmin", "admin\u00a0", " admin", "a\x00b\x1b[2Jc",
		strings.Repeat("W", 256), strings.Repeat("\u0335", 128), `&lt;b&gt;`, "\u2028x\u2029", ".", "..", "-->", "]]>", "`${1}`",
	}
}

func TestPageShowsHostileTextsAsTextAndVisibly(t *testing.T) {
	for _, text := range hostile() {
		e := eventAt(time.Minute, "e", text, 5)
		e.UserAgent, e.Service, e.SessionID = text, text[:min(len(text), 60)], text[:min(len(text), 60)]
		e.Reason, e.DeviceID, e.RequestID = text, e.SessionID, e.SessionID
		e.Attributes = map[string]string{e.SessionID: text}
		s := newPlainStore(stored(t, e)...)
		list := visit(t, s, acmePages)
		history := list.href(t, ".rows tbody a.row")
		for name, p := range map[string]shownPage{
			"users": list, "history": visit(t, s, history), "events": visit(t, s, acmePages+"/events"),
			"details": visit(t, s, acmePages+"/events/e"), "single": visit(t, s, history+"?view=events"),
			"filters": visit(t, s, acmePages+"/events?"+with(nil, "username", text).Encode()),
			"wrong":   visit(t, s, acmePages+"/events?"+with(with(nil, "ip", text), text, text).Encode()),
			"sign-in": visitAs(t, mustHandler(t, s), "/sign-in?"+with(with(nil, "next", "/"+text), "code", text).Encode()),
			"unknown": visit(t, s, links{account: "acme"}.User(text+"x", nil)),
		} {
			wantHarmless(t, name, text, p)
		}
		if got := list.text(t, ".rows tbody a.row"); got != strings.Join(strings.Fields(plain(text)), " ") {
			t.Errorf("%q is listed as %q", text, got)
		}
	}
}

func mustHandler(t testing.TB, s Store) http.Handler {
	t.Helper()
	handler, _ := pageServer(t, s)
	return handler
}

// wantHarmless: nothing in the page comes from the text but text, and nothing
// that is shown is hidden or reorders.
func wantHarmless(t testing.TB, page, text string, p shownPage) {
	t.Helper()
	if got := len(p.all(t, "script")); got != 1 {
		t.Errorf("%s of %q has %d scripts", page, text, got)
	}
	for n := range p.doc.Descendants() {
		if n.Type == html.TextNode && strings.ContainsFunc(n.Data, func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }) {
			t.Errorf("%s of %q shows %q", page, text, n.Data)
		}
		if n.Type == html.ElementNode && (n.Data == "img" || n.Data == "b" && n.Parent.Data == "bdi") {
			t.Errorf("%s of %q has an element %s", page, text, n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "href" && strings.HasPrefix(a.Val, "javascript:") {
				t.Errorf("%s of %q has %s=%q", page, text, a.Key, a.Val)
			}
		}
	}
}

func TestTextsOfEventsAreIsolatedFromTheTextAroundThem(t *testing.T) {
	e := eventAt(time.Minute, "e", "\u05d0\u05d1", 5)
	e.Reason = "\u0633\u0644"
	p := visit(t, newPlainStore(stored(t, e)...), acmePages+"/events")
	if got := p.texts(t, ".rows bdi"); len(got) < 3 {
		t.Errorf("isolated: %q", got)
	}
}

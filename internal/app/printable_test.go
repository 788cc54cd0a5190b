package app_test

import (
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/internal/app"
)

func TestTextThatCouldActHideOrCoverIsEscaped(t *testing.T) {
	for text, want := range map[string]string{
		"Ann Ågren, 日本語 👍":                "Ann Ågren, 日本語 👍",
		"\x1b[31m\a\r\n\t\x00":            `\x1b[31m\x07\x0d\x0a\x09\x00`,
		"\u009b31m\u0085":                 `\u009b31m\u0085`,
		"\u202egnp.exe\u2066\u200f":       `\u202egnp.exe\u2066\u200f`,
		"a\u200bb\ufeff\u00ad":            `a\u200bb\ufeff\u00ad`,
		"\u3164\u115f\u2800\ufe0f":        `\u3164\u115f\u2800\ufe0f`,
		"\u2028\u00a0":                    `\u2028\u00a0`,
		"\U000e0041":                      `\U000e0041`,
		"not UTF-8: \xff\xc3":             `not UTF-8: \xff\xc3`,
		"e\u0301":                         "e\u0301",
		"\u0301first":                     `\u0301first`,
		"a" + strings.Repeat("\u0301", 6): "a" + strings.Repeat("\u0301", 4) + `\u0301\u0301`,
	} {
		if got := app.Printable(text); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

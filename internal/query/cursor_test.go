package query

import (
	"encoding/base64"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/loginaudit/loginaudit/event"
)

func drawTime(t *rapid.T, label string) time.Time {
	return time.UnixMicro(rapid.Int64Range(0, latestTime().UnixMicro()).Draw(t, label)).UTC()
}

func drawHash(t *rapid.T) (h event.Hash) {
	copy(h[:], rapid.SliceOfN(rapid.Byte(), len(h), len(h)).Draw(t, "hash"))
	return h
}

func drawPosition(t *rapid.T) Position {
	return Position{At: drawTime(t, "at"), Rank: rapid.Byte().Draw(t, "rank"), Hash: drawHash(t)}
}

// with is v with the cursor of the next page.
func with(v url.Values, cursor *string) url.Values {
	next := url.Values{"cursor": {*cursor}}
	for name, values := range v {
		next[name] = values
	}
	return next
}

func TestCursorOfEventsComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, a := url.Values{"start": {"-24h"}, "q": {rapid.String().Draw(t, "q")}}, Asked{Account: "acme", Now: drawTime(t, "now")}
		first, cursors, err := ParseEvents(v, a)
		if err != nil {
			t.Fatal(err)
		}
		p := drawPosition(t)
		a.Now = a.Now.Add(time.Hour) // the next page is asked for later
		second, _, err := ParseEvents(with(v, cursors.Event(&p)), a)
		if err != nil {
			t.Fatal(err)
		}
		first.After = &p
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("the next page asks for\n%+v, want\n%+v", second, first)
		}
	})
}

func TestCursorOfUsersComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, a := url.Values{"sort": {"-last_login"}}, Asked{Account: "acme", Now: drawTime(t, "now")}
		first, cursors, err := ParseUsers(v, a)
		if err != nil {
			t.Fatal(err)
		}
		p := UserPosition{Username: rapid.StringN(0, -1, 256).Draw(t, "username")}
		if rapid.Bool().Draw(t, "has an event") {
			at := drawPosition(t)
			p.Event = &at
		}
		a.Now = a.Now.Add(time.Hour)
		second, _, err := ParseUsers(with(v, cursors.User(&p)), a)
		if err != nil {
			t.Fatal(err)
		}
		first.After = &p
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("the next page asks for\n%+v, want\n%+v", second, first)
		}
	})
}

func TestCursorOfAttemptsComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		username := rapid.String().Draw(t, "username")
		a := Asked{Account: "acme", Username: &username, Now: drawTime(t, "now")}
		first, cursors, err := ParseAttempts(nil, a)
		if err != nil {
			t.Fatal(err)
		}
		p := AttemptPosition{StartedAt: drawTime(t, "start"), FirstHash: drawHash(t)}
		a.Now = a.Now.Add(time.Hour)
		second, _, err := ParseAttempts(with(nil, cursors.Attempt(&p)), a)
		if err != nil {
			t.Fatal(err)
		}
		first.After = &p
		if !reflect.DeepEqual(first, second) {
			t.Fatalf("the next page asks for\n%+v, want\n%+v", second, first)
		}
	})
}

func TestCursorOfTheLastPageIsNil(t *testing.T) {
	var c Cursors
	if c.Event(nil) != nil || c.User(nil) != nil || c.Attempt(nil) != nil {
		t.Error("a last page has a cursor")
	}
}

func somePosition() *Position { return &Position{At: noon, Rank: 3, Hash: event.Hash{1, 2, 3}} }

func TestCursorIsRefusedElsewhere(t *testing.T) {
	bob, eve := "bob", "eve"
	v := url.Values{"status": {"1", "5"}, "q": {"x"}}
	a := Asked{Account: "acme", Now: noon}
	_, cursors, err := ParseEvents(v, a)
	if err != nil {
		t.Fatal(err)
	}
	cursor := *cursors.Event(somePosition())
	set := func(name string, values ...string) url.Values {
		n := with(v, &cursor)
		n[name] = values
		if len(values) == 0 {
			delete(n, name)
		}
		return n
	}
	same := []url.Values{
		set("cursor", cursor), set("limit", "7"), set("status", "5", "1"),
	}
	for _, v := range same {
		if _, _, err := ParseEvents(v, a); err != nil {
			t.Errorf("%v is refused: %v", v, err)
		}
	}
	other := []struct {
		name   string
		values url.Values
		asked  Asked
	}{
		{"other value", set("q", "y"), a},
		{"one value less", set("status", "1"), a},
		{"one parameter less", set("q"), a},
		{"one parameter more", set("entry", "1"), a},
		{"other order", set("order", "asc"), a},
		{"other zone", set("tz", "Europe/Berlin"), a},
		{"other account", set("cursor", cursor), Asked{Account: "acme2", Now: noon}},
		{"events of a user", set("cursor", cursor), Asked{Account: "acme", Username: &bob, Now: noon}},
	}
	for _, c := range other {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ParseEvents(c.values, c.asked)
			wantErrors(t, err, "cursor")
		})
	}
	t.Run("other user", func(t *testing.T) {
		a.Username = &bob
		_, cursors, _ := ParseEvents(nil, a)
		a.Username = &eve
		_, _, err := ParseEvents(with(nil, cursors.Event(somePosition())), a)
		wantErrors(t, err, "cursor")
	})
	t.Run("other route", func(t *testing.T) {
		_, cursors, _ := ParseEvents(nil, Asked{Account: "acme", Now: noon})
		_, _, err := ParseUsers(with(nil, cursors.Event(somePosition())), Asked{Account: "acme", Now: noon})
		wantErrors(t, err, "cursor")
	})
}

func TestCursorIsRefusedWhenDamaged(t *testing.T) {
	a := Asked{Account: "acme", Now: noon}
	_, cursors, _ := ParseEvents(nil, a)
	cursor := *cursors.Event(somePosition())
	damaged := []string{"", "x", "!", cursor + "A", cursor[1:], cursor + "=", strings.Repeat("A", 2000), "ＡＡ"}
	for i := range cursor {
		for _, c := range "AZaz09-_" {
			if byte(c) != cursor[i] {
				damaged = append(damaged, cursor[:i]+string(c)+cursor[i+1:])
			}
		}
	}
	for i := range len(cursor) {
		damaged = append(damaged, cursor[:i])
	}
	for _, d := range damaged {
		_, _, err := ParseEvents(url.Values{"cursor": {d}}, a)
		wantErrors(t, err, "cursor")
	}
}

// A forged cursor has a right sum: whoever can compute it can write any
// position, but none that a store cannot take.
func TestCursorWithAnImpossiblePositionIsRefused(t *testing.T) {
	a := Asked{Account: "acme", Now: noon}
	at := appendTime(nil, noon)
	bad := map[string][]byte{
		"none":               {},
		"time before 1970":   append([]byte{0xff}, make([]byte, 24)...),
		"too long":           make([]byte, 26),
		"too short":          make([]byte, 23),
		"user of no kind":    {2, 'b'},
		"user cut":           append([]byte{1}, at...),
		"user not UTF-8":     {0, 0xff},
		"user at impossible": append([]byte{1, 0xff}, make([]byte, 30)...),
	}
	for name, position := range bad {
		t.Run(name, func(t *testing.T) {
			_, events, _ := ParseEvents(nil, a)
			_, _, err := ParseEvents(with(nil, events.encode(position)), a)
			wantErrors(t, err, "cursor")
			_, attempts, _ := ParseAttempts(nil, a)
			_, _, err = ParseAttempts(with(nil, attempts.encode(position)), a)
			wantErrors(t, err, "cursor")
			if strings.HasPrefix(name, "user") || name == "none" {
				_, users, _ := ParseUsers(nil, a)
				_, _, err = ParseUsers(with(nil, users.encode(position)), a)
				wantErrors(t, err, "cursor")
			}
		})
	}
	t.Run("now in the year 200000", func(t *testing.T) {
		_, c, _ := ParseEvents(nil, a)
		c.asked.Now = time.Date(200000, 1, 1, 0, 0, 0, 0, time.UTC)
		_, _, err := ParseEvents(with(nil, c.Event(somePosition())), a)
		wantErrors(t, err, "cursor")
	})
}

func FuzzCursor(f *testing.F) {
	a := Asked{Account: "acme", Now: noon}
	_, cursors, _ := ParseUsers(nil, a)
	f.Add(*cursors.User(&UserPosition{Username: "bob", Event: somePosition()}), []byte{0, 'b'})
	f.Add(*cursors.User(&UserPosition{Username: "bob"}), []byte{1})
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, s string, position []byte) {
		for _, cursor := range []string{s, *cursors.encode(position)} {
			filter, again, err := ParseUsers(url.Values{"cursor": {cursor}}, a)
			if err != nil {
				continue
			}
			if got := *again.User(filter.After); got != cursor {
				t.Fatalf("the cursor %q comes back as %q", cursor, got)
			}
		}
	})
}

func TestCursorIsBase64URL(t *testing.T) {
	_, cursors, _ := ParseEvents(nil, Asked{Account: "acme", Now: noon})
	if _, err := base64.RawURLEncoding.DecodeString(*cursors.Event(somePosition())); err != nil {
		t.Error(err)
	}
}

// wantErrors checks that err names exactly the parameters, in any order.
func wantErrors(t testing.TB, err error, names ...string) {
	t.Helper()
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("the error is %v, want one that names %v", err, names)
		return
	}
	got, want := map[string]bool{}, map[string]bool{}
	for _, e := range invalid.Errors {
		got[e.Parameter] = true
		if e.Detail == "" || e.Allowed == "" {
			t.Errorf("%+v does not say what is wrong and what is allowed", e)
		}
	}
	for _, n := range names {
		want[n] = true
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the error names %v, want %v: %v", got, want, err)
	}
}

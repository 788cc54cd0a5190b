package client_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/client"
)

// again reads a text as a T, refuses what T does not have, and writes it back in
// the form of the golden files.
func again[T any](text []byte) ([]byte, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write: %w", err)
	}
	return out.Bytes(), nil
}

func TestTimeHasSixFractionDigitsInUTC(t *testing.T) {
	at := client.Time{Time: time.Date(2026, 11, 1, 1, 0, 0, 120_000_999, time.FixedZone("", 3600))}
	text, err := at.MarshalText()
	if want := "2026-11-01T00:00:00.120000Z"; err != nil || string(text) != want || at.String() != want {
		t.Errorf("%s, %v", text, err)
	}
	for _, bad := range []string{`7`, `"yesterday"`} {
		if err := json.Unmarshal([]byte(bad), &at); err == nil {
			t.Errorf("%s is read as %s", bad, at)
		}
	}
}

func TestFacetKeyIsANumberATextOrNothing(t *testing.T) {
	for text, want := range map[string]string{`7`: "7 true false", `"a"`: "a false true", `""`: " false true", `null`: " false false"} {
		var k client.FacetKey
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			t.Fatal(err)
		}
		_, code := k.Code()
		_, word := k.Text()
		back, err := json.Marshal(k)
		if got := fmt.Sprint(k, code, word); err != nil || fmt.Sprintf("%s %t %t", k, code, word) != want || string(back) != text {
			t.Errorf("%s: %s, %s, %v", text, got, back, err)
		}
	}
	if err := json.Unmarshal([]byte(`{}`), new(client.FacetKey)); err == nil {
		t.Error("an object is read")
	}
}

package e2e

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/apicheck"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// asker asks about one account, and has every answer checked against the
// contract of the API.
type asker struct {
	system  *testsystem.System
	account string
}

// answer asks a path below the account. It returns the trailers, too.
func (a asker) answer(t testing.TB, path string, values url.Values) (body []byte, trailer http.Header) {
	t.Helper()
	address := a.system.URL() + accountPath(a.account) + path + "?" + values.Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+a.system.Token)
	// Compressed, an answer would not be checked as it was sent.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, Timeout: testsystem.Patience}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err = io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d, %v: %s", address, response.StatusCode, err, body)
	}
	exchange := apicheck.Exchange{Request: request, Status: response.StatusCode, Header: response.Header, Body: body, Trailer: response.Trailer}
	if len(response.Trailer) > 0 { // the client has taken the header out
		exchange.Header.Set("Trailer", strings.Join(slices.Sorted(maps.Keys(response.Trailer)), ", "))
	}
	if err := apicheck.Served(t).Check(exchange); err != nil {
		t.Errorf("GET %s: the answer is not that of schema/openapi.yaml: %v", address, err)
	}
	return body, response.Trailer
}

// rows are the rows of a list as they were sent.
type rows []json.RawMessage

// page asks for one page of a list.
func (a asker) page(t testing.TB, path, list string, values url.Values) (found rows, next *string, mark query.Watermark) {
	t.Helper()
	body, _ := a.answer(t, path, values)
	var page map[string]json.RawMessage
	err := json.Unmarshal(body, &page)
	for member, to := range map[string]any{list: &found, "next_cursor": &next, "watermark": &mark} {
		err = errors.Join(err, json.Unmarshal(page[member], to))
	}
	if err != nil {
		t.Fatalf("%s: %v in %s", path, err, body)
	}
	return found, next, mark
}

// all asks for a list at once.
func (a asker) all(t testing.TB, path, list string, values url.Values) rows {
	t.Helper()
	found, next, _ := a.page(t, path, list, with(values, "limit", "1000"))
	if next != nil {
		t.Fatalf("%s?%s: more than a thousand rows", path, values.Encode())
	}
	return found
}

// joined asks for a list page by page.
func (a asker) joined(t testing.TB, path, list string, values url.Values) (all rows) {
	t.Helper()
	for {
		found, next, _ := a.page(t, path, list, values)
		all = append(all, found...)
		if next == nil {
			return all
		}
		values = with(values, "cursor", *next)
	}
}

// with is a copy of values with names set.
func with(values url.Values, pairs ...string) url.Values {
	all := url.Values{}
	for name, v := range values {
		all[name] = slices.Clone(v)
	}
	for i := 0; i < len(pairs); i += 2 {
		all.Set(pairs[i], pairs[i+1])
	}
	return all
}

// lines are rows one a line, for messages.
func (r rows) lines() string {
	var b strings.Builder
	for _, row := range r {
		b.Write(row)
		b.WriteByte('\n')
	}
	return b.String()
}

// turned are the rows from the last to the first.
func (r rows) turned() rows {
	other := slices.Clone(r)
	slices.Reverse(other)
	return other
}

// sameRows compares rows as they were sent.
func sameRows(t testing.TB, what string, got, want rows) {
	t.Helper()
	if g, w := got.lines(), want.lines(); g != w {
		t.Errorf("%s: %d rows\n%swant %d\n%s", what, len(got), g, len(want), w)
	}
}

// ndjson are events as import takes them.
func ndjson(t testing.TB, events []event.Event) string {
	t.Helper()
	var b strings.Builder
	for _, e := range events {
		body, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(body)
		b.WriteByte('\n')
	}
	return b.String()
}

package e2e

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/apicheck"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/testsystem"
)

// filters are every parameter that says which events are meant, by itself or with
// others. Each lets some of history through, and none lets all of it.
func filters(now time.Time) map[string]url.Values {
	at := func(ago time.Duration) string { return now.Add(-ago).Format(time.RFC3339) }
	return map[string]url.Values{
		"range":                {"start": {at(50 * time.Hour)}, "end": {at(3 * time.Hour)}},
		"days of a zone":       {"start": {now.AddDate(0, 0, -2).Format(time.DateOnly)}, "end": {now.AddDate(0, 0, -1).Format(time.DateOnly)}, "tz": {"Asia/Kathmandu"}},
		"statuses":             {"status": {"21", "2"}},
		"kind and outcome":     {"kind": {"mfa"}, "outcome": {"pending", "failure"}},
		"entries":              {"entry": {"1", "8"}},
		"user":                 {"username": {"100%"}},
		"empty username":       {"username": {""}},
		"no session":           {"session_id": {""}},
		"session":              {"session_id": {"s-0-0"}},
		"service and method":   {"service": {"web"}, "mfa_method": {"totp"}},
		"IPv4 range":           {"ip": {"10.0.0.0/23"}},
		"IPv4-mapped address":  {"ip": {"::ffff:10.0.0.1"}},
		"IPv6 range, not IPv4": {"ip": {"::/0"}},
		"text as it stands":    {"q": {"100%"}},
		"text, case ignored":   {"q": {"FIREFOX"}, "outcome": {"success"}},
		"text of any alphabet": {"q": {"üNAL"}},
	}
}

// TestOneFilterGivesOneSetOfEventsThroughTheAPI: rows at once, pages in both orders,
// the bars, each facet, the export in every format and the tail from the beginning.
func TestOneFilterGivesOneSetOfEventsThroughTheAPI(t *testing.T) {
	system := testsystem.Serve(t, "loginaudit", t.TempDir(), "--engine-memory", "1GiB")
	a, now := asker{system, "acme"}, time.Now()
	events := history(a.account, now)
	late := slices.Clone(events)
	slices.Reverse(late) // what happened first comes last
	if r := system.Run(t, ndjson(t, late), "import", "--wait", "-"); r.Status != 0 {
		t.Fatalf("import: %+v", r)
	}
	everything := len(a.all(t, "/events", "events", nil))
	if everything != len(events) {
		t.Errorf("%d events, want %d", everything, len(events))
	}
	for name, values := range filters(now) {
		t.Run(name, func(t *testing.T) {
			all := a.all(t, "/events", "events", values)
			if len(all) == 0 || len(all) == everything {
				t.Errorf("%d of %d events: nothing is shown", len(all), everything)
			}
			a.checkRows(t, values, all)
			a.checkCounts(t, values, all)
			a.checkExport(t, values, all)
			if !values.Has("start") {
				sameRows(t, "tail", a.tail(t, values), byArrival(t, all))
			}
		})
	}
	system.Stop(t)
}

// checkRows compares the pages in both orders, and those of the user's own path.
func (a asker) checkRows(t *testing.T, values url.Values, all rows) {
	t.Helper()
	limit := fmt.Sprint(len(all)/3 + 1)
	sameRows(t, "pages", a.joined(t, "/events", "events", with(values, "limit", limit)), all)
	oldest := with(values, "order", "asc")
	sameRows(t, "oldest first", a.all(t, "/events", "events", oldest), all.turned())
	sameRows(t, "pages, oldest first", a.joined(t, "/events", "events", with(oldest, "limit", limit)), all.turned())
	if username := values.Get("username"); username != "" {
		own := with(values)
		own.Del("username")
		sameRows(t, "of the user", a.all(t, "/users/"+url.PathEscape(username)+"/events", "events", own), all)
	}
}

// checkCounts compares the sums of the bars and of every facet.
func (a asker) checkCounts(t *testing.T, values url.Values, all rows) {
	t.Helper()
	want := query.Bar{}
	for _, row := range all {
		var e query.Event
		if err := json.Unmarshal(row, &e); err != nil {
			t.Fatal(err)
		}
		want.Add(e.Outcome, 1)
	}
	var h query.Histogram
	a.decode(t, "/histogram", values, &h)
	sum := query.Bar{}
	for _, bar := range h.Buckets {
		sum.Total, sum.Success = sum.Total+bar.Total, sum.Success+bar.Success
		sum.Failure, sum.Pending = sum.Failure+bar.Failure, sum.Pending+bar.Pending
	}
	if sum != want {
		t.Errorf("the bars add up to %+v, want %+v", sum, want)
	}
	var f struct {
		Facets map[string][]struct{ Count int }
		Others map[string]int
		Total  int
	}
	a.decode(t, "/facets", with(values, "top", "2"), &f)
	if f.Total != len(all) || len(f.Facets) != len(query.Facets()) {
		t.Errorf("%d events by %d facets, want %d by %d", f.Total, len(f.Facets), len(all), len(query.Facets()))
	}
	for field, counted := range f.Facets {
		n := f.Others[field]
		for _, v := range counted {
			n += v.Count
		}
		if n != len(all) {
			t.Errorf("%s: the counts add up to %d, want %d", field, n, len(all))
		}
	}
}

func (a asker) decode(t *testing.T, path string, values url.Values, v any) {
	t.Helper()
	body, _ := a.answer(t, path, values)
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("%s: %v in %s", path, err, body)
	}
}

// checkExport compares the rows of both formats that hold them as they are, and the
// number that each format tells.
func (a asker) checkExport(t *testing.T, values url.Values, all rows) {
	t.Helper()
	for _, format := range query.ExportFormats() {
		body, trailer := a.answer(t, "/export", with(values, "format", string(format)))
		if n := trailer.Get("Loginaudit-Export-Events"); n != strconv.Itoa(len(all)) || trailer.Get("Loginaudit-Export-Complete") != "true" {
			t.Errorf("%s: %s events, want %d: %v", format, n, len(all), trailer)
		}
		switch format {
		case query.ExportNDJSON:
			var exported rows
			for line := range bytes.Lines(body) {
				exported = append(exported, bytes.TrimSuffix(line, []byte("\n")))
			}
			sameRows(t, "export", exported[:len(exported)-1], all)
		case query.ExportCSV:
			records, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
			if err != nil || len(records) != len(all)+1 {
				t.Errorf("csv: %d records, error %v; want %d and a header", len(records), err, len(all))
			}
		}
	}
}

func byArrival(t *testing.T, all rows) rows {
	t.Helper()
	seq := func(row json.RawMessage) uint64 {
		var e query.Event
		if err := json.Unmarshal(row, &e); err != nil {
			t.Fatal(err)
		}
		return e.StreamSeq
	}
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b json.RawMessage) int { return int(seq(a)) - int(seq(b)) })
	return sorted
}

// tail follows the events from the beginning of the stream up to the watermark of
// now.
func (a asker) tail(t *testing.T, values url.Values) (told rows) {
	t.Helper()
	_, _, mark := a.page(t, "/events", "events", url.Values{"limit": {"1"}})
	address := a.system.URL() + accountPath(a.account) + "/stream?" + with(values, "last_event_id", "0").Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+a.system.Token)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testsystem.Patience}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var name string
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event":
			name = value
		case field == "data" && name == "event":
			told = append(told, json.RawMessage(value))
			apicheck.Line(t, "Event", []byte(value))
		case field == "data" && name == "watermark":
			var w query.Watermark
			if err := json.Unmarshal([]byte(value), &w); err != nil {
				t.Fatal(err)
			}
			if w.StreamSeq >= mark.StreamSeq {
				return told
			}
		case field == "data":
			t.Fatalf("the tail says %s: %s", name, value)
		}
	}
	t.Fatalf("%s: %d: the tail ended: %v", address, response.StatusCode, lines.Err())
	return nil
}

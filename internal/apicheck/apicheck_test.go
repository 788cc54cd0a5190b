package apicheck

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/loginaudit/loginaudit/schema"
)

const (
	codesPath = "/api/v1/codes"
	acme      = "/api/v1/accounts/acme"

	watermark = `{"stream_seq":1,"time":null,"lag_ms":0}`
	anEvent   = `{"id":"1","account":"acme","username":"bob","occurred_at":"2026-11-01T09:30:15.120000Z","entry":1,"entry_name":"x",` +
		`"status":1,"status_name":"x","kind":"login","outcome":"success","session_id":null,"ip":null,"user_agent":null,"service":null,` +
		`"mfa_method":null,"device_id":null,"request_id":null,"reason":null,"attributes":null,"received_at":"2026-11-01T09:30:15.120000Z",` +
		`"ingested_at":"2026-11-01T09:30:15.120000Z","stream_seq":1,"conflict":false}`
)

// exchange is an answer with the headers that all have.
func exchange(target string, status int, contentType, body string) Exchange {
	h := http.Header{"X-Request-Id": {"r"}, "Cache-Control": {"no-store"}}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return Exchange{Request: httptest.NewRequest(http.MethodGet, target, nil), Status: status, Header: h, Body: []byte(body)}
}

func events(rows ...string) string {
	return `{"events":[` + strings.Join(rows, ",") + `],"next_cursor":null,"watermark":` + watermark + `}`
}

func problemOf(status int) string {
	return fmt.Sprintf(`{"type":"/problems/x","title":"t","status":%d,"detail":"d","request_id":"r","errors":[]}`, status)
}

const (
	isJSON    = "application/json; charset=utf-8"
	isProblem = "application/problem+json"
	isLines   = "application/x-ndjson"
	isStream  = "text/event-stream"
)

func TestAnswersThatAreDocumentedPass(t *testing.T) {
	d := Served(t)
	for name, x := range map[string]Exchange{
		"a list":                   exchange(acme+"/events?status=1&status=26&limit=5&username=", 200, isJSON, events(anEvent)),
		"a name with a slash":      exchange(acme+"/users/a%2Fb/events", 200, isJSON, events()),
		"a problem":                exchange(acme+"/events", 503, isProblem, problemOf(503)),
		"a path that nobody knows": exchange("/api/v1/nothing", 404, isProblem, problemOf(404)),
		"a page":                   exchange("/anything", 200, "text/html", "<p>"),
		"nobody waits":             exchange(acme+"/events", 499, isProblem, problemOf(499)),
	} {
		if name == "a problem" {
			x.Header.Set("Retry-After", "5")
		}
		if err := d.Check(x); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswersThatAreNotDocumentedFail(t *testing.T) {
	d := Served(t)
	withHeader := func(x Exchange, name, value string) Exchange {
		x.Header.Set(name, value)
		return x
	}
	without := func(x Exchange, name string) Exchange {
		x.Header.Del(name)
		return x
	}
	good := func() Exchange { return exchange(acme+"/events", 200, isJSON, events(anEvent)) }
	for name, x := range map[string]Exchange{
		"another member in a closed schema":    exchange(acme+"/events", 200, isJSON, events(strings.Replace(anEvent, `{"id"`, `{"x":1,"id"`, 1))),
		"another member of the list":           exchange(acme+"/events", 200, isJSON, strings.Replace(events(), `{"events"`, `{"x":1,"events"`, 1)),
		"a member that is missing":             exchange(acme+"/events", 200, isJSON, events(strings.Replace(anEvent, `"conflict":false`, `"stream_seq":1`, 1))),
		"null where it is not allowed":         exchange(acme+"/events", 200, isJSON, events(strings.Replace(anEvent, `"stream_seq":1`, `"stream_seq":null`, 1))),
		"a code that does not exist":           exchange(acme+"/events", 200, isJSON, events(strings.Replace(anEvent, `"status":1`, `"status":4`, 1))),
		"a time without microseconds":          exchange(acme+"/events", 200, isJSON, events(strings.Replace(anEvent, `15.120000Z`, `15Z`, 1))),
		"a date that does not exist":           exchange(acme+"/events", 200, isJSON, events(strings.Replace(anEvent, `2026-11-01`, `2026-11-31`, 1))),
		"no JSON":                              exchange(acme+"/events", 200, isJSON, "{"),
		"a status":                             exchange(acme+"/events", 418, isProblem, problemOf(418)),
		"a content type":                       exchange(acme+"/events", 200, "text/plain", events()),
		"a content type that is none":          exchange(acme+"/events", 200, "", events()),
		"a header":                             withHeader(good(), "X-Secret", "1"),
		"a header that is missing":             without(good(), "X-Request-Id"),
		"a header with a wrong value":          withHeader(good(), "Etag", `"strong"`),
		"a body of 304":                        exchange(acme+"/events", 304, isJSON, events()),
		"an encoding":                          withHeader(good(), "Content-Encoding", "br"),
		"what is not compressed":               withHeader(good(), "Content-Encoding", "gzip"),
		"a parameter":                          exchange(acme+"/events?x=1", 200, isJSON, events()),
		"a parameter out of bounds":            exchange(acme+"/events?limit=1001", 200, isJSON, events()),
		"a single parameter twice":             exchange(acme+"/events?limit=1&limit=1", 200, isJSON, events()),
		"a code as a parameter":                exchange(acme+"/events?status=4", 200, isJSON, events()),
		"a word for a yes or no":               exchange(acme+"/users?logged_in=yes", 200, isJSON, `{"users":[],"next_cursor":null,"watermark":`+watermark+`}`),
		"a query string that is malformed":     exchange(acme+"/events?q=%25zz&%", 200, isJSON, events()),
		"a path parameter":                     exchange("/api/v1/accounts/a.b/events", 200, isJSON, events()),
		"a 422 that proposes nothing narrower": exchange(acme+"/events", 422, isProblem, strings.Replace(problemOf(422), `{`, `{"proposal":{},`, 1)),
		"a 400 that names nothing":             exchange(acme+"/events", 400, isProblem, problemOf(400)),
		"a proposal with another error":        exchange(acme+"/events", 404, isProblem, strings.Replace(problemOf(404), `{`, `{"proposal":null,`, 1)),
		"a problem that is no problem":         exchange("/api/v1/nothing", 404, isJSON, problemOf(404)),
		"an answer at another path":            exchange("/api/v1/nothing", 200, isJSON, "{}"),
	} {
		if err := d.Check(x); err == nil {
			t.Errorf("%s passes", name)
		} else if testing.Verbose() {
			t.Logf("%s: %v", name, err)
		}
	}
}

func TestStreamsAreCheckedLineByLineAndMessageByMessage(t *testing.T) {
	d := Served(t)
	end := `{"export":{"complete":true,"events":1,"watermark":` + watermark + `}}`
	export := func(body string, cut bool, trailers ...string) Exchange {
		x := exchange(acme+"/export", 200, isLines, body)
		x.Header.Set("Content-Disposition", `attachment; filename="x"`)
		x.Header.Set("Trailer", "x")
		x.Trailer, x.Cut = http.Header{}, cut
		for i := 0; i < len(trailers); i += 2 {
			x.Trailer.Set(trailers[i], trailers[i+1])
		}
		return x
	}
	whole := []string{"Loginaudit-Export-Complete", "true", "Loginaudit-Export-Events", "1", "Repr-Digest", "sha-256=:AAAA:"}
	follow := func(body string) Exchange { return exchange(acme+"/stream", 200, isStream, body) }
	for name, c := range map[string]struct {
		x    Exchange
		pass bool
	}{
		"a whole export":                        {export(anEvent+"\n"+end+"\n", false, whole...), true},
		"an export of nothing":                  {export("", false, whole...), true},
		"an export without trailers":            {export(anEvent+"\n"+end+"\n", false), false},
		"an export with a trailer of nonsense":  {export(end+"\n", false, append(whole[:4:4], "Repr-Digest", "md5")...), false},
		"a line of nonsense":                    {export("{}\n"+end+"\n", false, whole...), false},
		"a line that does not end":              {export(end, false, whole...), false},
		"a cut export":                          {export(anEvent+"\n{\"id", true), true},
		"a cut export that claims to be whole":  {export(anEvent+"\n", true, whole...), false},
		"messages, the last of them in part":    {follow("retry: 2000\n\n: hello\n\nid: 1\nevent: event\ndata: " + anEvent + "\n\nevent: watermark\ndata: {"), true},
		"a watermark":                           {follow("id: 1\nevent: watermark\ndata:" + watermark + "\n\n"), true},
		"a message of another kind":             {follow("event: bye\ndata: {}\n\n"), false},
		"a message of nonsense":                 {follow("event: gap\ndata: {}\n\n"), false},
		"a message in several lines":            {follow("event: gap\ndata: {\"from_seq\":1,\ndata: \"to_seq\":2,\"detail\":\"d\"}\n\n"), true},
		"a field that no server-sent event has": {follow("evnt: gap\n\n"), false},
	} {
		if err := d.Check(c.x); (err == nil) != c.pass {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADocumentThatIsNoneIsRefused(t *testing.T) {
	for name, change := range map[string][2]string{
		"no YAML":                    {"openapi: 3.1.0", "openapi: [3.1.0"},
		"another version":            {"openapi: 3.1.0", "openapi: 3.0.3"},
		"no OpenAPI":                 {"  title: loginaudit\n", ""},
		"a reference to nothing":     {"#/components/schemas/EventList", "#/components/schemas/Nothing"},
		"a schema of another type":   {"minLength: 1", "minLength: one"},
		"a pattern that is no regex": {`pattern: "^[A-Za-z0-9._-]{1,64}$"`, `pattern: "["`},
	} {
		text := bytes.ReplaceAll(schema.OpenAPI, []byte(change[0]), []byte(change[1]))
		if bytes.Equal(text, schema.OpenAPI) {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := Read(text); err == nil {
			t.Errorf("%s: the document is read", name)
		}
	}
}

// recorded is what Handler and Response tell of a test.
type recorded struct {
	testing.TB
	errors []string
}

func (r *recorded) Helper()        {}
func (r *recorded) Cleanup(func()) {}
func (r *recorded) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestHandlerChecksWhatPassesThroughAndChangesNothing(t *testing.T) {
	told := &recorded{TB: t}
	h := Handler(told, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "r")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", isStream)
		_, _ = fmt.Fprint(w, "event: bye\ndata: {}\n\n")
		_ = http.NewResponseController(w).Flush()
		r.URL.Path = "/"
	}))
	server := httptest.NewServer(h)
	defer server.Close()
	res, err := server.Client().Get(server.URL + acme + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil || body.String() != "event: bye\ndata: {}\n\n" || res.Header.Get("Content-Type") != isStream {
		t.Errorf("%q %v %v", body.String(), res.Header, err)
	}
	server.Close() // waits for the handler
	if len(told.errors) != 1 || !strings.Contains(told.errors[0], "bye") {
		t.Errorf("told %q", told.errors)
	}
}

func TestHandlerPassesOnAnAbortAndSaysNothingOfWhatWasNotSent(t *testing.T) {
	told := &recorded{TB: t}
	h := Handler(told, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // net/http compares it, too
			t.Error("the abort was swallowed")
		}
		if len(told.errors) != 0 {
			t.Errorf("told %q", told.errors)
		}
	}()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, codesPath, nil))
}

func TestResponseAndLineTellTheTest(t *testing.T) {
	told := &recorded{TB: t}
	Line(told, "Watermark", []byte(watermark))
	good := exchange(acme+"/events", 200, isJSON, events())
	Response(told, good.Request, good.Status, good.Header, good.Body)
	if len(told.errors) != 0 {
		t.Errorf("told %q of what is right", told.errors)
	}
	Line(told, "Watermark", []byte(`{}`))
	Line(told, "Watermark", []byte(`{`))
	Response(told, good.Request, 418, good.Header, good.Body)
	if len(told.errors) != 3 {
		t.Errorf("told %q of three that are wrong", told.errors)
	}
}

func TestTheDocumentTellsItsOperations(t *testing.T) {
	all := Served(t).Operations()
	if len(all) < 10 || all[0].Path >= all[1].Path || len(all[0].Statuses) == 0 {
		t.Errorf("the operations are %+v", all)
	}
	query := all[0].Query
	if values, ok := query["q"]; !ok || values != nil || !slices.Equal(query["order"], []string{"desc", "asc"}) || len(query["status"]) != 25 {
		t.Errorf("the parameters of %s are %v", all[0].Path, query)
	}
}

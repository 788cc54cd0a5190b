package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// stand makes the store one in which so much is stored.
func (s served) stand(name string) {
	mark := someWatermark()
	mark.Stand = name
	s.shapes.mark, s.shapes.users.Watermark, s.shapes.user.Watermark, s.shapes.history.Watermark = mark, mark, mark, mark
	s.shapes.events.Watermark, s.shapes.opened.Watermark, s.shapes.bars.Watermark, s.shapes.facets.Watermark = mark, mark, mark, mark
	s.shapes.details.Watermark = mark
}

// settled are questions whose answer does not depend on when they are asked.
func settled() []string {
	return []string{
		acme + "/users?as_of=2026-11-01", acme + "/users/bob?as_of=2026-11-01T09:30:00Z", acme + "/users/bob/attempts?as_of=2026-11-01",
		acme + "/users/bob/events", acme + "/events", acme + "/events?start=2026-11-01&end=2026-11-01&q=x", acme + "/sessions?at=2026-11-01",
		acme + "/histogram?end=2026-11-01", acme + "/facets?username=",
	}
}

func TestAnAnswerThatStillHoldsIsNotSentAgain(t *testing.T) {
	s := serve(t)
	for _, target := range settled() {
		s.stand("1")
		first := s.get(target)
		tag := first.Header().Get("ETag")
		if first.Code != http.StatusOK || tag == "" || first.Header().Get("Cache-Control") != "private, no-cache" {
			t.Fatalf("%s: %d %v", target, first.Code, first.Header())
		}
		for _, sent := range []string{tag, `"x", ` + tag, strings.TrimPrefix(tag, "W/")} {
			s.shapes.asked = nil
			again := s.get(target, "If-None-Match", sent)
			if again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("ETag") != tag ||
				again.Header().Get("Cache-Control") != "private, no-cache" {
				t.Errorf("%s with %s: %d %v %s", target, sent, again.Code, again.Header(), again.Body)
			}
			if got := again.Header().Get("Loginaudit-Watermark"); got != `stream_seq=42, time="2026-11-23T12:00:00.000000Z", lag_ms=250` {
				t.Errorf("%s: the watermark of now is %s", target, got)
			}
			if fmt.Sprint(s.shapes.asked) != "[watermark]" {
				t.Errorf("%s: the store was asked %v", target, s.shapes.asked)
			}
		}
		if w := s.send(http.MethodHead, target, "If-None-Match", tag); w.Code != http.StatusNotModified {
			t.Errorf("HEAD %s: %d", target, w.Code)
		}
		for _, other := range []string{`"x"`, "*", ",", "W/" + tag} {
			if w := s.get(target, "If-None-Match", other); w.Code != http.StatusOK {
				t.Errorf("%s with the tag %s: %d", target, other, w.Code)
			}
		}
		s.stand("2") // one more event
		if w := s.get(target, "If-None-Match", tag); w.Code != http.StatusOK || w.Header().Get("ETag") == tag {
			t.Errorf("%s after one more event: %d %v", target, w.Code, w.Header())
		}
	}
}

func TestAnAnswerThatDependsOnTheTimeHasNoTag(t *testing.T) {
	s := serve(t)
	s.stand("1")
	for _, target := range []string{
		acme + "/users", acme + "/users?as_of=now", acme + "/users/bob", acme + "/users/bob/attempts?start=2026-11-01&end=2026-11-01",
		acme + "/sessions", acme + "/sessions?at=-1h", acme + "/events?start=-24h", acme + "/events?end=now", acme + "/histogram",
		acme + "/facets?start=-1d", acme + "/events/e-1", "/api/v1/status",
	} {
		w := s.get(target, "If-None-Match", "*")
		if w.Code != http.StatusOK || w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", target, w.Code, w.Header())
		}
	}
	s.stand("") // no worker has told anything
	if w := s.get(acme+"/events", "If-None-Match", `W/"x"`); w.Code != http.StatusOK || w.Header().Get("ETag") != "" {
		t.Errorf("of a store that knows nothing: %d %v", w.Code, w.Header())
	}
}

func TestTheTagIsThatOfTheQuestionOfTheRightsAndOfTheProgram(t *testing.T) {
	s := serve(t)
	s.stand("1")
	tags := map[string]string{}
	another := func(what string, w *httptest.ResponseRecorder) {
		t.Helper()
		tag := w.Header().Get("ETag")
		if before, known := tags[tag]; known || w.Code != http.StatusOK {
			t.Errorf("%s: %d, and the tag is that of %s", what, w.Code, before)
		}
		tags[tag] = what
	}
	for _, target := range append(settled(), acme+"/users/eve/events", acme+"/events?status=1", acme+"/events?status=1&status=2", acme+"/events?status=2",
		acme+"/events?limit=5", acme+"/events?order=asc", acme+"/events?q=ab", acme+"/events?q=a&username=b", acme+"/facets?top=5",
		"/api/v1/accounts/other/events", acme+"/sessions?as_of=2026-11-01") {
		another(target, s.get(target))
	}
	s.shapes.events.Next = ptr(bareEvent("e-2").Position())
	another("the second page", s.get(acme+"/events?cursor="+*decoded[eventList](t, s.get(acme+"/events")).NextCursor))
	if a, b := s.get(acme+"/events?status=1&status=2&q=x").Header().Get("ETag"), s.get(acme+"/events?q=x&status=2&status=1").Header().Get("ETag"); a != b {
		t.Error("the order of the parameters is in the tag")
	}

	as := func(v access.Viewer) *httptest.ResponseRecorder {
		s.authenticate = func(*http.Request) (access.Viewer, error) { return v, nil }
		return s.get(acme + "/events")
	}
	another("another viewer", as(access.Viewer{Name: "eve", Grants: map[string][]access.Right{"acme": {access.SecurityRead}}}))
	another("the viewer with another right", as(access.Viewer{Name: "eve", Grants: map[string][]access.Right{"acme": {access.SecurityRead, access.AccessRead}}}))
	s.version = "2"
	another("another program", s.get(acme+"/events"))
}

func TestATagHoldsForAnHourAtMost(t *testing.T) {
	s := serve(t)
	s.stand("1")
	tag := s.get(acme + "/events").Header().Get("ETag")
	s.now = func() time.Time { return now.Add(59 * time.Minute) }
	if w := s.get(acme+"/events", "If-None-Match", tag); w.Code != http.StatusNotModified {
		t.Errorf("within the hour: %d", w.Code)
	}
	s.now = func() time.Time { return now.Add(time.Hour) }
	if w := s.get(acme+"/events", "If-None-Match", tag); w.Code != http.StatusOK {
		t.Errorf("after an hour: %d", w.Code)
	}
}

// TestATagOpensNothing: who may not see the answer does not learn whether it
// changed, and a wrong question stays wrong.
func TestATagOpensNothing(t *testing.T) {
	s := serve(t)
	s.stand("1")
	tag := s.get(acme + "/events").Header().Get("ETag")
	wantProblem(t, s.get(acme+"/events", "Authorization", "", "If-None-Match", tag), unauthorized)
	wantProblem(t, s.get(acme+"/events?limit=0", "If-None-Match", tag), invalidParameter, "limit")
	s.authenticate = func(*http.Request) (access.Viewer, error) {
		return access.Viewer{Grants: map[string][]access.Right{"acme": {access.AccessRead}}}, nil
	}
	wantProblem(t, s.get(acme+"/events", "If-None-Match", tag), missingRight)
}

func TestAStoreThatCannotTellTheWatermarkIsUnavailableToATagToo(t *testing.T) {
	s := serve(t)
	s.shapes.err = query.ErrUnavailable
	for _, target := range settled() {
		wantProblem(t, s.get(target, "If-None-Match", `W/"x"`), unavailable)
	}
}

func TestWhatChangesWithTheProgramOnlyHasATag(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/api/v1/codes", "/api/v1/openapi.yaml"} {
		tag := s.get(path).Header().Get("ETag")
		if w := s.get(path, "If-None-Match", tag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("%s: %d", path, w.Code)
		}
		if w := s.get(path, "If-None-Match", `W/"AAAAAAAAAAAAAAAAAAAAAA"`); w.Code != http.StatusOK || w.Header().Get("ETag") != tag {
			t.Errorf("%s with another tag: %d", path, w.Code)
		}
	}
	wantProblem(t, s.get("/api/v1/codes", "Authorization", "", "If-None-Match", s.get("/api/v1/codes").Header().Get("ETag")), unauthorized)
}

// next is the address in a Link with rel="next"; "" without one.
func next(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	link := w.Header().Get("Link")
	if link == "" {
		return ""
	}
	address, rest, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || rest != `; rel="next"` {
		t.Errorf("the link is %s", link)
	}
	return address
}

func TestListsLinkToTheirNextPageWithTheParametersOfTheRequest(t *testing.T) {
	s := serve(t)
	at := query.Position{At: now, Rank: 3}
	for target, more := range map[string]func(bool){
		acme + "/users?q=a%26b%3Dc&status=1&status=2&sort=-last_login&as_of=-1h": func(more bool) {
			s.shapes.users.Next = nil
			if more {
				s.shapes.users.Next = &query.UserPosition{Username: "b>, <c", Event: &at}
			}
		},
		acme + "/users/%3E%3B%22%2C%3C%0D%0A/attempts?limit=7&tz=Europe/Berlin&start=2026-11-01": func(more bool) {
			s.shapes.history.Next = nil
			if more {
				s.shapes.history.Next = &query.AttemptPosition{StartedAt: now}
			}
		},
		acme + "/users/a%2Fb/events?entry=1&order=asc": func(more bool) { s.shapes.events.Next = map[bool]*query.Position{true: &at}[more] },
		acme + "/events?username=&ip=192.0.2.0/24":     func(more bool) { s.shapes.events.Next = map[bool]*query.Position{true: &at}[more] },
		acme + "/sessions?state=open":                  func(more bool) { s.shapes.opened.Next = map[bool]*query.Position{true: &at}[more] },
	} {
		more(true)
		first := s.get(target)
		address := next(t, first)
		asked, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		linked, err := url.Parse(address)
		if err != nil || address == "" {
			t.Fatalf("%s: the link is %q, %v", target, address, err)
		}
		want := asked.Query()
		want.Set("cursor", *decoded[struct {
			NextCursor *string `json:"next_cursor"`
		}](t, first).NextCursor)
		if linked.EscapedPath() != asked.EscapedPath() || linked.Query().Encode() != want.Encode() {
			t.Errorf("%s links to %s", target, address)
		}
		second := s.get(address)
		if third := next(t, second); second.Code != http.StatusOK || third == "" {
			t.Errorf("%s: the second page is %d and links to %q", target, second.Code, third)
		}
		more(false)
		if w := s.get(target); w.Code != http.StatusOK || next(t, w) != "" {
			t.Errorf("%s: the last page links to %s", target, next(t, w))
		}
	}
}

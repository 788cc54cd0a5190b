package web

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/loginaudit/loginaudit/internal/query"
)

func TestPageAsksWhoIsNotSignedInToSignInAndComesBack(t *testing.T) {
	handler, _ := pageServer(t, smallStore(t))
	path := acmePages + "/users/a%2Fb?start=-7d&status=5"
	p := visitAs(t, handler, path)
	if p.Status != http.StatusSeeOther || p.Header.Get("Location") != "/sign-in?next="+url.QueryEscape(path) {
		t.Fatalf("%d to %s", p.Status, p.Header.Get("Location"))
	}
	form := visitAs(t, handler, p.Header.Get("Location"))
	if form.Status != http.StatusOK || attribute(form.one(t, "input[name=next]"), "value") != path || !form.has(t, "input[name=token][type=password]") {
		t.Errorf("sign-in: %d", form.Status)
	}
	if form.has(t, "form.out") {
		t.Error("who is not signed in can sign out")
	}
	link := visitAs(t, handler, "/sign-in?code=ABC")
	if link.has(t, "input[name=token]") || attribute(link.one(t, "input[name=code]"), "value") != "ABC" {
		t.Error("the link asks for a token")
	}
	if p := visit(t, smallStore(t), acmePages); attribute(p.one(t, "form.out[method=post]"), "action") != "/sign-out" {
		t.Error("no way to sign out")
	}
}

func TestPageWhatDoesNotExistIsNotFoundAndLeadsBack(t *testing.T) {
	for _, path := range []string{"/nothing", acmePages + "/nothing", acmePages + "/users/nobody", acmePages + "/events/none", acmePages + "/user?name=bob", acmePages + "/users/%FF"} {
		p := visit(t, smallStore(t), path)
		if p.Status != http.StatusNotFound || p.text(t, "h1") != "Not found" || !p.has(t, "main a.button") || p.has(t, "form.filters") {
			t.Errorf("%s: %d", path, p.Status)
		}
	}
	if p := visit(t, smallStore(t), "/accounts/a%20b/security"); p.Status != http.StatusBadRequest || p.text(t, ".problem li b") != "account" {
		t.Errorf("an account that cannot be: %d", p.Status)
	}
}

func TestPageKeepsItsFiltersWhenTheStoreCannotAnswer(t *testing.T) {
	for want, broken := range map[int]error{
		http.StatusServiceUnavailable:  query.ErrUnavailable,
		http.StatusUnprocessableEntity: query.ErrTooHeavy,
		http.StatusInternalServerError: errors.New("password is hunter2"),
	} {
		s := smallStore(t)
		s.broken = broken
		for _, path := range []string{"?status=5&q=b", "/events?status=5", "/users/bob?status=5", "/users/bob?status=5&view=events"} {
			p := visit(t, s, acmePages+path)
			if p.Status != want || !p.has(t, "input[name=status][value='5'][checked]") || p.has(t, "table.rows") {
				t.Errorf("%s: status %d, want %d", path, p.Status, want)
			}
			if got := p.href(t, ".problem a.button"); got != acmePages+path {
				t.Errorf("%s: again leads to %s", path, got)
			}
			if strings.Contains(p.Body, "hunter2") {
				t.Error("the page tells what went wrong inside")
			}
		}
	}
}

// brokenUsers cannot tell about one user, or where the events end.
type brokenUsers struct{ *plainStore }

func (brokenUsers) User(context.Context, string, string, time.Time) (query.UserDetail, error) {
	return query.UserDetail{}, query.ErrUnavailable
}

func (brokenUsers) Accounts(context.Context) ([]string, error) { return nil, query.ErrUnavailable }

func (brokenUsers) Event(context.Context, string, query.EventQuestion) (query.EventDetails, error) {
	return query.EventDetails{}, query.ErrUnavailable
}

func TestPageIsUnavailableWhenAnyPartOfItIs(t *testing.T) {
	s := brokenUsers{smallStore(t)}
	for _, path := range []string{"/", acmePages + "/users/bob", acmePages + "/events/wrong"} {
		if p := visit(t, s, path); p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" || !p.has(t, ".problem") {
			t.Errorf("%s: %d", path, p.Status)
		}
	}
}

func TestPageWarnsWhenItIsBehind(t *testing.T) {
	s := smallStore(t)
	at := query.At(now.Add(-95 * time.Second))
	s.mark = query.Watermark{StreamSeq: 3, Time: &at, LagMS: 95_000}
	if got := visit(t, s, acmePages).text(t, ".fresh.stale"); got != "Recent log-ins may be missing. Complete to 11:58:25 UTC, 1 min behind" {
		t.Errorf("behind: %q", got)
	}
	s.mark = query.Watermark{}
	if got := visit(t, s, acmePages).text(t, ".fresh.stale"); !strings.HasPrefix(got, "Not known how complete this is") {
		t.Errorf("unknown: %q", got)
	}
}

func TestPageHasNothingInlineAndAllowsNothingElse(t *testing.T) {
	s := trafficStore(t)
	details := visit(t, s, acmePages+"/events").all(t, "a.row")[0]
	for _, path := range []string{
		acmePages, acmePages + "/events", acmePages + "/users/admin", acmePages + "/users/admin?view=events&limit=1000",
		attribute(details, "href"), "/sign-in", "/nothing", acmePages + "?limit=x",
	} {
		p := visit(t, s, path)
		policy := p.Header.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "form-action 'self'",
			"frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'",
		} {
			if !strings.Contains(policy+";", want+";") {
				t.Errorf("%s: policy lacks %s: %s", path, want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || p.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %s", path, policy, p.Header.Get("Cache-Control"))
		}
		ids := map[string]bool{}
		for n := range p.doc.Descendants() {
			if n.Type == html.ElementNode && (n.Data == "style" || n.Data == "script" && n.FirstChild != nil) {
				t.Errorf("%s: inline %s", path, n.Data)
			}
			for _, a := range n.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
					t.Errorf("%s: inline %s", path, a.Key)
				}
				if a.Key == "id" && ids[a.Val] {
					t.Errorf("%s: id %s twice", path, a.Val)
				}
				ids[a.Val] = ids[a.Val] || a.Key == "id"
			}
		}
	}
}

func TestAssetsAreNamedByTheirContentAndMayBeKeptForEver(t *testing.T) {
	s := smallStore(t)
	p := visit(t, s, "/sign-in")
	addresses := []string{attribute(p.one(t, "script"), "src"), p.href(t, "link[rel=stylesheet]"), p.href(t, "link[rel=icon]")}
	types := []string{"text/javascript; charset=utf-8", "text/css; charset=utf-8", "image/svg+xml"}
	handler, _ := pageServer(t, s)
	for i, address := range addresses {
		a := visitAs(t, handler, address)
		if a.Status != http.StatusOK || a.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || a.Header.Get("Content-Type") != types[i] {
			t.Errorf("%s: %d %s %s", address, a.Status, a.Header.Get("Cache-Control"), a.Header.Get("Content-Type"))
		}
	}
	if old := visitAs(t, handler, "/assets/page.000000000000.js"); old.Status != http.StatusNotFound {
		t.Errorf("another version: %d", old.Status)
	}
	if budget := 4096; len(pageJS) > budget {
		t.Errorf("the script has %d bytes, more than %d", len(pageJS), budget)
	}
}

func TestPageFirstVisitIsSmall(t *testing.T) {
	const budget = 60 << 10
	handler, token := pageServer(t, trafficStore(t))
	sum := 0
	for _, path := range []string{acmePages, newAssets().CSS, newAssets().JS, newAssets().Icon} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		sum += w.Body.Len()
	}
	if sum > budget {
		t.Errorf("%d bytes, more than %d", sum, budget)
	}
}

func TestPageTemplatesThatFailSendNothingOfThemselves(t *testing.T) {
	p := &page{Server: serve(t).Server}
	w := httptest.NewRecorder()
	p.render(w, httptest.NewRequest(http.MethodGet, "/", nil), http.StatusOK, &view{Template: "users", Body: "no users"})
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "<html") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestPageOfAnAccountThatTheViewerMayNotSee(t *testing.T) {
	s := serve(t)
	p := &page{Server: s.Server, assets: newAssets()}
	r := httptest.NewRequest(http.MethodGet, acmePages, nil)
	w := httptest.NewRecorder()
	p.fail(w, r, describe(r, forbidden("security:read", "acme")))
	shown := shownPage{Status: w.Code, Body: w.Body.String(), doc: parseHTML(t, w.Body.String())}
	if shown.Status != http.StatusForbidden || !strings.Contains(shown.text(t, ".problem"), "security:read") || shown.has(t, "nav a") {
		t.Errorf("%d %q", shown.Status, shown.texts(t, ".problem"))
	}
	if !slices.Contains(shown.texts(t, "main a.button"), "To the start") {
		t.Error("no way on")
	}
}

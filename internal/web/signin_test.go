package web

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestSignInByLinkTakesAButtonAndWorksOnce(t *testing.T) {
	s := serve(t)
	code := s.access.NewCode()
	for range 3 { // previews and scanners follow links
		w := s.get("/sign-in?code="+code, "Authorization", "")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), code) || len(cookies(w)) != 0 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	res := s.form("/sign-in", url.Values{"code": {code}, "next": {"/x?y=z"}})
	if res.Code != http.StatusSeeOther || res.Header().Get("Location") != "/x?y=z" || len(cookies(res)) != 1 {
		t.Fatalf("%d %v", res.Code, res.Header())
	}
	again := s.form("/sign-in", url.Values{"code": {code}})
	if again.Code != http.StatusUnauthorized || len(cookies(again)) != 0 {
		t.Errorf("the second time: %d", again.Code)
	}
}

func TestSignInByASpentLinkLeadsOnWhoIsSignedInAlready(t *testing.T) {
	s := serve(t)
	spent := url.Values{"code": {s.access.NewCode()}, "next": {"/x"}}
	cookie := cookies(s.form("/sign-in", spent))[0]
	again := s.form("/sign-in", spent, cookie)
	if again.Code != http.StatusSeeOther || again.Header().Get("Location") != "/x" || len(cookies(again)) != 0 {
		t.Errorf("the link again: %d %v", again.Code, again.Header())
	}
	if token := s.form("/sign-in", url.Values{"token": {"wrong"}}, cookie); token.Code != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", token.Code)
	}
	s.form("/sign-out", nil, cookie)
	if out := s.form("/sign-in", spent, cookie); out.Code != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %d", out.Code)
	}
}

func TestSignInByTokenOpensTheAPIUntilSignOut(t *testing.T) {
	s := serve(t)
	res := s.form("/sign-in", url.Values{"token": {s.token.Secret()}})
	if res.Code != http.StatusSeeOther || res.Header().Get("Location") != "/" {
		t.Fatalf("%d %v", res.Code, res.Header())
	}
	cookie := cookies(res)[0]
	header := cookie.Name + "=" + cookie.Value
	if w := s.get(acme+"/users", "Authorization", "", "Cookie", header); w.Code != http.StatusOK {
		t.Errorf("signed in: %d %s", w.Code, w.Body)
	}
	out := s.form("/sign-out", nil, cookie)
	if out.Code != http.StatusSeeOther || out.Header().Get("Location") != "/sign-in" || cookies(out)[0].MaxAge >= 0 {
		t.Errorf("%d %v", out.Code, out.Header())
	}
	wantProblem(t, s.get(acme+"/users", "Authorization", "", "Cookie", header), unauthorized)
}

func TestSignInThatFailsSaysSoAndKeepsNoSecret(t *testing.T) {
	s := serve(t)
	for _, fields := range []url.Values{nil, {"token": {"wrong"}}, {"code": {"wrong"}}, {"token": {""}}} {
		res := s.form("/sign-in", fields)
		body := res.Body.String()
		if res.Code != http.StatusUnauthorized || res.Header().Get("WWW-Authenticate") == "" || len(cookies(res)) != 0 ||
			!strings.Contains(body, `role="alert"`) || strings.Contains(body, `"wrong"`) {
			t.Errorf("%v: %d %s", fields, res.Code, body)
		}
	}
	// What is in the address is not what is sent.
	if res := s.form("/sign-in?token="+s.token.Secret(), nil); res.Code != http.StatusUnauthorized {
		t.Errorf("a token in the address: %d", res.Code)
	}
}

func TestSignInLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{
		"/": "/", "/x": "/x", "/x?y=z&w=%2F": "/x?y=z&w=%2F", "/a%2Fb": "/a%2Fb", "": "/", "x": "/", "//evil.example": "/", "///evil.example": "/",
		"https://evil.example/": "/", "/\\evil.example": "/", "\\\\evil.example": "/", "/\t/evil.example": "/", "javascript:alert(1)": "/",
		"/x\r\nSet-Cookie: a=b": "/", "%2F%2Fevil.example": "/", " //evil.example": "/",
	} {
		if got := localPath(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

func TestSignInShowsWhatIsInTheAddressAsText(t *testing.T) {
	s := serve(t)
	hostile := `"><script>alert(1)</script>`
	w := s.get("/sign-in?"+url.Values{"code": {hostile}, "next": {"/" + hostile}}.Encode(), "Authorization", "")
	if strings.Contains(w.Body.String(), "<script>alert") {
		t.Errorf("%s", w.Body)
	}
}

func TestSignInOnBehalfOfAnotherSiteIsRefused(t *testing.T) {
	s := serve(t)
	for _, path := range []string{"/sign-in", "/sign-out"} {
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("token="+s.token.Secret()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(name, value)
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if w.Code != http.StatusForbidden || len(cookies(w)) != 0 {
				t.Errorf("%s with %s: %d", path, name, w.Code)
			}
		}
	}
}

func TestSignInFormsThatCannotBeReadAreRefused(t *testing.T) {
	s := serve(t)
	for body, want := range map[string]int{
		"token=%zz":                             http.StatusBadRequest,
		"token=" + strings.Repeat("a", maxBody): http.StatusRequestEntityTooLarge,
	} {
		r := httptest.NewRequest(http.MethodPost, "/sign-in", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%d, want %d", w.Code, want)
		}
	}
}

func TestSignInComesBackToWhereItWasNeeded(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/x%2Fy?a=b&c=d", nil)
	u, err := url.Parse(signInFor(r))
	if err != nil || u.Path != "/sign-in" || u.Query().Get("next") != "/x%2Fy?a=b&c=d" {
		t.Errorf("%v, %v", u, err)
	}
}

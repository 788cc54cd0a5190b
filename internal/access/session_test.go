package access

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// testClock is a clock that stands until it is moved.
type testClock struct{ at time.Time }

func (c *testClock) now() time.Time { return c.at }

func newTest(t testing.TB) (*Authenticator, AdminToken, *testClock) {
	t.Helper()
	clock := &testClock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	token := NewAdminToken()
	return New(Config{Token: token, Now: clock.now}), token, clock
}

func request(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://localhost/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// signIn gives the session cookie that secret gets, or nil.
func signIn(a *Authenticator, r *http.Request, secret string) *http.Cookie {
	w := httptest.NewRecorder()
	if !a.SignIn(w, r, secret) {
		return nil
	}
	return w.Result().Cookies()[0]
}

func withCookie(c *http.Cookie) *http.Request {
	r := request()
	r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	return r
}

func TestBearerTokenIsTheAdministrator(t *testing.T) {
	a, token, _ := newTest(t)
	for _, header := range []string{"Bearer " + token.Secret(), "bearer " + token.Secret(), "BEARER  " + token.Secret()} {
		v, err := a.Viewer(request("Authorization", header))
		if err != nil || !v.Can(SecurityRead, "acme") {
			t.Errorf("%s: %v, %v", header, v, err)
		}
	}
}

func TestBearerTokenThatIsWrongIsRefused(t *testing.T) {
	a, token, _ := newTest(t)
	s := token.Secret()
	for name, headers := range map[string][]string{
		"other token":  {"Authorization", "Bearer " + NewAdminToken().Secret()},
		"none":         {"Authorization", "Bearer "},
		"empty header": {"Authorization", ""},
		"no scheme":    {"Authorization", s},
		"other scheme": {"Authorization", "Basic " + s},
		"space behind": {"Authorization", "Bearer " + s + " "},
		"two headers":  {"Authorization", "Bearer " + s, "Authorization", "Bearer " + s},
		"long":         {"Authorization", "Bearer " + strings.Repeat("a", 1<<16)},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := a.Viewer(request(headers...))
			if !errors.Is(err, ErrBadCredentials) || v.Can(SecurityRead, "acme") {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
}

func TestRequestWithoutCredentialsHasNoViewer(t *testing.T) {
	a, _, _ := newTest(t)
	for _, r := range []*http.Request{request(), request("Cookie", "other=1")} {
		if v, err := a.Viewer(r); !errors.Is(err, ErrNoCredentials) || v.Knows("acme") {
			t.Errorf("%v, %v", v, err)
		}
	}
}

func TestWrongBearerTokenIsNotSavedByACookie(t *testing.T) {
	a, token, _ := newTest(t)
	r := withCookie(signIn(a, request(), token.Secret()))
	r.Header.Set("Authorization", "Bearer wrong")
	if _, err := a.Viewer(r); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("the error is %v", err)
	}
}

func TestAuthenticatorWithoutTokenLetsNobodyIn(t *testing.T) {
	a := New(Config{})
	if signIn(a, request(), "") != nil {
		t.Error("the empty token signs in")
	}
	if _, err := a.Viewer(request("Authorization", "Bearer ")); err == nil {
		t.Error("the empty token is a viewer")
	}
	forger := &Authenticator{now: time.Now, signedOut: newExpiringSet()} // whose key is that of no token
	c := &http.Cookie{Name: a.cookieName(request()), Value: forger.sealSession(time.Now().Add(time.Hour))}
	if _, err := a.Viewer(withCookie(c)); err == nil {
		t.Error("a session sealed with the key of no token is a viewer")
	}
}

func TestSignInByTokenStartsASession(t *testing.T) {
	a, token, clock := newTest(t)
	c := signIn(a, request(), " "+token.Secret()+"\n")
	if c == nil {
		t.Fatal("the token does not sign in")
	}
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Secure || c.Domain != "" || c.MaxAge != int(SessionLifetime.Seconds()) {
		t.Errorf("the cookie is %+v", c)
	}
	if strings.Contains(c.Value, token.Secret()) {
		t.Error("the cookie shows the token")
	}
	if v, err := a.Viewer(withCookie(c)); err != nil || !v.Can(SecurityRead, "acme") {
		t.Errorf("%v, %v", v, err)
	}
	clock.at = clock.at.Add(SessionLifetime)
	if _, err := a.Viewer(withCookie(c)); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("after its lifetime: %v", err)
	}
}

func TestSignInOverTLSHasASecureHostCookie(t *testing.T) {
	a, token, _ := newTest(t)
	r := request()
	r.TLS = &tls.ConnectionState{}
	proxied := New(Config{Token: token, SecureCookies: true})
	for _, c := range []*http.Cookie{signIn(a, r, token.Secret()), signIn(proxied, request(), token.Secret())} {
		if !c.Secure || !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || c.Domain != "" {
			t.Errorf("the cookie is %+v", c)
		}
	}
	if _, err := a.Viewer(withCookie(signIn(a, r, token.Secret()))); !errors.Is(err, ErrNoCredentials) {
		t.Errorf("the cookie of TLS is taken without it: %v", err)
	}
}

func TestSignInWithAnythingElseStartsNothing(t *testing.T) {
	a, _, _ := newTest(t)
	for _, secret := range []string{"", "x", NewAdminToken().Secret()} {
		w := httptest.NewRecorder()
		if a.SignIn(w, request(), secret) || len(w.Result().Cookies()) != 0 {
			t.Errorf("%q signs in", secret)
		}
	}
}

func TestSignInCodeWorksOnce(t *testing.T) {
	a, _, _ := newTest(t)
	code := a.NewCode()
	if signIn(a, request(), code) == nil {
		t.Fatal("the code does not sign in")
	}
	if signIn(a, request(), code) != nil {
		t.Error("the code signs in twice")
	}
}

func TestSignInCodeExpires(t *testing.T) {
	a, _, clock := newTest(t)
	code := a.NewCode()
	clock.at = clock.at.Add(CodeLifetime)
	if signIn(a, request(), code) != nil {
		t.Error("the code signs in after its lifetime")
	}
}

func TestSignInCodesAreBounded(t *testing.T) {
	a, _, clock := newTest(t)
	first := a.NewCode()
	for range maxCodes {
		clock.at = clock.at.Add(time.Millisecond)
		a.NewCode()
	}
	if len(a.codes.expires) != maxCodes {
		t.Errorf("%d codes wait", len(a.codes.expires))
	}
	if signIn(a, request(), first) != nil {
		t.Error("the oldest code was not given up")
	}
	clock.at = clock.at.Add(CodeLifetime)
	last := a.NewCode()
	if len(a.codes.expires) != 1 || signIn(a, request(), last) == nil {
		t.Error("expired codes are kept")
	}
}

func TestSessionSurvivesARestartAndEndsWithTheToken(t *testing.T) {
	a, token, clock := newTest(t)
	c := signIn(a, request(), token.Secret())
	restarted := New(Config{Token: token, Now: clock.now})
	if _, err := restarted.Viewer(withCookie(c)); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	changed := New(Config{Token: NewAdminToken(), Now: clock.now})
	c.Name = changed.cookieName(request())
	if _, err := changed.Viewer(withCookie(c)); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("after a change of the token: %v", err)
	}
}

func TestSessionsOfTwoInstallationsOnOneHostDoNotMeet(t *testing.T) {
	a, _, _ := newTest(t)
	b, _, _ := newTest(t)
	if a.cookieName(request()) == b.cookieName(request()) {
		t.Error("two installations use one cookie")
	}
}

func TestSessionThatWasChangedIsRefused(t *testing.T) {
	a, token, _ := newTest(t)
	c := signIn(a, request(), token.Secret())
	raw, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		t.Fatal(err)
	}
	values := []string{"", "x", "!", c.Value + "A", c.Value[1:], c.Value + "="}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			values = append(values, base64.RawURLEncoding.EncodeToString(raw))
			raw[i] ^= 1 << bit
		}
	}
	for _, v := range values {
		if _, err := a.Viewer(withCookie(&http.Cookie{Name: c.Name, Value: v})); !errors.Is(err, ErrBadCredentials) {
			t.Fatalf("%q: %v", v, err)
		}
	}
}

func TestSignOutEndsTheSessionAlsoInCopies(t *testing.T) {
	a, token, clock := newTest(t)
	c, other := signIn(a, request(), token.Secret()), signIn(a, request(), token.Secret())
	w := httptest.NewRecorder()
	a.SignOut(w, withCookie(c))
	if gone := w.Result().Cookies()[0]; gone.Name != c.Name || gone.MaxAge >= 0 || gone.Value != "" {
		t.Errorf("the cookie becomes %+v", gone)
	}
	if _, err := a.Viewer(withCookie(c)); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("a copy of the cookie: %v", err)
	}
	if _, err := a.Viewer(withCookie(other)); err != nil {
		t.Errorf("another session: %v", err)
	}
	clock.at = clock.at.Add(SessionLifetime)
	a.SignOut(httptest.NewRecorder(), withCookie(signIn(a, request(), token.Secret())))
	if len(a.signedOut.expires) != 1 {
		t.Errorf("%d ended sessions are kept", len(a.signedOut.expires))
	}
}

func TestSignOutWithoutASessionIsHarmless(t *testing.T) {
	a, _, _ := newTest(t)
	a.SignOut(httptest.NewRecorder(), request())
	a.SignOut(httptest.NewRecorder(), withCookie(&http.Cookie{Name: a.cookieName(request()), Value: "x"}))
	if len(a.signedOut.expires) != 0 {
		t.Error("a session that never was is kept")
	}
}

func FuzzCredentials(f *testing.F) {
	a := New(Config{Token: NewAdminToken()})
	f.Add("Bearer x", a.sealSession(time.Time{}))
	f.Fuzz(func(t *testing.T, header, cookie string) {
		r := request("Authorization", header)
		if v, err := a.Viewer(r); err == nil || v.Knows("acme") {
			t.Fatalf("%q is a viewer", header)
		}
		if _, ok := a.openSession(cookie); ok {
			t.Fatalf("%q is a session", cookie)
		}
	})
}

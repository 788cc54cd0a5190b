package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// SessionLifetime is how long a page session lasts after the sign-in.
const SessionLifetime = 12 * time.Hour

// CodeLifetime is how long a sign-in code can be used.
const CodeLifetime = 15 * time.Minute

// maxCodes bounds the sign-in codes that wait to be used.
const maxCodes = 64

// A page session is base64url over
//
//	version (1 byte) · expiry (8, seconds since 1970) · name (16) · HMAC-SHA256 of all before (32)
//
// The key derives from the token: sessions survive a restart and end when the
// token is changed.
const (
	sessionVersion = 1
	sessionName    = 16
	sessionBody    = 1 + 8 + sessionName
	sessionPurpose = "loginaudit page session 1"
)

// pageSession is a session that was checked.
type pageSession struct {
	name    string
	expires time.Time
}

func (a *Authenticator) sealSession(expires time.Time) string {
	b := make([]byte, sessionBody, sessionBody+sha256.Size)
	b[0] = sessionVersion
	binary.BigEndian.PutUint64(b[1:], uint64(expires.Unix()))
	_, _ = rand.Read(b[9:]) // never fails
	return base64.RawURLEncoding.EncodeToString(append(b, a.sessionMAC(b)...))
}

func (a *Authenticator) openSession(value string) (pageSession, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(b) != sessionBody+sha256.Size {
		return pageSession{}, false
	}
	body, mac := b[:sessionBody], b[sessionBody:]
	if !hmac.Equal(mac, a.sessionMAC(body)) || body[0] != sessionVersion {
		return pageSession{}, false
	}
	s := pageSession{
		name:    string(body[9:]),
		expires: time.Unix(int64(binary.BigEndian.Uint64(body[1:])), 0),
	}
	return s, a.now().Before(s.expires) && !a.signedOut.has(s.name, a.now())
}

func (a *Authenticator) sessionMAC(body []byte) []byte {
	m := hmac.New(sha256.New, a.token.key(sessionPurpose))
	m.Write(body)
	return m.Sum(nil)
}

// cookieName differs by token, because browsers share cookies among the ports
// of one host, and two installations must not sign each other out. Over TLS
// the prefix __Host- keeps other hosts from setting it.
func (a *Authenticator) cookieName(r *http.Request) string {
	name := "loginaudit-" + hex.EncodeToString(a.token.key("loginaudit cookie name 1")[:4])
	if a.secure(r) {
		return "__Host-" + name
	}
	return name
}

func (a *Authenticator) secure(r *http.Request) bool { return a.secureCookies || r.TLS != nil }

// SignIn starts a page session: it sets the session cookie if secret is a
// sign-in code that was not used yet or the administrator's token. It reports
// false, and does nothing, if it is neither.
func (a *Authenticator) SignIn(w http.ResponseWriter, r *http.Request, secret string) bool {
	secret = strings.TrimSpace(secret) // what was pasted
	if !a.codes.take(secret, a.now()) && !a.token.Matches(secret) {
		return false
	}
	value := a.sealSession(a.now().Add(SessionLifetime))
	http.SetCookie(w, a.cookie(r, value, int(SessionLifetime/time.Second)))
	return true
}

// SignOut ends the page session of the request, also in copies of its cookie
// (as long as this process lives: sessions are kept nowhere), and removes the
// cookie.
func (a *Authenticator) SignOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(a.cookieName(r)); err == nil {
		if s, ok := a.openSession(c.Value); ok {
			a.signedOut.add(s.name, s.expires, a.now())
		}
	}
	http.SetCookie(w, a.cookie(r, "", -1))
}

func (a *Authenticator) cookie(r *http.Request, value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure follows the connection: without TLS a browser would drop the cookie
		Name: a.cookieName(r), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: a.secure(r), SameSite: http.SameSiteStrictMode,
	}
}

// NewCode makes a sign-in code, for a link that is printed where only the
// operator reads it. It can be used once, within [CodeLifetime]; of more than
// a few that wait, the oldest no longer can.
func (a *Authenticator) NewCode() string {
	code := rand.Text()
	a.codes.keep(maxCodes - 1)
	a.codes.add(code, a.now().Add(CodeLifetime), a.now())
	return code
}

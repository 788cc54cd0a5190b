package access

import (
	"errors"
	"net/http"
	"strings"
	"time"
)

// The reasons why a request has no viewer.
var (
	// ErrNoCredentials: the request carries none.
	ErrNoCredentials = errors.New("no credentials")
	// ErrBadCredentials: they are malformed, unknown or expired.
	ErrBadCredentials = errors.New("bad credentials")
)

// Config is what an Authenticator needs.
type Config struct {
	// Token is the administrator's token. The zero token is replaced by one that
	// nobody knows, so that nobody can sign in.
	Token AdminToken
	// SecureCookies marks cookies Secure also when the request did not come
	// over TLS: for a proxy that terminates it.
	SecureCookies bool
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Authenticator turns credentials into viewers.
type Authenticator struct {
	token         AdminToken
	secureCookies bool
	now           func() time.Time
	codes         *expiringSet // sign-in codes that were not used yet
	signedOut     *expiringSet // page sessions that ended before they expire
}

// New makes an Authenticator.
func New(c Config) *Authenticator {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Token.secret == "" {
		c.Token = NewAdminToken()
	}
	return &Authenticator{
		token: c.Token, secureCookies: c.SecureCookies, now: c.Now,
		codes: newExpiringSet(), signedOut: newExpiringSet(),
	}
}

// administratorName is the name in the record of reads.
const administratorName = "admin.token"

// Viewer is who sent the request: by its Authorization header where it has
// one, else by its page session. The error is ErrNoCredentials or
// ErrBadCredentials.
func (a *Authenticator) Viewer(r *http.Request) (Viewer, error) {
	if headers := r.Header.Values("Authorization"); len(headers) > 0 {
		return a.bearer(headers)
	}
	cookie, err := r.Cookie(a.cookieName(r))
	if err != nil {
		return Viewer{}, ErrNoCredentials
	}
	if _, ok := a.openSession(cookie.Value); !ok {
		return Viewer{}, ErrBadCredentials
	}
	return Administrator(administratorName), nil
}

// bearer reads Authorization: Bearer … (RFC 6750). The name of the scheme is
// in any case; several headers are ambiguous.
func (a *Authenticator) bearer(headers []string) (Viewer, error) {
	scheme, token, found := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !found || !strings.EqualFold(scheme, "Bearer") {
		return Viewer{}, ErrBadCredentials
	}
	if !a.token.Matches(strings.TrimLeft(token, " ")) {
		return Viewer{}, ErrBadCredentials
	}
	return Administrator(administratorName), nil
}

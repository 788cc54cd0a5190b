package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"
)

// signInPath is where a page session starts, signOutPath where it ends.
const (
	signInPath  = "/sign-in"
	signOutPath = "/sign-out"
)

// signInView is what the form of the sign-in shows.
type signInView struct {
	// Code is the code of the link; "" asks for the token.
	Code string
	// Next is the path to go to.
	Next string
	// Failed: what was sent is neither a code that can still be used nor the
	// token.
	Failed bool
}

// signInRoutes adds the sign-in. A link with a code only shows a button: what
// follows links by itself (previews, scanners) does not use the code up.
func (s *Server) signInRoutes(r chi.Router) {
	get(r, signInPath, s.showSignIn)
	r.Post(signInPath, s.signIn)
	r.Post(signOutPath, s.signOut)
}

func (s *Server) showSignIn(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.pages.signIn(w, r, http.StatusOK, signInView{Code: q.Get("code"), Next: localPath(q.Get("next"))})
}

// signIn takes the fields code or token, and next. A code that is spent is no
// failure for who is signed in already: they followed the same link again.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, badForm(err))
		return
	}
	next := localPath(r.PostForm.Get("next"))
	for _, field := range []string{"code", "token"} {
		if secret := r.PostForm.Get(field); secret != "" && s.access.SignIn(w, r, secret) {
			s.metrics.signIns.WithLabelValues(signedIn).Inc()
			http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // localPath stays on this host
			return
		}
	}
	if _, err := s.authenticate(r); err == nil && r.PostForm.Get("token") == "" {
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // localPath stays on this host
		return
	}
	s.metrics.signIns.WithLabelValues(signInFailed).Inc()
	w.Header().Set("WWW-Authenticate", `Bearer realm="loginaudit"`)
	s.pages.signIn(w, r, http.StatusUnauthorized, signInView{Next: next, Failed: true})
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	s.access.SignOut(w, r)
	http.Redirect(w, r, signInPath, http.StatusSeeOther)
}

// signInFor is the address of the sign-in that comes back to the request.
func signInFor(r *http.Request) string {
	return signInPath + "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
}

// localPath is next if it is a path of this host, else the start page: a link
// to the sign-in must not lead elsewhere.
func localPath(next string) string {
	const start = "/"
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.Contains(next, `\`) {
		return start
	}
	return next
}

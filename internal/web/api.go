package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// handler answers a request, or says why not, before it wrote anything.
type handler func(w http.ResponseWriter, r *http.Request) error

// accountRoute is a question about one account: its path below the account,
// and the right that it takes to ask it.
type accountRoute struct {
	path   string
	right  access.Right
	handle handler
}

func (s *Server) accountRoutes() []accountRoute {
	return []accountRoute{
		{"/users", access.SecurityRead, s.users},
		{"/users/{username}", access.SecurityRead, s.user},
		{"/users/{username}/attempts", access.SecurityRead, s.attempts},
		{"/users/{username}/events", access.SecurityRead, s.userEvents},
		{"/events", access.SecurityRead, s.events},
		{"/events/{id}", access.SecurityRead, s.event},
		{"/sessions", access.SecurityRead, s.sessions},
		{"/histogram", access.SecurityRead, s.histogram},
		{"/facets", access.SecurityRead, s.facets},
		{"/export", access.SecurityExport, s.export},
		{"/stream", access.SecurityRead, s.stream},
	}
}

// lasting tells of a question whose answer may take as long as it takes.
func (r accountRoute) lasting() bool { return r.path == "/export" || r.path == "/stream" }

func (s *Server) apiRoutes(r chi.Router) {
	r.Route("/v1", func(r chi.Router) {
		get(r, "/codes", s.forViewers(s.codes))
		get(r, "/status", s.forViewers(s.status))
		get(r, "/openapi.yaml", s.forAll(s.openAPI))
		r.Route("/accounts/{account}", func(r chi.Router) {
			for _, route := range s.accountRoutes() {
				if route.lasting() {
					get(r, route.path, s.authenticated(s.withRight(route.right, route.handle)))
					continue
				}
				get(r, route.path, s.forRight(route.right, route.handle))
			}
		})
	})
}

// get serves GET and HEAD; net/http drops the body of the latter.
func get(r chi.Router, path string, h http.HandlerFunc) {
	r.Get(path, h)
	r.Head(path, h)
}

// forAll answers whoever asks.
func (s *Server) forAll(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// authenticated answers whoever has valid credentials, in as much time as it takes.
func (s *Server) authenticated(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		viewer, err := s.authenticate(r)
		if err == nil {
			err = h(w, r.WithContext(context.WithValue(r.Context(), viewerKey{}, viewer)))
		}
		if err != nil {
			s.fail(w, r, err)
		}
	}
}

// forViewers answers whoever has valid credentials, in the time of one question.
func (s *Server) forViewers(h handler) http.HandlerFunc {
	return s.authenticated(func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), s.queryTimeout)
		defer cancel()
		err := h(w, r.WithContext(ctx))
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && !errors.Is(err, query.ErrUnavailable) {
			// However the store puts it, unless it knows that it answers nobody.
			return errors.Join(err, context.DeadlineExceeded)
		}
		return err
	})
}

// forRight answers who has the right on the account of the path.
func (s *Server) forRight(right access.Right, h handler) http.HandlerFunc {
	return s.forViewers(s.withRight(right, h))
}

// withRight is h for who has the right on the account of the path.
func (s *Server) withRight(right access.Right, h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		account, err := accountOf(r)
		if err != nil {
			return err
		}
		viewer := viewerOf(r)
		switch {
		case viewer.Can(right, account):
			return h(w, r)
		case viewer.Knows(account):
			return forbidden(right, account)
		default: // whether the account exists is not theirs to know
			return errNoPath
		}
	}
}

type viewerKey struct{}

// viewerOf is who sent the request; the zero Viewer, which may see nothing,
// outside of forViewers.
func viewerOf(r *http.Request) access.Viewer {
	v, _ := r.Context().Value(viewerKey{}).(access.Viewer)
	return v
}

// pathValue is a part of the path as bytes. rawPath has seen to it that the
// router cut the path before anything was decoded.
func pathValue(r *http.Request, name string) (string, bool) {
	value, err := url.PathUnescape(chi.URLParam(r, name))
	return value, err == nil
}

var accountForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func accountOf(r *http.Request) (string, error) {
	account, ok := pathValue(r, "account")
	if !ok || !accountForm.MatchString(account) {
		return "", &query.InvalidError{Errors: []query.ParameterError{{
			Parameter: "account", Detail: "is not the name of an account", Allowed: "1 to 64 of A-Z a-z 0-9 _ -",
		}}}
	}
	return account, nil
}

// nameOf is a name that was typed by anyone: any bytes. What no event can
// hold is not found, and nobody else is asked for it.
func nameOf(r *http.Request, part string) (string, error) {
	name, ok := pathValue(r, part)
	if !ok || name == "" || !utf8.ValidString(name) {
		return "", query.ErrNotFound
	}
	return name, nil
}

// question is a request about one account in the words of query.
type question struct {
	values url.Values
	asked  query.Asked
	// moving tells, once the parameters are parsed, whether the answer depends on
	// the moment of the question; nil where no account is asked about.
	moving *bool
}

// account is whom the question is about.
func (q question) account() string { return q.asked.Account }

func (s *Server) question(r *http.Request) (question, error) {
	account, err := accountOf(r)
	if err != nil {
		return question{}, err
	}
	values, err := parameters(r)
	moving := new(bool)
	return question{values: values, asked: query.Asked{Account: account, Now: s.now(), Moving: moving}, moving: moving}, err
}

// userQuestion is question for a path that names a user.
func (s *Server) userQuestion(r *http.Request) (q question, err error) {
	username, err := nameOf(r, "username")
	if err != nil {
		return q, missing(err, noSuchName)
	}
	q, err = s.question(r)
	q.asked.Username = &username
	return q, err
}

// parameters reads the query string; unlike r.URL.Query it drops nothing.
func parameters(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err == nil {
		return values, nil
	}
	detail := "is malformed"
	if escape := url.EscapeError(""); errors.As(err, &escape) {
		detail = escape.Error()
	}
	return nil, &query.InvalidError{Errors: []query.ParameterError{{
		Parameter: "query string", Detail: detail, Allowed: "name=value, joined by &, percent-encoded",
	}}}
}

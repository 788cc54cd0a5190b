// Package web answers over HTTP: the API of contract §4 as JSON, and the
// page. It asks its questions through the interfaces below and knows neither
// ClickHouse nor NATS.
//
// Every route declares the right that it needs; nothing is answered without
// it. Handlers return an error, and one place turns it into an answer, so
// that no error says more than it should.
package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// The stores answer questions about one account. Their errors wrap
// query.ErrNotFound, query.ErrTooHeavy or query.ErrUnavailable; any other is
// our fault.

// UserStore answers questions about users.
type UserStore interface {
	// Users lists the users of an account with their latest activity.
	Users(ctx context.Context, account string, f query.UserFilter) (query.UserPage, error)
	// User is one user as of a moment; query.ErrNotFound where there is none.
	User(ctx context.Context, account, username string, asOf time.Time) (query.UserDetail, error)
	// Attempts is the log-in history of one user; query.ErrNotFound where there
	// is none.
	Attempts(ctx context.Context, account string, f query.AttemptFilter) (query.AttemptPage, error)
}

// SessionStore answers questions about sessions.
type SessionStore interface {
	// Sessions lists the sessions of an account that have opened.
	Sessions(ctx context.Context, account string, f query.SessionFilter) (query.SessionPage, error)
}

// EventStore answers questions about events.
type EventStore interface {
	// Events lists events of an account.
	Events(ctx context.Context, account string, f query.EventFilter) (query.EventPage, error)
	// UserEvents is Events of the user whom f names; query.ErrNotFound where
	// there is none.
	UserEvents(ctx context.Context, account string, f query.EventFilter) (query.EventPage, error)
	// Event is everything about the events of one id;
	// query.ErrNotFound where there is none.
	Event(ctx context.Context, account string, q query.EventQuestion) (query.EventDetails, error)
	// Histogram counts events over time. An interval that makes too many bars is
	// a [query.InvalidError].
	Histogram(ctx context.Context, account string, q query.HistogramQuestion) (query.Histogram, error)
	// Facets counts events by the values of fields.
	Facets(ctx context.Context, account string, q query.FacetsQuestion) (query.FacetAnswer, error)
}

// ExportStore gives events away in bulk.
type ExportStore interface {
	// Export hands every event that f lets through to each, in its order, as of the
	// watermark that it returns. Each may keep the events, not the slice. An error of
	// each is returned as it is.
	Export(ctx context.Context, account string, f query.EventFilter, each func([]query.Event) error) (query.Watermark, error)
}

// StatusStore answers questions about all of the store.
type StatusStore interface {
	// Accounts lists the accounts that have events.
	Accounts(ctx context.Context) ([]string, error)
	// Watermark tells how complete an answer would be.
	Watermark(ctx context.Context) (query.Watermark, error)
	// Status tells the whole pipeline, but for its State and Reasons and for the
	// version of this program.
	Status(ctx context.Context) (query.Status, error)
}

// Store is all that web asks.
type Store interface {
	UserStore
	SessionStore
	EventStore
	ExportStore
	StatusStore
}

// Config is what a Server needs.
type Config struct {
	// Store answers the questions. Required.
	Store Store
	// Tail follows the stream; there is no tail when nil.
	Tail Tail
	// Access knows the viewers. Required.
	Access *access.Authenticator
	// Log gets one line a request, without personal data; none when nil.
	Log *zap.Logger
	// Registerer gets the metrics; none when nil.
	Registerer prometheus.Registerer
	// Version is this program's, for the status.
	Version string
	// QueryTimeout bounds one question; 15 s when zero.
	QueryTimeout time.Duration
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

const defaultQueryTimeout = 15 * time.Second

// Server is the API and the page.
type Server struct {
	store        Store
	tail         Tail
	access       *access.Authenticator
	log          *zap.Logger
	metrics      *metrics
	version      string
	queryTimeout time.Duration
	exports      exports
	now          func() time.Time
	authenticate func(*http.Request) (access.Viewer, error)
	pages        pages
	handler      http.Handler
}

// pages is what the page, not the API, shows. pageRoutes sets it.
type pages struct {
	// fail answers a request outside of /api/ that went wrong.
	fail func(w http.ResponseWriter, r *http.Request, f failure)
	// signIn shows the form of signInView with the given status.
	signIn func(w http.ResponseWriter, r *http.Request, status int, v signInView)
}

// New makes a Server. It fails where the configuration is incomplete, or
// where the metrics are registered already.
func New(c Config) (*Server, error) {
	if c.Store == nil || c.Access == nil {
		return nil, errors.New("new web server: Store and Access are required")
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.QueryTimeout == 0 {
		c.QueryTimeout = defaultQueryTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Server{
		store: c.Store, tail: c.Tail, access: c.Access, log: c.Log,
		metrics: m, version: c.Version, queryTimeout: c.QueryTimeout, exports: newExports(), now: c.Now,
		authenticate: m.counted(c.Access.Viewer),
	}
	routes := s.routes()
	if err := m.begin(routes); err != nil {
		return nil, fmt.Errorf("new web server: %w", err)
	}
	s.handler = routes
	return s, nil
}

// Handler answers all requests.
func (s *Server) Handler() http.Handler { return s.handler }

// routes puts the parts together, in the order in which a request meets them.
func (s *Server) routes() chi.Router {
	r := chi.NewRouter()
	r.Use(s.boundWriting, rawPath, requestID, s.observe, s.recoverPanic, securityHeaders, s.sameOrigin, limitBody, compress)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errNoPath) })
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, errMethod) })
	r.Route("/api", s.apiRoutes)
	s.signInRoutes(r)
	s.problemRoutes(r)
	s.pageRoutes(r)
	return r
}

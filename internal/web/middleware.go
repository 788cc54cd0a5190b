package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"go.uber.org/zap"
)

// rawPath lets the router cut the path as it was sent. Where the path needs
// no escapes that differ from Go's, RawPath is empty and the router would cut
// the decoded one: then a name with an escaped slash would be two, and one
// with an escaped percent sign would be decoded twice.
func rawPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := *r.URL
		u.RawPath = u.EscapedPath()
		raw := *r
		raw.URL = &u
		next.ServeHTTP(w, &raw)
	})
}

type requestIDKey struct{}

// requestIDForm bounds what others may write into our log.
var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// requestID names the request, as the asker did if that is a name, and tells
// the name in the answer.
func requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-Id")
		if !requestIDForm.MatchString(id) {
			id = rand.Text()
		}
		w.Header().Set("X-Request-Id", id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

func requestIDOf(r *http.Request) string {
	id, _ := r.Context().Value(requestIDKey{}).(string)
	return id
}

// observe counts the request and logs one line: the pattern of its route, not
// its path, which holds names of people.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		wrapped := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		defer func() { // an answer that is broken off is counted, too
			elapsed, route, status := time.Since(start), routeOf(r), wrapped.Status()
			if status == 0 {
				status = http.StatusOK
			}
			s.metrics.done(r.Method, route, status, elapsed)
			s.log.Info("request",
				zap.String("request_id", requestIDOf(r)),
				zap.String("method", methodName(r.Method)),
				zap.String("route", route),
				zap.Int("status", status),
				zap.Int("bytes", wrapped.BytesWritten()),
				zap.Duration("elapsed", elapsed),
			)
		}()
		next.ServeHTTP(wrapped, r)
	})
}

// routeOf is the pattern of the route that the request took.
func routeOf(r *http.Request) string {
	if c := chi.RouteContext(r.Context()); c != nil {
		if pattern := c.RoutePattern(); pattern != "" {
			return pattern
		}
	}
	return "none"
}

// recoverPanic answers a request whose handler panicked; the others go on.
func (s *Server) recoverPanic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				s.metrics.panics.Inc()
				s.log.Error("handler panicked", zap.String("request_id", requestIDOf(r)),
					zap.String("panic", fmt.Sprint(p)), zap.Stack("stack"))
				s.fail(w, r, errPanic)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

var errPanic = errors.New("handler panicked")

// securityHeaders are those of an answer that holds personal data and that
// no page may embed. The page widens Content-Security-Policy for itself.
func securityHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Referrer-Policy", "no-referrer") // addresses hold usernames
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses what changes something on behalf of another site.
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, errOrigin)
	}))
	return protection.Handler(next)
}

// writeGrace is how long an answer may take to send, after the question.
const writeGrace = time.Minute

// boundWriting cuts off who reads too slowly. The bound is that of the
// connection, so every request sets its own.
func (s *Server) boundWriting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deadline := time.Now().Add(s.queryTimeout + writeGrace)
		// Fails only where there is no connection: in tests.
		_ = http.NewResponseController(w).SetWriteDeadline(deadline)
		next.ServeHTTP(w, r)
	})
}

// maxBody is above the largest form of the page.
const maxBody = 64 << 10

func limitBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// compress is for texts; pictures and fonts are compressed already.
func compress(next http.Handler) http.Handler {
	const level = 5
	return middleware.Compress(level, "application/json", "application/problem+json",
		"application/x-ndjson", "text/csv", // Parquet is compressed already
		"text/html", "text/css", "text/javascript", "image/svg+xml")(next)
}

package apicheck

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
)

// Handler is next, with every exchange checked after it: what the document does
// not allow is an error of the test. Streams pass through as they are written,
// and are kept in memory meanwhile.
func Handler(t testing.TB, next http.Handler) http.Handler {
	d := Served(t)
	var mu sync.Mutex
	over := false // a handler may outlive its test, and may not speak then
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		over = true
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Clone(r.Context()) // a handler may change its request
		w2 := &tap{ResponseWriter: w}
		whole := false
		defer func() {
			if w2.status == 0 && !whole {
				return // nothing was sent
			}
			if err := d.Check(w2.exchange(asked, !whole)); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if !over {
					t.Errorf("%s %s: the answer is not that of schema/openapi.yaml: %v", r.Method, r.URL.RequestURI(), err)
				}
			}
		}()
		next.ServeHTTP(w2, r)
		whole = true
	})
}

// tap keeps what passes through.
type tap struct {
	http.ResponseWriter
	status int
	header http.Header
	body   bytes.Buffer
}

// WriteHeader keeps the headers as they are sent: later ones are trailers.
func (t *tap) WriteHeader(status int) {
	if t.status == 0 && status >= http.StatusOK {
		t.status, t.header = status, t.Header().Clone()
	}
	t.ResponseWriter.WriteHeader(status)
}

// Write keeps a part of the body.
func (t *tap) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.WriteHeader(http.StatusOK)
	}
	t.body.Write(b)
	return t.ResponseWriter.Write(b)
}

// Flush passes on what was written.
func (t *tap) Flush() {
	if t.status == 0 {
		t.WriteHeader(http.StatusOK)
	}
	_ = http.NewResponseController(t.ResponseWriter).Flush() // where it cannot, nobody waits for it
}

// Unwrap lets http.ResponseController reach the connection.
func (t *tap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *tap) exchange(r *http.Request, cut bool) Exchange {
	if t.status == 0 {
		t.status, t.header = http.StatusOK, t.Header().Clone()
	}
	trailer := http.Header{}
	for name, values := range t.Header() {
		if later, ok := trailerName(name, t.header); ok {
			trailer[later] = values
		}
	}
	return Exchange{Request: r, Status: t.status, Header: t.header, Body: t.body.Bytes(), Trailer: trailer, Cut: cut}
}

// trailerName tells a header that was set too late to be sent as one.
func trailerName(name string, sent http.Header) (string, bool) {
	if len(name) > len(http.TrailerPrefix) && name[:len(http.TrailerPrefix)] == http.TrailerPrefix {
		return http.CanonicalHeaderKey(name[len(http.TrailerPrefix):]), true
	}
	_, early := sent[name]
	return name, !early
}

// Package apicheck compares what the API answers with schema/openapi.yaml, in
// tests: whatever a test asks, the answer is one that the document allows, and
// the document says everything that the answer holds. The document's schemas
// are closed, so a member that nobody wrote down fails.
//
// [Handler] wraps a service and checks every exchange with it, [Response] checks
// one, [Line] checks a line of a stream against a named schema.
package apicheck

import (
	"net/http"
	"sync"
	"testing"

	"github.com/loginaudit/loginaudit/schema"
)

// served is the document that the service gives out; it is read once and never
// changed.
var served = sync.OnceValues(func() (*Document, error) { return Read(schema.OpenAPI) })

// Served is the document of schema/openapi.yaml. The test ends where the
// document is no OpenAPI.
func Served(t testing.TB) *Document {
	t.Helper()
	d, err := served()
	if err != nil {
		t.Fatalf("schema/openapi.yaml: %v", err)
	}
	return d
}

// Response checks an answer of the API and the request that it was given to.
// Requests for paths outside of /api/ are not looked at.
func Response(t testing.TB, r *http.Request, status int, h http.Header, body []byte) {
	t.Helper()
	if err := Served(t).Check(Exchange{Request: r, Status: status, Header: h, Body: body}); err != nil {
		t.Errorf("%s %s: the answer is not that of schema/openapi.yaml: %v", r.Method, r.URL.RequestURI(), err)
	}
}

// Line checks one JSON text, such as a line of NDJSON or the data of a
// server-sent event, against a schema of the document's components.
func Line(t testing.TB, schemaName string, line []byte) {
	t.Helper()
	if err := Served(t).Validate("#/components/schemas/"+schemaName, line); err != nil {
		t.Errorf("%s is no %s of schema/openapi.yaml: %v", line, schemaName, err)
	}
}

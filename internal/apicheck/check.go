package apicheck

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Exchange is a request with its answer.
type Exchange struct {
	Request *http.Request
	Status  int
	Header  http.Header
	// Body is as it was sent, compressed or not.
	Body []byte
	// Trailer are the HTTP trailers; nil where they are not known.
	Trailer http.Header
	// Cut says that the service aborted the connection.
	Cut bool
}

// problem is the schema of every error.
const problem = "#/components/schemas/Problem"

// statusGone is an answer to nobody: who asked is gone.
const statusGone = 499

// Check says what of an answer the document does not allow, or nil. It does not
// look at requests for paths outside of /api/.
func (d *Document) Check(x Exchange) error {
	if !strings.HasPrefix(x.Request.URL.Path, "/api/") {
		return nil
	}
	o, known := d.find(x.Request)
	if !known {
		return d.checkUnknown(x)
	}
	if x.Status == statusGone {
		return d.checkProblem(x)
	}
	code := fmt.Sprint(x.Status)
	response := o.item.Get.Responses.Value(code)
	if response == nil {
		return fmt.Errorf("the status %s is not documented", code)
	}
	place := response.Ref
	if place == "" {
		place = o.place() + "/get/responses/" + code
	}
	a := answer{Document: d, Exchange: x, response: response.Value, place: place}
	errs := []error{a.checkHeaders(), a.checkTrailers(), a.checkBody()}
	if x.Status < http.StatusBadRequest {
		errs = append(errs, d.checkRequest(o, x.Request))
	}
	return errors.Join(errs...)
}

// checkUnknown checks the answer to a request that is no question of the API.
func (d *Document) checkUnknown(x Exchange) error {
	if x.Status < http.StatusBadRequest {
		return fmt.Errorf("the path is not documented and yet answered with %d", x.Status)
	}
	return d.checkProblem(x)
}

func (d *Document) checkProblem(x Exchange) error {
	if got := x.Header.Get("Content-Type"); got != "application/problem+json" {
		return fmt.Errorf("the status %d has the content type %q", x.Status, got)
	}
	body, err := x.decoded()
	if err != nil || x.empty() {
		return err
	}
	return d.Validate(problem, body)
}

// empty is a body that is not there because it was not asked for.
func (x Exchange) empty() bool { return x.Request.Method == http.MethodHead && len(x.Body) == 0 }

// decoded is the body before it was compressed.
func (x Exchange) decoded() (body []byte, err error) {
	var r io.Reader
	switch encoding := x.Header.Get("Content-Encoding"); encoding {
	case "":
		return x.Body, nil
	case "gzip":
		if r, err = gzip.NewReader(bytes.NewReader(x.Body)); err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
	case "deflate":
		r = flate.NewReader(bytes.NewReader(x.Body))
	default:
		return nil, fmt.Errorf("the encoding is %q", encoding)
	}
	body, err = io.ReadAll(r)
	if x.Cut {
		err = nil
	}
	return body, err
}

// checkRequest finds parameters that were taken and are not documented, or not
// like that.
func (d *Document) checkRequest(o operation, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("the query string was taken and is malformed: %w", err)
	}
	var errs []error
	known := map[string]bool{}
	for _, p := range o.parameters() {
		var values []string
		switch p.In {
		case openapi3.ParameterInQuery:
			values, known[p.Name] = query[p.Name], true
		case openapi3.ParameterInPath:
			values = []string{o.values[p.Name]}
		case openapi3.ParameterInHeader:
			values = r.Header.Values(p.Name)
		}
		switch {
		case len(values) > 0:
			if err := d.validate(p.ref, instance(p.Schema.Value, values)); err != nil {
				errs = append(errs, fmt.Errorf("%s=%q was taken: %w", p.Name, values, err))
			}
		case p.Required:
			errs = append(errs, fmt.Errorf("%s is required and was not sent", p.Name))
		}
	}
	for name := range query {
		if !known[name] {
			errs = append(errs, fmt.Errorf("the parameter %s was taken and is not documented", name))
		}
	}
	return errors.Join(errs...)
}

// instance is what texts mean to a schema.
func instance(s *openapi3.Schema, values []string) any {
	if s.Type.Is(openapi3.TypeArray) {
		all := make([]any, len(values))
		for i, v := range values {
			all[i] = instance(s.Items.Value, []string{v})
		}
		return all
	}
	if len(values) != 1 {
		return values // nothing that a schema of one value allows
	}
	switch {
	case s.Type.Is(openapi3.TypeInteger) && json.Valid([]byte(values[0])):
		return json.Number(values[0])
	case s.Type.Is(openapi3.TypeBoolean) && values[0] == "true":
		return true
	case s.Type.Is(openapi3.TypeBoolean) && values[0] == "false":
		return false
	}
	return values[0]
}

// answer is an exchange with what the document says of such answers.
type answer struct {
	*Document
	Exchange
	response *openapi3.Response
	place    string
}

// everywhere are the headers that are not about the API.
func everywhere() []string {
	return []string{
		"Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Transfer-Encoding", "Vary",
		"Content-Security-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Permissions-Policy",
		"Referrer-Policy", "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options",
	}
}

func (a answer) checkHeaders() error {
	var errs []error
	known := everywhere()
	for name, h := range a.response.Headers {
		known = append(known, http.CanonicalHeaderKey(name))
		ref := h.Ref
		if ref == "" {
			ref = a.place + "/headers/" + pointer(name)
		}
		values := a.Header.Values(name)
		switch {
		case len(values) > 0:
			if err := a.validate(ref+"/schema", instance(h.Value.Schema.Value, values)); err != nil {
				errs = append(errs, fmt.Errorf("the header %s: %w", name, err))
			}
		case h.Value.Required:
			errs = append(errs, fmt.Errorf("the header %s is missing", name))
		}
	}
	for name := range a.Header {
		if !slices.Contains(known, name) {
			errs = append(errs, fmt.Errorf("the header %s is not documented", name))
		}
	}
	return errors.Join(errs...)
}

// expects tells whether a trailer is sent with this answer: x-coded says that one
// is sent only with answers that are compressed, or only with those that are not.
func (a answer) expects(trailer any) bool {
	about, _ := trailer.(map[string]any)
	coded, isSaid := about["x-coded"].(bool)
	return !isSaid || coded == (a.Header.Get("Content-Encoding") != "")
}

// checkTrailers holds an answer to its trailers: all of them where it is whole,
// none where it was cut.
func (a answer) checkTrailers() error {
	trailers, _ := a.response.Extensions["x-trailers"].(map[string]any)
	if a.Trailer == nil || a.Request.Method == http.MethodHead {
		return nil
	}
	var errs []error
	for name, about := range trailers {
		value := a.Trailer.Get(name)
		switch {
		case value == "" && !a.expects(about):
		case a.Cut && value != "":
			errs = append(errs, fmt.Errorf("the answer was cut and has the trailer %s", name))
		case a.Cut:
		case value == "":
			errs = append(errs, fmt.Errorf("the trailer %s is missing", name))
		default:
			if err := a.validate(a.place+"/x-trailers/"+pointer(name)+"/schema", value); err != nil {
				errs = append(errs, fmt.Errorf("the trailer %s: %w", name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (a answer) checkBody() error {
	if len(a.response.Content) == 0 {
		if len(a.Body) > 0 {
			return errors.New("there is a body where none is documented")
		}
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("the content type %q: %w", a.Header.Get("Content-Type"), err)
	}
	content := a.response.Content[mediaType]
	if content == nil {
		return fmt.Errorf("the content type %s is not documented", mediaType)
	}
	if a.empty() {
		return nil
	}
	body, err := a.decoded()
	if err != nil {
		return err
	}
	switch {
	case content.Extensions["x-line-schemas"] != nil:
		return a.checkLines(body, content)
	case content.Extensions["x-event-schemas"] != nil:
		return a.checkMessages(body, content)
	case strings.HasSuffix(mediaType, "json"):
		return a.Validate(content.Schema.Ref, body)
	}
	return nil
}

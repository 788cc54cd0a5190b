package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// problemKind is a kind of failure: what the asker is told, and nothing of
// what happened inside.
type problemKind struct {
	slug   string // the last part of the problem's type
	title  string
	status int
	// detail is what an answer says where the failure says nothing itself.
	detail string
	// about is the text at the problem's type.
	about string
}

// statusGone is for who no longer waits for the answer. No one reads it but
// the log and the metrics; the number is that of nginx.
const statusGone = 499

// The kinds of failure.
var (
	invalidParameter = problemKind{"invalid-parameter", "Invalid parameter", http.StatusBadRequest,
		"a parameter is wrong", "One or more parameters are wrong. errors tells for each what is wrong and what is allowed."}
	badRequest = problemKind{"bad-request", "Bad request", http.StatusBadRequest,
		"the request cannot be read", "The body of the request cannot be read."}
	unauthorized = problemKind{"unauthorized", "Unauthorized", http.StatusUnauthorized,
		"send Authorization: Bearer and a valid token", "The request carries no credentials, or they are not valid (any more)."}
	missingRight = problemKind{"forbidden", "Forbidden", http.StatusForbidden,
		"a right is missing", "The credentials are valid, but lack the right that detail names."}
	crossOrigin = problemKind{"cross-origin", "Cross-origin request refused", http.StatusForbidden,
		"the request comes from another site", "A browser sent the request on behalf of another site."}
	notFound = problemKind{"not-found", "Not found", http.StatusNotFound,
		"there is nothing here", "The path, the user or the event does not exist, or is not yours to know of."}
	wrongMethod = problemKind{"method-not-allowed", "Method not allowed", http.StatusMethodNotAllowed,
		"only GET and HEAD are answered here", "The path does not answer this method."}
	tooLarge = problemKind{"too-large", "Content too large", http.StatusRequestEntityTooLarge,
		"the body is too large", "The body of the request is larger than anything the path takes."}
	tooHeavy = problemKind{"too-heavy", "Too heavy", http.StatusUnprocessableEntity,
		"this reads more than one question may: narrow it by another filter, or ask for one user",
		"The question would read, or take, more than one question may. Narrow its time range, name a user, or add filters; proposal, where it is there, is a narrower question."}
	tooManyExports = problemKind{"too-many-exports", "Too many exports", http.StatusTooManyRequests,
		"as many exports are running as there may be; try again later",
		"Each export takes memory and a part of the store for as long as it lasts, so there may be few at a time. Try again after Retry-After seconds."}
	upgradeRequired = problemKind{"upgrade-required", "Upgrade required", http.StatusUpgradeRequired,
		"this takes HTTP/1.1 or newer",
		"Over HTTP/1.0 the end of the connection is the end of the answer, so that a broken export would look like a whole one. Ask by HTTP/1.1 (a proxy: nginx takes proxy_http_version 1.1), or for format=ndjson or parquet, which show by themselves that they are whole."}
	gone = problemKind{"cancelled", "Cancelled", statusGone,
		"the request was cancelled", "Who asked did not wait for the answer."}
	unavailable = problemKind{"unavailable", "Unavailable", http.StatusServiceUnavailable,
		"the answer is not available now; try again", "The store cannot answer now. Try again after Retry-After seconds."}
	internalError = problemKind{"internal", "Internal error", http.StatusInternalServerError,
		"something went wrong here; the log has it under the request id", "Something went wrong in the service. Its log has the cause under request_id."}
)

func problemKinds() []problemKind {
	return []problemKind{
		invalidParameter, badRequest, unauthorized, missingRight, crossOrigin, notFound, wrongMethod,
		tooLarge, tooHeavy, tooManyExports, upgradeRequired, gone, unavailable, internalError,
	}
}

// failure is an error as the asker is told it.
type failure struct {
	problemKind
	detail   string
	errors   []query.ParameterError
	proposal *proposal
}

// Error makes a failure an error that a handler may return.
func (f failure) Error() string { return f.detail }

func (k problemKind) because(detail string) failure { return failure{problemKind: k, detail: detail} }

func forbidden(right access.Right, account string) error {
	return missingRight.because(fmt.Sprintf("this takes the right %s on the account %s", right, account))
}

var (
	errNoPath = notFound.because("there is no such path, or it is about an account that is not yours to know of")
	errMethod = wrongMethod.because(wrongMethod.detail)
	errOrigin = crossOrigin.because(crossOrigin.detail)
)

// Details of what is not found. They do not repeat what was asked for: that is
// anyone's text.
const noSuchName = "no event of this account has this username"

func noSuchUser(asOf time.Time) string {
	return "no event of this account up to " + query.At(asOf).String() + " has this username"
}

func noSuchEvent(q query.EventQuestion) string {
	if q.StreamSeq != 0 {
		return "no event of this account has this id and this stream_seq"
	}
	return "no event of this account has this id"
}

// missing is err, with words for what is not found.
func missing(err error, detail string) error {
	if errors.Is(err, query.ErrNotFound) {
		return notFound.because(detail)
	}
	return err
}

// describe decides what the asker is told of an error. What is not known is
// our fault, and its text stays inside.
func describe(r *http.Request, err error) failure {
	var (
		known    failure
		invalid  *query.InvalidError
		maxBytes *http.MaxBytesError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &invalid):
		f := invalidParameter.because(invalid.Error())
		f.errors = invalid.Errors
		return f
	case errors.Is(err, access.ErrNoCredentials):
		return unauthorized.because(unauthorized.detail)
	case errors.Is(err, access.ErrBadCredentials):
		return unauthorized.because("the credentials are not valid")
	case errors.Is(err, query.ErrNotFound):
		return errNoPath
	case errors.As(err, &maxBytes):
		return tooLarge.because(tooLarge.detail)
	case r.Context().Err() != nil: // whatever else went wrong, nobody waits
		return gone.because(gone.detail)
	case errors.Is(err, query.ErrTooHeavy), errors.Is(err, context.DeadlineExceeded):
		return narrower(err)
	case errors.Is(err, query.ErrUnavailable):
		return unavailable.because(unavailable.detail)
	default:
		return internalError.because(internalError.detail)
	}
}

// retryAfter is how long to wait before asking again, in seconds.
const retryAfter = "5"

// fail answers a request that went wrong, and logs what was our fault.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := describe(r, err)
	switch f.slug {
	case internalError.slug:
		s.log.Error("request failed", zap.String("request_id", requestIDOf(r)), zap.Error(err))
	case unavailable.slug:
		s.log.Warn("store is unavailable", zap.String("request_id", requestIDOf(r)), zap.Error(err))
		w.Header().Set("Retry-After", retryAfter)
	case unauthorized.slug:
		challenge := `Bearer realm="loginaudit"`
		if errors.Is(err, access.ErrBadCredentials) {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case wrongMethod.slug:
		w.Header().Set("Allow", "GET, HEAD")
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeProblem(w, r, f)
		return
	}
	s.pages.fail(w, r, f)
}

// problem is RFC 9457 with the members of the contract.
type problem struct {
	Type      string                 `json:"type"`
	Title     string                 `json:"title"`
	Status    int                    `json:"status"`
	Detail    string                 `json:"detail"`
	RequestID string                 `json:"request_id"`
	Errors    []query.ParameterError `json:"errors"`
	Proposal  *proposal              `json:"proposal,omitempty"`
}

// newProblem is a failure as the asker is told it.
func newProblem(r *http.Request, f failure) problem {
	return problem{
		Type: problemPath + f.slug, Title: f.title, Status: f.status, Detail: f.detail,
		RequestID: requestIDOf(r), Errors: list(f.errors), Proposal: f.proposal,
	}
}

func writeProblem(w http.ResponseWriter, r *http.Request, f failure) {
	body, _ := encodeJSON(newProblem(r, f)) // strings and numbers: it cannot fail
	writeBody(w, f.status, "application/problem+json", body)
}

// plainFailure is a failure without any page: the last resort.
func plainFailure(w http.ResponseWriter, r *http.Request, f failure) {
	text := fmt.Sprintf("%s: %s\n\nrequest %s\n", f.title, f.detail, requestIDOf(r))
	writeBody(w, f.status, "text/plain; charset=utf-8", []byte(text))
}

// problemPath is where the types of problems are explained.
const problemPath = "/problems/"

// problemRoutes makes the type of every problem resolve.
func (s *Server) problemRoutes(r chi.Router) {
	for _, k := range problemKinds() {
		text := fmt.Sprintf("%s (%d)\n\n%s\n", k.title, k.status, k.about)
		get(r, problemPath+k.slug, func(w http.ResponseWriter, _ *http.Request) {
			writeBody(w, http.StatusOK, "text/plain; charset=utf-8", []byte(text))
		})
	}
}

// badForm is an error of reading a form.
func badForm(err error) error {
	var maxBytes *http.MaxBytesError
	if errors.As(err, &maxBytes) {
		return err
	}
	return badRequest.because(badRequest.detail)
}

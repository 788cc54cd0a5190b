package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The kinds of errors. Test with errors.Is; those that an answer tells are a
// [*Problem] too.
var (
	// ErrInvalid: a parameter is wrong (400). The Problem names it.
	ErrInvalid = errors.New("a parameter is wrong")
	// ErrUnauthorized: no credentials, or not valid ones (401).
	ErrUnauthorized = errors.New("the credentials are not valid")
	// ErrForbidden: a right is missing (403). The Problem names it.
	ErrForbidden = errors.New("a right is missing")
	// ErrNotFound: no such user, event or path, or an account whose existence is
	// not the asker's to know (404).
	ErrNotFound = errors.New("not found")
	// ErrTooHeavy: the question would read too much (422). The Problem says how to
	// narrow it.
	ErrTooHeavy = errors.New("the question is too heavy")
	// ErrTooMany: too many questions at once (429).
	ErrTooMany = errors.New("too many questions")
	// ErrUnavailable: the server cannot answer now (502, 503, 504), or cannot be
	// reached. It may pass.
	ErrUnavailable = errors.New("the server is not available")
	// ErrIncomplete: an export is not whole. errors.As to [*IncompleteError] tells
	// more.
	ErrIncomplete = errors.New("the export is not whole")
	// ErrTooLarge: an answer is larger than [WithMaxAnswer] allows.
	ErrTooLarge = errors.New("the answer is too large")
	// ErrNotAPI: what answers is not the API of loginaudit; the base URL is
	// wrong, or a proxy answered in its place.
	ErrNotAPI = errors.New("this is not the API of loginaudit")
	// ErrEmptyName: a path cannot name the empty username or id. The events of
	// the empty username are found by [EventFilter.Username].
	ErrEmptyName = errors.New("the name is empty")
)

// ParameterError is one wrong parameter.
type ParameterError struct {
	// Parameter is its name in the API, Detail what is wrong, Allowed what would
	// be right. Detail may repeat what was asked.
	Parameter string `json:"parameter"`
	Detail    string `json:"detail"`
	Allowed   string `json:"allowed"`
}

// Proposal is a narrower range of time for the same question.
type Proposal struct {
	Start Time `json:"start"`
	End   Time `json:"end"`
	// URL is its address, relative to the server.
	URL string `json:"url"`
}

// Problem is an answer that tells what is wrong (RFC 9457).
type Problem struct {
	// Type names the kind of problem; empty where something else than loginaudit
	// answered.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// RequestID finds the request in the server's log.
	RequestID string           `json:"request_id"`
	Errors    []ParameterError `json:"errors"`
	// Proposal is a narrower question that may be answered, where one was too
	// heavy; nil where the server has none.
	Proposal *Proposal `json:"proposal,omitempty"`
	// RetryAfter is how long the server asks to wait; 0 where it does not say.
	RetryAfter time.Duration `json:"-"`
}

// Error tells the status, what is wrong with each parameter, and the request id.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%d)", p.Title, p.Status)
	if len(p.Errors) == 0 && p.Detail != "" {
		b.WriteString(": " + p.Detail)
	}
	for i, e := range p.Errors {
		b.WriteString([]string{": ", "; "}[min(i, 1)] + e.Parameter + ": " + e.Detail)
		if e.Allowed != "" {
			b.WriteString(" (allowed: " + e.Allowed + ")")
		}
	}
	if p.RequestID != "" {
		b.WriteString(" [request " + p.RequestID + "]")
	}
	return b.String()
}

// Is reports whether the problem is of a kind of this package.
func (p *Problem) Is(kind error) bool {
	switch p.Status {
	case http.StatusBadRequest:
		return kind == ErrInvalid
	case http.StatusUnauthorized:
		return kind == ErrUnauthorized
	case http.StatusForbidden:
		return kind == ErrForbidden
	case http.StatusNotFound: // of a proxy it says nothing about a user
		return kind == ErrNotFound && p.Type != "" || kind == ErrNotAPI && p.Type == ""
	case http.StatusUnprocessableEntity:
		return kind == ErrTooHeavy
	case http.StatusTooManyRequests:
		return kind == ErrTooMany
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return kind == ErrUnavailable
	}
	return false
}

// IsNotFound reports whether err says that there is no such user, event or
// path, or none that the asker may know of.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// IsInvalid reports whether err says that a parameter is wrong.
func IsInvalid(err error) bool { return errors.Is(err, ErrInvalid) }

// IsDenied reports whether err says that the credentials are not valid, or lack
// a right.
func IsDenied(err error) bool {
	return errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrForbidden)
}

// IsTooHeavy reports whether err says that the question would read too much.
func IsTooHeavy(err error) bool { return errors.Is(err, ErrTooHeavy) }

// IsUnavailable reports whether err may pass by itself: the server cannot answer
// now, has too many questions, or cannot be reached.
func IsUnavailable(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrTooMany)
}

// maxProblem bounds the text of a problem.
const maxProblem = 1 << 20

// problemOf makes a problem of an answer that is no success.
func problemOf(resp *http.Response) *Problem {
	p := &Problem{}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // what cannot be read is no problem document
	if kind == "application/problem+json" {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
		if err != nil || json.Unmarshal(body, p) != nil {
			*p = Problem{}
		}
	} else {
		p.Detail = "the answer is no problem document, so something else than loginaudit answered"
	}
	p.Status = resp.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	p.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return p
}

// retryAfter reads the header Retry-After (RFC 9110, 10.2.3): seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	const most = 1 << 30 // seconds: a time.Duration holds them
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(min(max(n, 0), most)) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}

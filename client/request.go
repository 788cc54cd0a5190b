package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// question is what is asked of the API.
type question struct {
	// what names it in errors: the path of the API, with no names of users.
	what string
	// path are the parts behind /api/v1, as bytes.
	path   []string
	values url.Values
	accept string
	// lastEventID is where a tail goes on; empty: it does not.
	lastEventID string
}

func aboutAccount(what, account string, path ...string) question {
	return question{what: what, path: append([]string{"accounts", account}, path...), accept: "application/json"}
}

// with is the question with parameters.
func (q question) with(values url.Values) question {
	q.values = values
	return q
}

// url is where to ask. A name may be of any bytes: what is not plain is
// percent-encoded, and so are . and .. alone, which would otherwise be taken out
// of the path on the way.
func (c *Client) url(q question) (*url.URL, error) {
	path := c.base.EscapedPath() + "/api/v1"
	for _, part := range q.path {
		if part == "" {
			return nil, fmt.Errorf("ask %s: %w", q.what, ErrEmptyName)
		}
		path += "/" + escape(part)
	}
	u := *c.base
	u.RawPath = path
	var err error
	if u.Path, err = url.PathUnescape(path); err != nil { // it cannot fail: escape made it
		return nil, fmt.Errorf("ask %s: %w", q.what, err)
	}
	u.RawQuery = q.values.Encode()
	return &u, nil
}

// escape percent-encodes a part of a path.
func escape(part string) string {
	if strings.Trim(part, ".") == "" {
		return strings.ReplaceAll(part, ".", "%2E")
	}
	return url.PathEscape(part)
}

// transportError is a question without an answer. It holds neither the URL,
// in which a name may stand, nor any header.
type transportError struct {
	what string
	err  error
	// final tells that trying again does not help.
	final bool
}

// Error tells what was asked and what went wrong.
func (e *transportError) Error() string { return "ask " + e.what + ": " + e.err.Error() }

// Unwrap gives the kind and the cause.
func (e *transportError) Unwrap() []error { return []error{ErrUnavailable, e.err} }

// broken makes an error of what the transport says.
func broken(ctx context.Context, q question, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("ask %s: %w", q.what, context.Cause(ctx))
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	var redirect *redirectError
	if errors.As(err, &redirect) {
		return fmt.Errorf("ask %s: %w: %w", q.what, ErrNotAPI, err)
	}
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		name        *net.DNSError
	)
	final := errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &name) && name.IsNotFound ||
		errors.Is(err, http.ErrSchemeMismatch)
	return &transportError{q.what, err, final}
}

// errTryTimeout ends one try. It is not tried again: a server that is that busy
// would be asked the same heavy question once more.
var errTryTimeout = errors.New("no answer came in time")

// send asks once and gives the answer if it is 200. The caller closes its body.
func (c *Client) send(ctx context.Context, q question, by *http.Client) (*http.Response, error) {
	where, err := c.url(q)
	if err != nil {
		return nil, err
	}
	r := (&http.Request{Method: http.MethodGet, URL: where, Host: where.Host, Header: http.Header{}}).WithContext(ctx)
	r.Header.Set("Accept", q.accept)
	r.Header.Set("User-Agent", c.userAgent)
	if q.lastEventID != "" {
		r.Header.Set("Last-Event-ID", q.lastEventID)
	}
	if c.token != nil {
		token, err := c.token(ctx)
		if err != nil {
			return nil, fmt.Errorf("get token: %w", err)
		}
		if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return nil, errors.New("the token is empty, or holds what no token can") // its text stays out of the error
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := by.Do(r)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, errTryTimeout) {
			return nil, &transportError{q.what, cause, true}
		}
		return nil, broken(ctx, q, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, fmt.Errorf("ask %s: %w", q.what, problemOf(resp))
	}
	if err := q.expects(resp); err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	return resp, nil
}

// expects checks that an answer is what was asked for.
func (q question) expects(resp *http.Response) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != q.accept {
		return fmt.Errorf("ask %s: %w: the answer is %q, not %s", q.what, ErrNotAPI, kind, q.accept)
	}
	return nil
}

// again tells how long to wait before the same question may be asked again
// after err, and whether it may.
func (r Retry) again(err error, tries int) (pause time.Duration, ok bool) {
	var (
		problem   *Problem
		transport *transportError
	)
	switch {
	case errors.As(err, &problem):
		if ok = IsUnavailable(problem); problem.RetryAfter > r.MaxPause {
			return 0, false
		}
		pause = problem.RetryAfter
	case errors.As(err, &transport):
		ok = !transport.final
	}
	return pause + r.pause(tries), ok
}

// pause grows with the number of tries. Jitter keeps those who failed together
// from coming back together.
func (r Retry) pause(tries int) time.Duration {
	pause := r.MaxPause
	if tries < 30 && r.Pause<<(tries-1) < pause {
		pause = r.Pause << (tries - 1)
	}
	return pause/2 + rand.N(pause/2+1)
}

// retried tries until it works, or trying again is of no use.
func (c *Client) retried(ctx context.Context, try func() error) error {
	for tries := 1; ; tries++ {
		err := try()
		if err == nil || tries >= c.retry.Tries || ctx.Err() != nil {
			return err
		}
		pause, ok := c.retry.again(err, tries)
		if !ok || !wait(ctx, pause) {
			return err
		}
	}
}

// wait pauses; it reports false when ctx ends first, or would.
func wait(ctx context.Context, pause time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// fetch asks for JSON.
func fetch[T any](ctx context.Context, c *Client, q question) (answer T, err error) {
	err = c.retried(ctx, func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTryTimeout)
		defer cancel()
		resp, err := c.send(ctx, q, c.http)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, c.maxAnswer+1))
		switch {
		case errors.Is(context.Cause(ctx), errTryTimeout):
			return &transportError{q.what, errTryTimeout, true}
		case err != nil:
			return broken(ctx, q, err)
		case int64(len(body)) > c.maxAnswer:
			return fmt.Errorf("ask %s: %w: more than %d bytes", q.what, ErrTooLarge, c.maxAnswer)
		}
		var decoded T
		if err := json.Unmarshal(body, &decoded); err != nil {
			return fmt.Errorf("ask %s: %w: %w", q.what, ErrNotAPI, err)
		}
		answer = decoded
		return nil
	})
	return answer, err
}

package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The defaults of a [Client].
const (
	// DefaultTimeout bounds one try of a question, the body of its answer included.
	DefaultTimeout = time.Minute
	// DefaultSilence is how long an export or a tail may send nothing.
	DefaultSilence = time.Minute
	// DefaultMaxAnswer is the most bytes of an answer, after decompression.
	DefaultMaxAnswer = 256 << 20
)

// DefaultRetry is four tries, within a second and a half as a rule.
func DefaultRetry() Retry {
	return Retry{Tries: 4, Pause: 200 * time.Millisecond, MaxPause: 30 * time.Second}
}

// Retry says how often a question is asked again that got no answer.
type Retry struct {
	// Tries is how often it is asked at most; 1: once.
	Tries int
	// Pause is the first pause between two tries; pauses double, with jitter.
	Pause time.Duration
	// MaxPause is the longest pause. A server that names a longer one is not
	// waited for: its answer is the error.
	MaxPause time.Duration
}

// Client asks one server. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	http      *http.Client
	own       *http.Transport // nil where the caller has its own
	token     func(context.Context) (string, error)
	userAgent string
	retry     Retry
	timeout   time.Duration
	silence   time.Duration
	maxAnswer int64
}

// Option changes how a [Client] asks.
type Option func(*settings)

type settings struct {
	Client
	given *http.Client
	tls   *tls.Config
}

// WithToken sends an API token with every question.
func WithToken(token string) Option {
	return WithTokenSource(func(context.Context) (string, error) { return token, nil })
}

// WithTokenSource asks for the token before each question: for tokens that
// expire. It must be safe for concurrent use; its error ends the question, so
// let it hold no secret.
func WithTokenSource(source func(context.Context) (string, error)) Option {
	return func(s *settings) { s.token = source }
}

// WithHTTPClient asks through an HTTP client of the caller's own, with its
// transport and cookies. Redirects are still followed on the same host only, and
// its Timeout does not bound exports and tails.
func WithHTTPClient(c *http.Client) Option {
	return func(s *settings) { s.given = c }
}

// WithTLS says how TLS is spoken: which authorities are trusted, and the
// client's own certificate. It excludes [WithHTTPClient].
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.tls = config }
}

// WithUserAgent names the program that asks, in the server's log.
func WithUserAgent(name string) Option {
	return func(s *settings) { s.userAgent = name }
}

// WithRetry says how often to ask again. See [DefaultRetry].
func WithRetry(r Retry) Option {
	return func(s *settings) { s.retry = r }
}

// WithTimeout bounds one try of a question; exports and tails only until their
// first byte. See [DefaultTimeout].
func WithTimeout(d time.Duration) Option {
	return func(s *settings) { s.timeout = d }
}

// WithSilence bounds how long an export or a tail may send nothing before its
// connection counts as broken. Tails send something every 15 seconds. See
// [DefaultSilence].
func WithSilence(d time.Duration) Option {
	return func(s *settings) { s.silence = d }
}

// WithMaxAnswer bounds the bytes of an answer; a larger one is [ErrTooLarge].
// Exports and tails are not held in memory and have no bound in all. See
// [DefaultMaxAnswer].
func WithMaxAnswer(bytes int64) Option {
	return func(s *settings) { s.maxAnswer = bytes }
}

// New makes a client of the server at baseURL: http or https, a host, and a
// path where the API lies below one (/api/v1 is added). It sends nothing. With
// http the token can be read on the way: use it on loopback, and where something
// else protects the network.
func New(baseURL string, options ...Option) (*Client, error) {
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	s := settings{Client: Client{
		base: base, userAgent: "loginaudit-go-client", retry: DefaultRetry(),
		timeout: DefaultTimeout, silence: DefaultSilence, maxAnswer: DefaultMaxAnswer,
	}}
	for _, o := range options {
		o(&s)
	}
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	c := s.Client
	c.http = &http.Client{}
	if s.given != nil {
		*c.http = *s.given
	} else {
		c.own = ownTransport(s.tls)
		c.http.Transport = c.own
	}
	c.http.CheckRedirect = sameHost
	return &c, nil
}

// Close closes the idle connections of a client without [WithHTTPClient].
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

func parseBase(baseURL string) (*url.URL, error) {
	base, err := url.Parse(baseURL)
	switch {
	case err != nil: // its text may hold a password
		return nil, errors.New("the base URL is not a URL")
	case base.Scheme != "http" && base.Scheme != "https":
		return nil, errors.New("the base URL begins with neither http:// nor https://")
	case base.Hostname() == "":
		return nil, errors.New("the base URL names no host")
	case base.User != nil:
		return nil, errors.New("the base URL holds credentials: give a token by WithToken")
	case base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("the base URL holds a query or a fragment")
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), strings.TrimRight(base.RawPath, "/")
	return base, nil
}

func (s *settings) validate() error {
	switch {
	case s.given != nil && s.tls != nil:
		return errors.New("WithHTTPClient and WithTLS exclude each other")
	case s.retry.Tries < 1:
		return fmt.Errorf("Retry.Tries is %d, it must be 1 or more", s.retry.Tries)
	case s.retry.Pause <= 0 || s.retry.MaxPause < s.retry.Pause:
		return fmt.Errorf("Retry.Pause is %s and MaxPause %s, they must be positive and in this order", s.retry.Pause, s.retry.MaxPause)
	case s.timeout <= 0 || s.silence <= 0:
		return fmt.Errorf("the timeout is %s and the silence %s, they must be positive", s.timeout, s.silence)
	case s.maxAnswer <= 0:
		return fmt.Errorf("the largest answer is %d bytes, it must be positive", s.maxAnswer)
	}
	return nil
}

func ownTransport(config *tls.Config) *http.Transport {
	t := &http.Transport{}
	if standard, ok := http.DefaultTransport.(*http.Transport); ok {
		t = standard.Clone()
	}
	if config != nil {
		t.TLSClientConfig = config.Clone()
	}
	t.ForceAttemptHTTP2 = true
	return t
}

// maxRedirects is how many redirects are followed.
const maxRedirects = 5

// redirectError is a redirect that is not followed.
type redirectError struct{ to string }

// Error names where the server wanted to send us.
func (e *redirectError) Error() string {
	return "the server redirects to " + e.to + ", where the token must not go: make that the base URL if it is right"
}

// sameHost follows redirects on the same host only: whoever answers must not be
// able to hand the token on.
func sameHost(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	if r.URL.Scheme != first.Scheme || !strings.EqualFold(r.URL.Host, first.Host) || len(via) > maxRedirects {
		return &redirectError{r.URL.Scheme + "://" + r.URL.Host}
	}
	return nil
}

package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/query"
)

// waitPause is how often the API is asked how far it is.
const waitPause = 200 * time.Millisecond

// question prepares to ask the API how far its answers are.
func (s ImportSettings) question() (*watermarkQuestion, error) {
	base, token, err := s.api()
	if err != nil {
		return nil, err
	}
	config, err := s.clientTLS()
	if err != nil {
		return nil, err
	}
	return &watermarkQuestion{base: base, token: token, tls: config}, nil
}

// check asks once, before anything is published: nobody waits for a long import
// only to learn that the token is wrong. A nil question needs none.
func (q *watermarkQuestion) check(ctx context.Context, account string) error {
	if q == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := q.seq(ctx, account)
	var answer *apiError
	if errors.As(err, &answer) && answer.status >= http.StatusInternalServerError {
		return nil // it may be over when everything is published
	}
	if err != nil {
		return fmt.Errorf("wait: nothing is published: %w (look at --url and the token, or import without --wait)", err)
	}
	return nil
}

// wait waits until the API's answers have everything up to the last event of
// the import.
func (im *importer) wait(ctx context.Context, bound time.Duration) error {
	if im.last == 0 {
		return nil // nothing to wait for
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	ticker := time.NewTicker(waitPause)
	defer ticker.Stop()
	for {
		seq, err := im.ask.seq(ctx, im.account)
		var fatal *apiError
		if errors.As(err, &fatal) && fatal.status < http.StatusInternalServerError {
			return fmt.Errorf("wait: %w", err)
		}
		if err == nil && seq >= im.last {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait: not everything can be queried yet: %s, the import ends at %d: %w",
				im.ask.told(), im.last, errors.Join(ctx.Err(), err))
		case <-ticker.C:
		}
	}
}

// api is where the API is and what opens it, by default from the data
// directory.
func (s ImportSettings) api() (string, ops.Secret, error) {
	base, token := s.URL, s.Token
	if base == "" {
		addresses, err := ReadAddresses(s.DataDir)
		if err != nil {
			return "", "", fmt.Errorf("wait: %w (or give --url)", err)
		}
		base = addresses.HTTPURL()
	}
	if token == "" {
		admin, err := access.ReadAdminToken(filepath.Join(s.DataDir, tokenFile))
		if err != nil {
			return "", "", fmt.Errorf("wait: %w (give --token-file or LOGINAUDIT_TOKEN)", err)
		}
		token = ops.Secret(admin.Secret())
	}
	return base, token, nil
}

// apiError is an answer of the API that is no success.
type apiError struct {
	status int
	body   string
}

// Error is the answer's status and what it says.
func (e *apiError) Error() string {
	return fmt.Sprintf("the API answered %d: %s", e.status, Printable(e.body))
}

type watermarkQuestion struct {
	base  string // the API's address without a path
	token ops.Secret
	tls   *tls.Config

	answered bool   // at least once
	last     uint64 // the sequence of the latest answer
}

// told is how far the API was when it last answered.
func (q *watermarkQuestion) told() string {
	if !q.answered {
		return "the API has not told how far it is"
	}
	return fmt.Sprintf("when the API last answered, it had the stream up to %d", q.last)
}

// seq asks, and keeps the answer: a later question may get none.
func (q *watermarkQuestion) seq(ctx context.Context, account string) (uint64, error) {
	seq, err := q.request(ctx, account)
	if err == nil {
		q.answered, q.last = true, seq
	}
	return seq, err
}

// request is the sequence up to which the API's answers have everything. The
// question is about an account, because that is what a token opens.
func (q *watermarkQuestion) request(ctx context.Context, account string) (uint64, error) {
	where := q.base + "/api/v1/accounts/" + url.PathEscape(account) + "/events?limit=1"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return 0, fmt.Errorf("ask the API: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+q.token.Reveal())
	client := http.Client{Transport: &http.Transport{TLSClientConfig: q.tls, DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("ask the API: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, fmt.Errorf("ask the API: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return 0, &apiError{resp.StatusCode, string(body[:min(len(body), 1000)])}
	}
	var answer struct {
		Watermark *query.Watermark `json:"watermark"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("read the API's answer: %w", err)
	}
	if answer.Watermark == nil {
		return 0, errors.New("read the API's answer: it has no watermark")
	}
	return answer.Watermark.StreamSeq, nil
}

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// errSilent ends an answer that sends nothing any more.
var errSilent = errors.New("the server has sent nothing for too long")

// streamed is an answer that comes bit by bit. Reading from it ends with an error
// when nothing comes for too long.
type streamed struct {
	*http.Response
	ctx     context.Context //nolint:containedctx // it ends the connection of this one answer
	cancel  context.CancelCauseFunc
	silence time.Duration
	timer   *time.Timer // runs while something is waited for
	what    string
}

// open asks for an answer that comes bit by bit, once. It waits for its
// beginning as long as for a whole other answer.
func (c *Client) open(ctx context.Context, q question) (*streamed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.timeout, func() { cancel(errTryTimeout) })
	by := *c.http
	by.Timeout = 0 // it would bound the whole answer
	resp, err := c.send(ctx, q, &by)
	if !timer.Stop() && err == nil { // the end of the time met the answer
		err = errors.Join(&transportError{q.what, errTryTimeout, true}, resp.Body.Close())
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	s := &streamed{Response: resp, ctx: ctx, cancel: cancel, silence: c.silence, what: q.what}
	s.timer = time.AfterFunc(c.silence, func() { cancel(errSilent) })
	s.timer.Stop()
	return s, nil
}

// Read reads what has come. The time in which the caller does something else
// does not count as silence.
func (s *streamed) Read(p []byte) (int, error) {
	s.timer.Reset(s.silence)
	n, err := s.Body.Read(p)
	s.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		if s.ctx.Err() != nil {
			err = context.Cause(s.ctx)
		}
		err = fmt.Errorf("read %s: %w", s.what, err)
	}
	return n, err
}

// close ends the connection.
func (s *streamed) close() {
	s.timer.Stop()
	s.cancel(errClosed)
	_ = s.Body.Close() // what was read is judged by itself
}

// errClosed is what reading a closed answer gives.
var errClosed = errors.New("it was closed")

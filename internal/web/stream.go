package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// Tail hands events on as they arrive.
type Tail interface {
	// Follow hands messages to deliver, which may take its time and does not keep the
	// slice, until ctx ends, deliver fails, or the tail stops, which is no error. Before
	// the first message its error may be query.ErrTailFull or wrap
	// query.ErrUnavailable.
	Follow(ctx context.Context, account string, q query.TailQuestion, deliver func([]query.TailMessage) error) error
}

const (
	// streamRetry is how long a browser waits until it comes back, in milliseconds.
	streamRetry = 2000
	// streamStall is how long a reader may take no byte; then its connection is cut.
	streamStall = 30 * time.Second
)

var (
	errNoTail   = unavailable.because("this service has no tail")
	errTailFull = unavailable.because("as many readers follow events here as there may be; try again later, or at another address")
	errRightEnd = errors.New("the right to follow has ended")
)

// stream answers with events as they arrive, as server-sent events (HTML, section
// 9.2). It ends when the service stops, or when the viewer may not see it any more:
// the reader comes back, and is then told so.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	ask, err := query.ParseStream(q.values, r.Header.Get(query.LastEventID), q.asked)
	if err != nil {
		return err
	}
	if s.tail == nil {
		return errNoTail
	}
	t := &streaming{server: s, w: w, r: r, account: q.account(), connection: http.NewResponseController(w)}
	if r.Method == http.MethodHead {
		t.headers()
		w.WriteHeader(http.StatusOK)
		return nil
	}
	err = s.tail.Follow(r.Context(), q.account(), ask, t.deliver)
	switch {
	case t.begun: // whatever ended it, the reader comes back
		return nil
	case errors.Is(err, query.ErrTailFull):
		return errTailFull
	case r.Context().Err() == nil && (errors.Is(err, query.ErrTooHeavy) || errors.Is(err, context.DeadlineExceeded)):
		// There is nothing to narrow: the store is too slow to be of use.
		return fmt.Errorf("follow events: %w: %w", unavailable.because(unavailable.detail), err)
	}
	return fmt.Errorf("follow events: %w", err)
}

// streaming is an answer while it is sent.
type streaming struct {
	server     *Server
	w          http.ResponseWriter
	r          *http.Request
	account    string
	connection *http.ResponseController
	begun      bool
}

func (t *streaming) headers() {
	h := t.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep messages back
}

// deliver sends messages.
func (t *streaming) deliver(messages []query.TailMessage) error {
	if !t.begun {
		t.begun = true
		t.headers()
		t.w.WriteHeader(http.StatusOK)
		if err := t.write([]byte("retry: " + strconv.Itoa(streamRetry) + "\n\n")); err != nil {
			return err
		}
	}
	for _, m := range messages {
		frame, err := t.frame(m)
		if err != nil {
			return err
		}
		if err := t.write(frame); err != nil {
			return err
		}
	}
	t.bound(streamStall)
	if err := t.connection.Flush(); err != nil {
		return fmt.Errorf("flush messages: %w", err)
	}
	t.bound(0) // while nothing is sent, nothing is late
	return nil
}

// bound cuts the connection after so long in which a write does not end; 0: never.
func (t *streaming) bound(d time.Duration) {
	deadline := time.Time{}
	if d > 0 {
		deadline = time.Now().Add(d)
	}
	_ = t.connection.SetWriteDeadline(deadline) // fails only where there is no connection
}

func (t *streaming) write(b []byte) error {
	t.bound(streamStall)
	if _, err := t.w.Write(b); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

// frame is a message as it is sent.
func (t *streaming) frame(m query.TailMessage) ([]byte, error) {
	switch {
	case m.Event != nil:
		return m.Event.Form(func(e query.Event) ([]byte, error) { return serverSentEvent(e.StreamSeq, "event", e) })
	case m.Gap != nil:
		return serverSentEvent(m.ID, "gap", m.Gap)
	}
	// These come at a steady pace, whatever else does.
	if err := t.mayStill(); err != nil {
		return nil, err
	}
	if m.Mark != nil {
		return serverSentEvent(m.ID, "watermark", m.Mark)
	}
	return []byte(":\n\n"), nil
}

// mayStill asks again what was asked before the first message: a page session ends, a
// token is withdrawn.
func (t *streaming) mayStill() error {
	viewer, err := t.server.authenticate(t.r)
	if err != nil {
		return err
	}
	if !viewer.Can(access.SecurityRead, t.account) {
		return errRightEnd
	}
	return nil
}

// serverSentEvent writes v as one message. JSON has no line breaks of its own.
func serverSentEvent(id uint64, kind string, v any) ([]byte, error) {
	body, err := encodeJSON(v)
	if err != nil {
		return nil, err
	}
	var frame bytes.Buffer
	fmt.Fprintf(&frame, "id: %d\nevent: %s\ndata: ", id, kind)
	frame.Write(body) // with the end of its line
	frame.WriteByte('\n')
	return frame.Bytes(), nil
}

package stream_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/internal/stream"
)

// watched dials connections that tell of every commit of a batch before they
// send it.
type watched struct {
	// onCommit is told the number of the commit, from 1, and whether the
	// connection is to break instead of bringing the next answer.
	onCommit func(n int64) (lose bool)
	commits  atomic.Int64
}

func (w *watched) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return &watchedConn{Conn: c, watched: w}, nil
}

type watchedConn struct {
	net.Conn
	watched *watched
	lose    atomic.Bool
}

func (c *watchedConn) Write(p []byte) (int, error) {
	for range bytes.Count(p, []byte("\r\nNats-Batch-Commit: 1")) {
		if c.watched.onCommit(c.watched.commits.Add(1)) {
			c.lose.Store(true)
		}
	}
	return c.Conn.Write(p)
}

func (c *watchedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.lose.Load() {
		_ = c.Close()
		return 0, io.EOF
	}
	return n, err
}

func TestBatchOfWhichTheAnswerIsLostIsParkedOnce(t *testing.T) {
	dialer := &watched{onCommit: func(n int64) bool { return n == 1 }}
	w := newWorkshop(t, stream.DefaultSettings(), nats.SetCustomDialer(dialer))
	all := invalids(1, 50, 50)
	errs := w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	w.wantStored(t, all, errs)
	if n := w.asIngest.Conn().Stats().Reconnects; n != 1 {
		t.Errorf("the connection broke %d times, want once", n)
	}
}

func TestContextThatEndsBetweenBatchesLosesNoneOfTheFirst(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dialer := &watched{onCommit: func(n int64) bool {
		if n == 2 {
			cancel()
		}
		return false
	}}
	w := newWorkshop(t, stream.DefaultSettings(), nats.SetCustomDialer(dialer))
	all := invalids(1, 5000, 50)
	errs := w.parker.ParkAll(ctx, all)
	wantParked(t, errs[:1000])
	for i, err := range errs[2000:] {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error of message %d is %v, want Canceled", 2000+i, err)
		}
	}
	// Whether the second is in is not known; the rest is not.
	stored := map[uint64]bool{}
	for _, m := range listed(t, w.asOperator, stream.ParkedFilter{}) {
		stored[m.StreamSeq] = true
		if m.StreamSeq > 2000 {
			t.Fatalf("message %d is parked after the end", m.StreamSeq)
		}
	}
	for i, err := range errs {
		if err == nil && !stored[uint64(i+1)] {
			t.Fatalf("message %d is told to be parked and is not", i)
		}
	}
	errs = w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	w.wantStored(t, all, errs)
}

package publish_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// hangingProxy passes a connection on until the client sends what hangs says; that
// and more it does not read from the client, as a server that is frozen.
func hangingProxy(t *testing.T, target string, hangs func(sent []byte) bool) (address string, stop func()) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	accepted := make(chan net.Conn, 1)
	running.Go(func() {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		_ = c.(*net.TCPConn).SetReadBuffer(4096)
		accepted <- c
		running.Go(func() { _, _ = io.Copy(c, client) })
		buffer := make([]byte, 4096)
		for {
			n, err := c.Read(buffer)
			if err != nil || hangs(buffer[:n]) {
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	stop = func() {
		_ = client.Close()
		_ = listener.Close()
		select {
		case c := <-accepted:
			_ = c.Close()
		default:
		}
		running.Wait()
	}
	return listener.Addr().String(), stop
}

// smallBuffer dials with a send buffer that is soon full.
type smallBuffer struct{}

func (smallBuffer) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return c, c.(*net.TCPConn).SetWriteBuffer(4096)
}

// writing tells whether the client library hangs in a write, and holds its lock.
func writing() error {
	var stacks bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
		return err
	}
	if !strings.Contains(stacks.String(), "(*natsWriter).flush") {
		return errors.New("nothing is being written")
	}
	return nil
}

// TestConnectionThatHangsHoldsUpNoCallerLongerThanItsDeadline fills the buffers
// of a connection of which nobody reads. The client library then waits for its
// socket under its lock, an hour in this test. A publisher that called it
// directly would wait as long.
func TestConnectionThatHangsHoldsUpNoCallerLongerThanItsDeadline(t *testing.T) {
	s := server(t, nil)
	stream := events(t, connect(t, s), nil)
	var hang atomic.Bool
	address, stop := hangingProxy(t, s.Addr().String(), func([]byte) bool { return hang.Load() })
	nc, err := nats.Connect("nats://"+address, nats.NoReconnect(), nats.FlusherTimeout(time.Hour), nats.SetCustomDialer(smallBuffer{}))
	if err != nil {
		t.Fatal(err)
	}
	p := publisher(t, nc, publish.Options{Timeout: 200 * time.Millisecond})
	options := quick(t.TempDir())
	options.DirectTimeout = time.Second
	b := outbox(t, nc, options)
	if _, err := b.Publish(t.Context(), login("e-1")); err != nil {
		t.Fatal(err)
	}
	hang.Store(true)
	big := make([]byte, event.MaxBody)
	testsystem.Until(t, "the connection hangs in a write", func() error {
		m := message(t, login("e-2"))
		m.Body = big
		_, err := p.PublishMessage(t.Context(), m)
		if !errors.Is(err, publish.ErrTimeout) {
			t.Errorf("error is %v, want %v", err, publish.ErrTimeout)
		}
		return writing()
	})
	_, err = p.Publish(t.Context(), login("e-3"))
	wantError(t, err, publish.ErrTimeout, false) // it did not come so far as to be sent
	receipt, err := b.Publish(t.Context(), login("e-4"))
	if err != nil || !receipt.InOutbox {
		t.Errorf("receipt %+v, error %v: want it in the outbox", receipt, err)
	}
	if n := messages(t, stream); n != 1 {
		t.Errorf("the stream holds %d events, want 1", n)
	}
	stop() // and the write ends
	nc.Close()
}

// TestConnectionThatHangsWithinAnAtomicBatchHoldsUpNoCallerLongerThanItsDeadline:
// the first message is answered, and those after it fill the buffers of a
// connection of which nobody reads any more. Nothing of the batch is stored.
func TestConnectionThatHangsWithinAnAtomicBatchHoldsUpNoCallerLongerThanItsDeadline(t *testing.T) {
	s := server(t, nil)
	stream := events(t, connect(t, s), nil)
	var sent []byte
	address, stop := hangingProxy(t, s.Addr().String(), func(more []byte) bool {
		sent = append(sent, more...)
		return bytes.Contains(sent, []byte("Nats-Batch-Sequence: 2\r\n"))
	})
	nc, err := nats.Connect("nats://"+address, nats.NoReconnect(), nats.FlusherTimeout(time.Hour), nats.SetCustomDialer(smallBuffer{}))
	if err != nil {
		t.Fatal(err)
	}
	p := publisher(t, nc, publish.Options{BatchTimeout: 500 * time.Millisecond})
	batch := make([]publish.Message, 100)
	for i := range batch {
		batch[i] = message(t, login(fmt.Sprint("e-", i)))
		batch[i].Body = append(batch[i].Body, bytes.Repeat([]byte(" "), 50_000)...) // which is no content
	}
	results, err := p.PublishMessages(t.Context(), batch)
	if err := writing(); err != nil {
		t.Errorf("%v: the fault did not happen", err)
	}
	wantError(t, results[0].Err, publish.ErrTimeout, false)
	for i, r := range results {
		if r.Err == nil || r.Err.Error() != results[0].Err.Error() {
			t.Errorf("error %v of message %d, want the same for all: %v", r.Err, i, err)
		}
	}
	if n := messages(t, stream); n != 0 {
		t.Errorf("the stream holds %d events, want none", n)
	}
	stop() // and the write ends
	nc.Close()
}

func TestCallersWhoFindEveryPlaceTakenByHangingRequestsAreToldWithoutSending(t *testing.T) {
	nc := connect(t, server(t, nil))
	p := publisher(t, nc, publish.Options{Timeout: 300 * time.Millisecond})
	free := p.TakeAllPlaces()
	_, err := p.Publish(t.Context(), login("e-1"))
	wantError(t, err, publish.ErrTimeout, false)
	free()
	_, err = p.Publish(t.Context(), login("e-1"))
	wantError(t, err, publish.ErrUnavailable, false)
}

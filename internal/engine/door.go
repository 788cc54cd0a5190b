package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"
)

// The server in the library has one weakness that a server of its own has not:
// an error before the end of the handshake (a wrong password, a database that
// does not exist, bytes that are not the protocol) ends the whole process. The
// door stands before it. It reads the first packet of a connection, refuses
// what the server would refuse, with the server's own error codes, and connects
// what it lets in to the server without looking at it any further.

const (
	// helloWait bounds the time in which a client must have said who it is.
	helloWait = 10 * time.Second
	// maxClients bounds the connections at once; more wait in the system's queue.
	maxClients = 200
)

// Error codes of ClickHouse that the door gives.
const (
	codeUnknownDatabase = 81
	codeNetworkError    = 210
	codeAuthFailed      = 516
)

// doorkeeper decides who may come in, and says where the server is.
type doorkeeper interface {
	// admit returns the address of the server, or why the client is refused.
	admit(ctx context.Context, h hello) (string, *refusal)
}

// refusal is an error that the client is told.
type refusal struct {
	code    int32
	message string
}

// door is where clients come in. Its address outlives the server behind it.
type door struct {
	listener *net.TCPListener
	keeper   doorkeeper
	slots    chan struct{}

	ctx    context.Context //nolint:containedctx // the life of the door, not of a call
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// listen opens the address for clients.
func listen(ctx context.Context, addr string) (*net.TCPListener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: another process listens on %s; stop it or choose another address",
			ErrPortTaken, addr)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen on %s: not TCP", addr), listener.Close())
	}
	return tcp, nil
}

func newDoor(listener *net.TCPListener, keeper doorkeeper) *door {
	d := &door{listener: listener, keeper: keeper, slots: make(chan struct{}, maxClients)}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

func (d *door) addr() string { return d.listener.Addr().String() }

// open lets clients in until close.
func (d *door) open() {
	d.wg.Go(func() {
		for {
			select {
			case d.slots <- struct{}{}:
			case <-d.ctx.Done():
				return
			}
			client, err := d.listener.AcceptTCP()
			if err != nil {
				<-d.slots
				if d.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
					return
				}
				continue // one client was gone before it was let in
			}
			d.wg.Go(func() {
				defer func() { <-d.slots }()
				d.serve(client)
			})
		}
	})
}

// close ends all connections and waits for that.
func (d *door) close() {
	d.cancel()
	_ = d.listener.Close() // twice is harmless
	d.wg.Wait()
}

func (d *door) serve(client *net.TCPConn) {
	defer client.Close()
	ended := context.AfterFunc(d.ctx, func() { _ = client.Close() })
	defer ended()

	if err := client.SetDeadline(time.Now().Add(helloWait)); err != nil {
		return
	}
	said, err := readHello(client)
	if err != nil {
		return // not a client of ClickHouse, or gone
	}
	ctx, cancel := context.WithTimeout(d.ctx, helloWait)
	defer cancel()
	addr, refused := d.keeper.admit(ctx, said)
	if refused != nil {
		_, _ = client.Write(refused.packet())
		return
	}
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		_, _ = client.Write((&refusal{codeNetworkError, "the embedded engine is being started again"}).packet())
		return
	}
	defer server.Close()
	inside := context.AfterFunc(d.ctx, func() { _ = server.Close() })
	defer inside()
	if err := client.SetDeadline(time.Time{}); err != nil {
		return
	}
	if _, err := server.Write(said.raw); err != nil {
		return
	}
	if tcp, ok := server.(*net.TCPConn); ok {
		join(client, tcp)
	}
}

// join carries bytes both ways until both sides have said all. When one side
// breaks, the other is closed too.
func join(client, server *net.TCPConn) {
	var wg sync.WaitGroup
	carry := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
		_ = to.CloseWrite() // the other direction may still have bytes
	}
	wg.Go(func() { carry(server, client) })
	wg.Go(func() { carry(client, server) })
	wg.Wait()
}

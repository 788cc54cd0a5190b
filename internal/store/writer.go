package store

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/clickhouse-go/v2"
)

// writer sends blocks over connections of its own: the columns of a [Block] go
// out as they lie in memory, which the driver of the questions cannot do. A
// connection on which anything failed is not used again.
type writer struct {
	options ch.Options

	mu     sync.Mutex
	idle   []*ch.Client
	closed bool
}

// mostIdle is how many connections wait for the next insert.
const mostIdle = 4

var errWriterClosed = errors.New("the connections are closed")

func (w *writer) do(ctx context.Context, q ch.Query) error {
	client, err := w.take(ctx)
	if err != nil {
		return err
	}
	if err := client.Do(ctx, q); err != nil {
		_ = client.Close() // the error before it is the one that tells
		return asException(err)
	}
	return w.give(client)
}

// asException gives a server's refusal the type that it has everywhere else.
func asException(err error) error {
	if e, ok := ch.AsException(err); ok {
		return &clickhouse.Exception{Code: int32(e.Code), Name: e.Name, Message: strings.TrimPrefix(e.Message, e.Name+": ")}
	}
	return err
}

func (w *writer) take(ctx context.Context) (*ch.Client, error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil, errWriterClosed
	}
	if n := len(w.idle); n > 0 {
		client := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.mu.Unlock()
		return client, nil
	}
	w.mu.Unlock()
	client, err := ch.Dial(ctx, w.options)
	return client, asException(err)
}

func (w *writer) give(client *ch.Client) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.idle) >= mostIdle {
		return client.Close()
	}
	w.idle = append(w.idle, client)
	return nil
}

func (w *writer) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, client := range w.idle {
		errs = append(errs, client.Close())
	}
	w.idle, w.closed = nil, true
	return errors.Join(errs...)
}

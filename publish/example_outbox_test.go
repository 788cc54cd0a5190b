package publish_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

// An auth service whose log-ins are recorded also while the pipeline is down.
func ExamplePublisher_OpenOutbox() {
	url, stop := exampleServer() // in a service: the address of the NATS servers
	defer stop()
	state, err := os.MkdirTemp("", "auth-service-*") // in a service: /var/lib/auth-service
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(state)

	// Once, when the service starts, also while NATS is down.
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	publisher, err := publish.New(nc, publish.Options{Timeout: time.Second}) // a log-in waits no longer
	if err != nil {
		panic(err)
	}
	outbox, err := publisher.OpenOutbox(publish.OutboxOptions{
		Dir:   filepath.Join(state, "outbox"),
		Alarm: func(err error) { fmt.Println("tell an operator:", err) },
	})
	if err != nil {
		panic(err)
	}

	// At each log-in. It goes on whatever this returns.
	receipt, err := outbox.Publish(context.Background(), event.Event{
		ID: "0192d0c4-7c1e-7a55-b0a1-3f6f0b3c9d10", Account: "acme", Username: "ada@example.com",
		OccurredAt: time.Now(), Entry: 1, Status: 1, SessionID: "s-81f3",
	})
	var broken *event.Error
	switch {
	case errors.As(err, &broken):
		fmt.Println("a bug of ours, field", broken.Field)
	case errors.Is(err, publish.ErrOutboxFull), errors.Is(err, publish.ErrOutboxDisk):
		fmt.Println("the event is not recorded:", err)
	case err != nil:
		fmt.Println(err)
	case receipt.InOutbox:
		fmt.Println("stored on this machine, delivered later")
	default:
		fmt.Println("in the stream at", receipt.StreamSeq)
	}

	// For the service's own metrics.
	fmt.Println("waiting:", outbox.Stats().Records)

	// When the service stops. What is not delivered by then, the next start delivers.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("closed:", outbox.Close(ctx))
	// Output:
	// in the stream at 1
	// waiting: 0
	// closed: <nil>
}

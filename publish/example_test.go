package publish_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

// An auth service publishes the log-in that it has just let through.
func Example() {
	url, stop := exampleServer() // in a service: the address of the NATS servers
	defer stop()

	// Once, when the service starts. With the key that an operator gave it:
	//	key, err := nats.NkeyOptionFromSeed("publisher.nk")
	//	nc, err := nats.Connect(url, key, …)
	nc, err := nats.Connect(url, nats.Name("auth-service"), nats.MaxReconnects(-1))
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	publisher, err := publish.New(nc, publish.Options{Timeout: 2 * time.Second})
	if err != nil {
		panic(err)
	}

	// At each log-in.
	err = tell(context.Background(), publisher, event.Event{
		ID:         "0192d0c4-7c1e-7a55-b0a1-3f6f0b3c9d10", // a UUIDv7 of your own
		Account:    "acme",
		Username:   "ada@example.com",
		OccurredAt: time.Now(),
		Entry:      1, // Membership login
		Status:     1, // Active
		SessionID:  "s-81f3",
		IP:         netip.MustParseAddr("203.0.113.7"),
		UserAgent:  "Mozilla/5.0",
		Service:    "auth-web",
	})
	fmt.Println("error:", err)
	// Output:
	// in the stream at 1
	// error: <nil>
}

// tell publishes an event. The log-in goes on whatever it returns.
func tell(ctx context.Context, publisher *publish.Publisher, e event.Event) error {
	receipt, err := publisher.Publish(ctx, e)
	var broken *event.Error
	switch {
	case errors.As(err, &broken):
		return fmt.Errorf("a bug of ours, field %s: %w", broken.Field, err)
	case err != nil:
		// Keep the event and publish it again later: repeats collapse, so this is
		// safe even where the error leaves open whether the event is stored.
		return fmt.Errorf("publish again later: %w", err)
	}
	fmt.Println("in the stream at", receipt.StreamSeq)
	return nil
}

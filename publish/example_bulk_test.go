package publish_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

// A backfill publishes many events in batches and is told what became of each.
func ExamplePublisher_Bulk() {
	url, stop := exampleServer() // in a service: the address of the NATS servers
	defer stop()
	nc, err := nats.Connect(url)
	if err != nil {
		panic(err)
	}
	defer nc.Close()

	published, err := backfill(context.Background(), nc, 2500)
	fmt.Println(published, err)
	// Output: 2500 <nil>
}

func backfill(ctx context.Context, nc *nats.Conn, n int) (published int, err error) {
	publisher, err := publish.New(nc, publish.Options{})
	if err != nil {
		return 0, err
	}
	bulk := publisher.Bulk(ctx, func(r publish.Result) {
		if r.Err == nil {
			published++
		}
	})
	for i := range n {
		m, err := publish.NewMessage(event.Event{
			ID: fmt.Sprintf("old-%d", i), Account: "acme", Username: "ada@example.com",
			OccurredAt: time.Date(2020, 1, 1, 0, 0, i, 0, time.UTC), Entry: 1, Status: 1,
		})
		if err != nil {
			fmt.Println("not published:", err)
			continue
		}
		m.Ref = uint64(i) // a Result gives it back
		if err := bulk.Add(m); err != nil {
			break // Close tells the reason again
		}
	}
	err = bulk.Close() // waits for all answers
	return published, err
}

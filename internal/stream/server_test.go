package stream_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect starts a real NATS server with JetStream and connects to it.
func connect(t testing.TB, change func(*natsserver.Options)) jetstream.JetStream {
	t.Helper()
	options := &natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true,
	}
	if change != nil {
		change(options)
	}
	s, err := natsserver.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server takes no connections")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func ensure(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	if err := stream.Ensure(t.Context(), js, stream.DefaultSettings()); err != nil {
		t.Fatal(err)
	}
}

// deliver publishes a message and fetches it as the worker would.
func deliver(t testing.TB, js jetstream.JetStream, msg *nats.Msg) jetstream.Msg {
	t.Helper()
	if _, err := js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	return next(t, js)
}

// next fetches the next message as the worker would.
func next(t testing.TB, js jetstream.JetStream) jetstream.Msg {
	t.Helper()
	_, consumer, err := stream.Open(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	got, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func broken() error {
	return &event.Error{Reason: event.ReasonMissing, Field: "id", Detail: "is required"}
}

// publishRaw publishes what the Go client refuses to publish: a header of any
// name, as a client of another make may.
func publishRaw(t testing.TB, js jetstream.JetStream, subject string, header nats.Header, body string) {
	t.Helper()
	var block strings.Builder
	block.WriteString("NATS/1.0\r\n")
	for name, values := range header {
		for _, v := range values {
			fmt.Fprintf(&block, "%s: %s\r\n", name, v)
		}
	}
	block.WriteString("\r\n")
	conn, err := net.Dial("tcp", js.Conn().ConnectedAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT {\"headers\":true,\"verbose\":false}\r\nHPUB %s %d %d\r\n%s%s\r\nPING\r\n",
		subject, block.Len(), block.Len()+len(body), block.String(), body)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "PONG") {
			return
		}
	}
	t.Fatal("the server did not take the message")
}

package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/testsystem"
	"github.com/loginaudit/loginaudit/publish"
)

// The disk of NATS is full. JetStream then gives publishers no answer, and does
// not go on by itself when there is room again: the operator frees the disk and
// starts it again. Nothing that was confirmed is lost, and what publishers were
// not told is published again.
func TestNATSWithAFullDiskLosesNothingThatWasConfirmed(t *testing.T) {
	s := faults.Start(t, faults.Options{NATSDisk: 48 << 20})
	w, p := s.NewWorker(), s.NewPublisher()
	w.Start()
	load := p.Load()
	s.Stored(100)
	s.NATS.Disk.Fill(0)
	var unanswered publish.Message
	s.Until("a publisher gets no answer", func() error {
		unanswered = p.Messages(1)[0]
		err := p.SendOne(unanswered)
		var failure *publish.Error
		if errors.As(err, &failure); !errors.Is(err, publish.ErrTimeout) || !failure.Unknown {
			return errors.Join(errors.New("want a timeout after which the event may be in the stream"), err)
		}
		return nil
	})
	load.Stop()
	s.Stored(s.Confirmed()) // the worker goes on
	if err := w.NotReady(); err != nil && says(err, "[-] parking: ") != nil {
		t.Errorf("the worker is not ready: %v", err)
	}
	if err := w.NotLive(); err != nil {
		t.Errorf("the worker asks for another start: %v", err)
	}
	if !strings.Contains(s.NATS.Process().Err(), "no space left on device") {
		t.Error("NATS does not tell in its log")
	}
	s.NATS.Disk.Free()
	s.NATS.Stop()
	s.NATS.Start()
	w.Ready()
	s.Until("the event is published", func() error { return p.SendOne(unanswered) })
	p.Publish(100)
	s.Check()
}

// The disk of NATS is full while there is a backlog with invalid messages in every
// batch, so that parking gets no answer. Valid events do not wait for it.
func TestParkingThatGetsNoAnswerHoldsUpNobody(t *testing.T) {
	s := faults.Start(t, faults.Options{NATSDisk: 48 << 20})
	p := s.NewPublisher()
	const batch = 30
	for range 3 {
		p.Publish(batch - 1)
		send(t, p, bad(1, 100))
	}
	s.NATS.Disk.Fill(0)
	w := s.NewWorker(fmt.Sprintf("--ingest-batch-messages=%d", batch))
	w.Start()
	s.Stored(s.Confirmed())
	s.NATS.Disk.Free()
	s.NATS.Stop()
	s.NATS.Start()
	s.Check()
}

// In serve, readiness tells what publishers cannot know.
func TestServeIsNotReadyWhenTheDiskOfItsStreamsIsFull(t *testing.T) {
	dir := t.TempDir()
	disk := faults.NewDisk(t, dir+"/nats", 48<<20)
	serve := testsystem.Serve(t, "loginaudit", dir)
	disk.Fill(0)
	nc, err := nats.Connect(serve.NATSURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	publisher, err := publish.New(nc, publish.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = publisher.Publish(t.Context(), someone("acme", "1")); !errors.Is(err, publish.ErrTimeout) {
		t.Errorf("publishing on a full disk gives %v, want %v", err, publish.ErrTimeout)
	}
	const full = "[-] nats: JetStream stream 'LOGINAUDIT > LOGIN_EVENTS' write error: "
	serve.Until(t, "it is not ready", func() error { return says(testsystem.Ready(t.Context(), serve.Addresses.Admin), full) })
	disk.Free()
	serve.Stop(t)
	serve = testsystem.Serve(t, "loginaudit", dir)
	line, err := event.Encode(someone("acme", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if r := serve.Run(t, string(line), "import", "--wait", "-"); r.Status != 0 {
		t.Errorf("importing after the restart ends with %+v, want status 0", r)
	}
}

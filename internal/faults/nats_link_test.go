package faults_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/publish"
)

// Connections to NATS break and stay so for as long as it takes to notice.
func TestBrokenConnectionsToNATSAreToldOrLeft(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	halfOpen := map[faults.Direction]*faults.Worker{}
	for _, d := range []faults.Direction{faults.ToServer, faults.ToClient} {
		other := s.NewLink(s.NATS)
		w := s.NewWorker()
		halfOpen[d] = w
		w.AddFlags(fmt.Sprintf("--nats-url=nats://%s,nats://%s", w.NATS.Addr(), other.Addr()))
		other.Cut() // it takes the first way
		w.Start()
		w.Ready()
		other.Heal()
		w.NATS.Add(d, faults.BlackHole())
	}
	s.NewWorker().Start()
	t.Run("a publisher is told what happened to its event and may always repeat it", func(t *testing.T) { publishersAreTold(t, s) })
	t.Run("a worker leaves a connection that stays half open and takes another way", func(t *testing.T) { workersLeave(t, s, halfOpen) })
	s.Check()
}

// publishersAreTold breaks the connection of an auth service, which publishes one
// event, in every way. It is told by an error that says whether the event may be in
// the stream all the same; it publishes it again once the connection is healed, and
// there is one of it.
func publishersAreTold(t *testing.T, s *faults.System) {
	for _, c := range []struct {
		name  string
		fault func(l *faults.Link)
		want  error // nil: it works all the same
		// arrives: the event is in the stream.
		arrives bool
	}{
		{"cut", (*faults.Link).Cut, publish.ErrUnavailable, false},
		{"half open to the server", func(l *faults.Link) { l.Add(faults.ToServer, faults.BlackHole()) }, publish.ErrTimeout, false},
		{
			"half open to the publisher, so that the acknowledgement is lost",
			func(l *faults.Link) { l.Add(faults.ToClient, faults.BlackHole()) }, publish.ErrTimeout, true,
		},
		{"reset when the request was sent", func(l *faults.Link) { l.Reset(faults.ToClient) }, publish.ErrUnavailable, true},
		{"slow", func(l *faults.Link) {
			l.Add(faults.ToServer, faults.Slices(20, time.Millisecond))
			l.Add(faults.ToClient, faults.Latency(100*time.Millisecond, 20*time.Millisecond))
			l.Add(faults.ToClient, faults.Bandwidth(10))
		}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.NewPublisher()
			p.NATS.ArmReset()
			message := p.Messages(1)[0]
			before := last(t, s)
			c.fault(p.NATS)
			err := p.SendOne(message)
			if !errors.Is(err, c.want) {
				t.Errorf("publishing gives %v, want %v", err, c.want)
			}
			if arrived := last(t, s) > before; arrived != c.arrives {
				t.Errorf("arrived: %t, want %t", arrived, c.arrives)
			}
			var failure *publish.Error
			if errors.As(err, &failure) && c.arrives && !failure.Unknown {
				t.Error("the error says that the event is not in the stream, which has it")
			}
			p.NATS.Heal()
			s.Until("the event is published", func() error { return p.SendOne(message) })
		})
	}
}

// workersLeave holds that workers whose connection is half open, as a firewall that
// forgot it leaves it, notice and work on over another one.
func workersLeave(t *testing.T, s *faults.System, halfOpen map[faults.Direction]*faults.Worker) {
	p := s.NewPublisher()
	for d, w := range halfOpen {
		s.Until(fmt.Sprintf("the worker whose connection is half open %s leaves it", d), func() error {
			return tells(w, `"message":"nats connection lost","error":"nats: stale connection"`)
		})
		w.Ready()
		before := w.Metric("loginaudit_ingest_events_total")
		s.Until("it works", func() error {
			p.Publish(10)
			return faults.AtLeast(w.Metric("loginaudit_ingest_events_total"), before+1)
		})
	}
}

// last is the stream's last sequence.
func last(t *testing.T, s *faults.System) uint64 {
	t.Helper()
	info, err := s.StreamInfo()
	if err != nil {
		t.Fatal(err)
	}
	return info.State.LastSeq
}

// The connection of a worker breaks under load. It says so, and goes on by itself
// once the connection is healed.
func TestWorkerSaysThatItsConnectionIsBrokenAndGoesOnAfterwards(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	w := s.NewWorker()
	w.NATS.ArmReset()
	w.Start()
	load := s.NewPublisher().Load()
	const lost = "[-] nats: connection is RECONNECTING"
	for _, c := range []struct {
		name  string
		fault func(l *faults.Link)
		says  string // empty: it works all the same
	}{
		{"cut", (*faults.Link).Cut, lost},
		{"reset when the request was sent", func(l *faults.Link) { l.Reset(faults.ToClient) }, lost},
		{"cut in the middle of a message", func(l *faults.Link) { l.Add(faults.ToClient, faults.CutAfter(1000)) }, lost},
		{"slow", func(l *faults.Link) {
			l.Add(faults.ToServer, faults.Latency(50*time.Millisecond, 20*time.Millisecond))
			l.Add(faults.ToClient, faults.Slices(100, 100*time.Microsecond))
			l.Add(faults.ToClient, faults.Bandwidth(500))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.Stored(stored(t, s) + 100)
			c.fault(w.NATS)
			if c.says == "" {
				s.Stored(stored(t, s) + 200)
			} else {
				s.Until("the worker is not ready", func() error { return says(w.NotReady(), c.says) })
				load.More(100)
			}
			if err := w.NotLive(); err != nil {
				t.Errorf("the worker asks for another start: %v", err)
			}
			w.NATS.Heal()
			w.Ready()
			s.Stored(stored(t, s) + 100)
		})
	}
	load.Stop()
	s.Check()
}

// stored is how many events are in ClickHouse.
func stored(t *testing.T, s *faults.System) int {
	t.Helper()
	n, err := s.Rows()
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// The acknowledgements of a batch that is stored are lost: it is delivered and
// inserted again, and no answer changes.
func TestEventsThatCannotBeAcknowledgedStayInHandAndAreAcknowledgedLater(t *testing.T) {
	s := faults.Start(t, faults.Options{})
	w, publisher := s.NewWorker(), s.NewPublisher()
	w.Start()
	w.Ready()
	s.ClickHouse.Freeze() // so that the insert takes as long as we want
	publisher.Publish(100)
	publisher.PublishInvalid(5)
	s.Until("the worker has events in hand", func() error { return faults.AtLeast(s.InHand(), 1) })
	w.NATS.Add(faults.ToServer, faults.BlackHole())
	s.ClickHouse.Thaw()
	s.Until("the worker cannot acknowledge", func() error {
		return faults.AtLeast(w.Metric("loginaudit_ingest_ack_failures_total"), 1)
	})
	rows := stored(t, s)
	if err := errors.Join(faults.AtLeast(rows, 1), faults.AtLeast(s.InHand(), rows)); err != nil {
		t.Errorf("events that are stored, and of these not acknowledged: %v", err)
	}
	w.NATS.Heal()
	s.Check()
}

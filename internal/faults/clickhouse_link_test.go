package faults_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/faults"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// TestWorkerCutOffFromClickHouseHoldsABoundedPartOfAGrowingBacklogAndComesBack
// refuses the worker's connections while the backlog grows to many batches.
func TestWorkerCutOffFromClickHouseHoldsABoundedPartOfAGrowingBacklogAndComesBack(t *testing.T) {
	t.Parallel() // it mostly waits
	const inBatch, batches = 50, 30
	s := faults.Start(t, faults.Options{})
	w, publisher := running(s, "--ingest-batch-messages=50"), s.NewPublisher()
	publisher.Publish(inBatch)
	s.Drain()
	before, rows := count(t, s.Acknowledged), count(t, s.Rows)
	w.ClickHouse.Cut()
	publisher.Publish(inBatch * batches)
	s.Until("inserts fail again and again", func() error { return faults.AtLeast(w.Metric(retries), 3) })
	unready(t, s, w, "[-] clickhouse: ping clickhouse: unavailable", "[-] ingest: insert batch")
	if n := s.InHand(); n == 0 || n > batches*inBatch/3 {
		t.Errorf("the worker has %d messages in hand, want a few batches of %d at most", n, inBatch)
	}
	if n := w.Metric("go_goroutines"); n > 100 {
		t.Errorf("it has %v goroutines, want at most 100", n)
	}
	if now := count(t, s.Acknowledged); now != before {
		t.Errorf("%d messages are acknowledged, want %d: nothing is stored", now, before)
	}
	if now := count(t, s.Rows); now != rows {
		t.Errorf("%d events are stored, want %d", now, rows)
	}
	w.ClickHouse.Heal()
	w.Ready()
	running(s) // helps: its batches are not as small
	s.Check()
}

// TestSlowConnectionToClickHouseDelaysAndNothingElse: no insert fails, and none
// of its messages goes to the other worker, although an insert takes longer than
// the time after which messages are delivered again.
func TestSlowConnectionToClickHouseDelaysAndNothingElse(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{AckWait: time.Second})
	slow, publisher := running(s), s.NewPublisher()
	publisher.Publish(50)
	s.Drain()
	slow.ClickHouse.Add(faults.ToServer, faults.Bandwidth(60)) // KB a second
	slow.ClickHouse.Add(faults.ToServer, faults.Slices(1000, time.Millisecond))
	slow.ClickHouse.Add(faults.ToClient, faults.Latency(200*time.Millisecond, 50*time.Millisecond))
	publisher.Publish(200)
	s.Until("the slow one has them", func() error { return faults.AtLeast(s.InHand(), 100) })
	other := running(s)
	s.Drain() // while it is slow
	for _, w := range []*faults.Worker{slow, other} {
		for _, name := range []string{"loginaudit_ingest_insert_errors_total", "loginaudit_ingest_redeliveries_total"} {
			if n := w.Metric(name); n != 0 {
				t.Errorf("%s is %v, want 0", name, n)
			}
		}
	}
	slow.ClickHouse.Heal()
	s.Check()
}

// TestStalledInsertKeepsItsMessagesFromOthersUntilItGoesOn halts inserts for
// longer than the time after which messages are delivered again. The worker says
// that it is still at it, so that nobody else begins the same.
func TestStalledInsertKeepsItsMessagesFromOthersUntilItGoesOn(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{AckWait: time.Second})
	// A worker holds two batches, one that is inserted and one that is filled.
	const small = "--ingest-batch-messages=20"
	workers, publisher := []*faults.Worker{running(s, small), running(s, small)}, s.NewPublisher()
	there, back := workers[0].ClickHouse, workers[1].ClickHouse
	for _, c := range []struct {
		name        string
		cause, heal func()
	}{
		{"because ClickHouse hangs", s.ClickHouse.Freeze, s.ClickHouse.Thaw},
		{"because of half-open connections, one in each direction", func() {
			there.Add(faults.ToServer, faults.BlackHole())
			back.Add(faults.ToClient, faults.BlackHole())
		}, func() {
			there.Heal()
			back.Heal()
		}},
	} {
		s.Step(t, c.name, func(t *testing.T) {
			publisher.Publish(50)
			s.Drain()
			before := count(t, s.Acknowledged)
			heal := sync.OnceFunc(c.heal)
			defer heal()
			c.cause()
			publisher.Publish(70)
			s.Until("both workers have some in hand", func() error { return faults.AtLeast(s.InHand(), 41) })
			outlastAckWait(t, s)
			for _, w := range workers {
				unready(t, s, w, "[-] clickhouse: ping clickhouse: unavailable")
				if n := w.Metric("loginaudit_ingest_redeliveries_total"); n != 0 {
					t.Errorf("%v messages were delivered again, want none", n)
				}
			}
			if now := count(t, s.Acknowledged); now != before {
				t.Errorf("%d messages are acknowledged, want %d: nobody knows what is stored", now, before)
			}
			heal()
			for _, w := range workers {
				w.Ready()
			}
			s.Drain()
		})
	}
	s.Check()
}

// outlastAckWait waits until messages would have been delivered again twice,
// going by a consumer for which nobody says that it is still at it.
func outlastAckWait(t *testing.T, s *faults.System) {
	t.Helper()
	info, err := s.ConsumerInfo()
	if err != nil {
		t.Fatal(err)
	}
	idle, err := s.JetStream().CreateConsumer(t.Context(), stream.Events, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: info.Config.AckWait, MaxAckPending: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	var delivered uint64
	for delivered < 3 {
		msg, err := idle.Next(jetstream.FetchMaxWait(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		delivered = meta.NumDelivered
	}
	if err := s.JetStream().DeleteConsumer(t.Context(), stream.Events, idle.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
}

// TestInsertWhoseAnswerIsLostIsRepeatedAndChangesNothing resets the connection
// when the request has arrived and its answer is on the way.
func TestInsertWhoseAnswerIsLostIsRepeatedAndChangesNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	w, publisher := s.NewWorker(), s.NewPublisher()
	w.ClickHouse.ArmReset()
	w.Start()
	w.Ready()
	publisher.Publish(50)
	s.Drain()
	before, rows := count(t, s.Acknowledged), count(t, s.Rows)

	slowView(s)
	publisher.Publish(50)
	grows(s, "the request has arrived", s.Rows, rows)
	w.ClickHouse.Reset(faults.ToClient)
	s.Until("the worker got no answer", func() error { return faults.AtLeast(w.Metric(retries), 1) })
	unready(t, s, w, "[-] ingest: insert batch: insert events: ", "reset by peer")
	if now := count(t, s.Acknowledged); now != before {
		t.Errorf("%d messages are acknowledged, want %d: the worker does not know what is stored", now, before)
	}
	healView(s)
	w.ClickHouse.Heal()
	w.Ready()
	s.Check()
}

// TestInsertEndsWithItsBoundWhateverBecameOfItsConnection: one that never ended
// would hold its messages for ever. What became of it nobody knows, so that it
// is repeated.
func TestInsertEndsWithItsBoundWhateverBecameOfItsConnection(t *testing.T) {
	t.Parallel() // it mostly waits
	s := faults.Start(t, faults.Options{})
	link := s.NewWorker().ClickHouse // nobody else uses it: the worker does not run
	db, err := store.Open(t.Context(), s.StoreConfig(link, engine.RoleWriter))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	small := []event.Stored{oneEvent(t, s)}
	large := make([]event.Stored, 20_000) // more than fits into the buffers on the way
	for i := range large {
		large[i] = small[0]
	}
	hole := func(d faults.Direction) func() { return func() { link.Add(d, faults.BlackHole()) } }
	for _, c := range []struct {
		name        string
		cause, heal func()
		events      []event.Stored
	}{
		{"nothing arrives at ClickHouse", hole(faults.ToServer), link.Heal, small},
		{"no answer arrives", hole(faults.ToClient), link.Heal, small},
		{"ClickHouse hangs", s.ClickHouse.Freeze, s.ClickHouse.Thaw, small},
		{"it does not get rid of its rows", func() { link.Add(faults.ToServer, faults.Bandwidth(20)) }, link.Heal, large},
		{"a new connection goes nowhere", func() {
			link.Cut()
			link.Heal()
			link.Add(faults.ToServer, faults.BlackHole())
		}, link.Heal, small},
	} {
		s.Step(t, c.name, func(t *testing.T) {
			s.Until("an insert works", func() error { return db.Insert(t.Context(), small) })
			defer c.heal()
			c.cause()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := db.Insert(ctx, c.events)
			if class := store.Classify(err); err == nil || class != store.Retry {
				t.Errorf("%v, class %s; want an error of class retry", err, class)
			}
		})
	}
}

func oneEvent(t *testing.T, s *faults.System) event.Stored {
	t.Helper()
	body := s.NewPublisher().Messages(1)[0].Body
	e, hash, err := event.Decode(body)
	if err != nil {
		t.Fatal(err)
	}
	return event.Stored{Event: e, Hash: hash, Raw: body, ReceivedAt: time.Now(), StreamSeq: 1}
}

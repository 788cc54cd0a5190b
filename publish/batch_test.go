package publish_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

// wantSequences checks that every event is stored at the sequence that its
// result tells.
func wantSequences(t *testing.T, stream jetstream.Stream, sent []event.Event, results []publish.Result) {
	t.Helper()
	if len(results) != len(sent) {
		t.Fatalf("%d results for %d events", len(results), len(sent))
	}
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("event %d: %v", i, r.Err)
		}
		stored, err := stream.GetMsg(t.Context(), r.Receipt.StreamSeq)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if string(stored.Data) != string(message(t, sent[i]).Body) {
			t.Fatalf("event %d is told to be at %d, where %s is", i, r.Receipt.StreamSeq, stored.Data)
		}
	}
}

func TestBatchIsPublishedAtomicallyAndEachSequenceIsTold(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	sent := logins(25)
	results, err := publisher(t, nc, publish.Options{BatchMessages: 10}).PublishBatch(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	wantSequences(t, stream, sent, results)
	stored, err := stream.GetMsg(t.Context(), 11)
	if err != nil {
		t.Fatal(err)
	}
	if stored.Header.Get("Nats-Batch-Sequence") != "1" {
		t.Errorf("headers are %v, want those of the second atomic batch's first message", stored.Header)
	}
}

func TestBatchTakesAThousandMessages(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	if _, err := publisher(t, nc, publish.Options{}).PublishBatch(t.Context(), logins(1001)); err != nil {
		t.Fatal(err)
	}
	if n := messages(t, stream); n != 1001 {
		t.Errorf("the stream holds %d messages, want 1001", n)
	}
}

func TestBatchIsCutByBytesToo(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	sent := logins(5)
	results, err := publisher(t, nc, publish.Options{BatchBytes: 1}).PublishBatch(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	wantSequences(t, stream, sent, results)
}

func TestStreamWithoutAtomicBatchesTakesTheMessagesOneByOne(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	p := publisher(t, nc, publish.Options{BatchMessages: 10})
	sent := logins(25)
	results, err := p.PublishBatch(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	wantSequences(t, stream, sent, results)
}

func TestServerThatKnowsNoBatchesGetsTheMessagesOneByOne(t *testing.T) {
	// Before 2.12 a server stores each message of a batch as it comes.
	nc := connect(t, server(t, nil))
	var bodies []string
	seen := map[string]int{}
	if _, err := nc.Subscribe("login.events.>", func(m *nats.Msg) {
		id := m.Header.Get("Nats-Msg-Id")
		_, duplicate := seen[id]
		if !duplicate {
			bodies = append(bodies, string(m.Data))
			seen[id] = len(bodies)
		}
		_ = m.Respond(fmt.Appendf(nil, `{"stream":"LOGIN_EVENTS","seq":%d,"duplicate":%t}`, seen[id], duplicate))
	}); err != nil {
		t.Fatal(err)
	}
	results, err := publisher(t, nc, publish.Options{}).PublishBatch(t.Context(), logins(3))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Receipt.Duplicate || r.Receipt.StreamSeq == 0 {
			t.Errorf("result %d is %+v, want it published and no duplicate", i, r)
		}
	}
}

func TestDuplicatesOfABatchAreToldOneByOneAndTheRestIsPublished(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	p := publisher(t, nc, publish.Options{})
	all := logins(20)
	for _, i := range []int{3, 7} {
		if _, err := p.Publish(t.Context(), all[i]); err != nil {
			t.Fatal(err)
		}
	}
	results, err := p.PublishBatch(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	wantSequences(t, stream, all, results)
	for i, r := range results {
		if r.Receipt.Duplicate != (i == 3 || i == 7) {
			t.Errorf("result %d is %+v", i, r)
		}
	}
	if n := messages(t, stream); n != 20 {
		t.Errorf("the stream holds %d messages, want 20", n)
	}
}

func TestRepeatsWithinABatchAreNotSentAndToldAsDuplicates(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	all := []event.Event{login("a"), login("b"), login("a"), login("a")}
	results, err := publisher(t, nc, publish.Options{}).PublishBatch(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	wantSequences(t, stream, all, results)
	for i, want := range []bool{false, false, true, true} {
		if results[i].Receipt.Duplicate != want {
			t.Errorf("result %d is %+v, want Duplicate %t", i, results[i], want)
		}
	}
	if n := messages(t, stream); n != 2 {
		t.Errorf("the stream holds %d messages, want 2", n)
	}
}

func TestOneInvalidEventDoesNotKeepTheOthersOfItsBatch(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	results, err := publisher(t, nc, publish.Options{}).PublishBatch(t.Context(), []event.Event{login("a"), login("b b"), login("c")})
	wantError(t, err, publish.ErrInvalid, false)
	if results[0].Err != nil || results[2].Err != nil || !errors.Is(results[1].Err, publish.ErrInvalid) {
		t.Errorf("results are %+v", results)
	}
	if n := messages(t, stream); n != 2 {
		t.Errorf("the stream holds %d messages, want 2", n)
	}
}

func TestMessageTooLargeForTheStreamDoesNotKeepTheOthersOfItsBatch(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1024 })
	big := login("b")
	big.UserAgent = fmt.Sprintf("%01000d", 0)
	results, err := publisher(t, nc, publish.Options{}).PublishBatch(t.Context(), []event.Event{login("a"), big, login("c")})
	wantError(t, err, publish.ErrTooLarge, false)
	if results[0].Err != nil || results[2].Err != nil || !errors.Is(results[1].Err, publish.ErrTooLarge) {
		t.Errorf("results are %+v", results)
	}
	if n := messages(t, stream); n != 2 {
		t.Errorf("the stream holds %d messages, want 2", n)
	}
}

func TestFullStreamEndsABatchAndTellsWhichEventsAreIn(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = 7 })
	results, err := publisher(t, nc, publish.Options{BatchMessages: 5, Window: 1}).PublishBatch(t.Context(), logins(20))
	wantError(t, err, publish.ErrStreamFull, false)
	for i, r := range results {
		if full := errors.Is(r.Err, publish.ErrStreamFull); full != (i >= 7) {
			t.Errorf("result %d is %+v", i, r)
		}
	}
	if n := messages(t, stream); n != 7 {
		t.Errorf("the stream holds %d messages, want 7", n)
	}
}

func TestBatchWithoutAStreamIsBoundedInTime(t *testing.T) {
	nc := connect(t, server(t, nil))
	p := publisher(t, nc, publish.Options{BatchTimeout: 300 * time.Millisecond, BatchMessages: 2})
	results, err := p.PublishBatch(t.Context(), logins(10))
	wantError(t, err, publish.ErrUnavailable, false)
	for i, r := range results {
		if !errors.Is(r.Err, publish.ErrUnavailable) {
			t.Errorf("result %d is %+v", i, r)
		}
	}
}

func TestLostAnswerToACommitIsNotToldAsDuplicates(t *testing.T) {
	s := server(t, nil)
	admin := connect(t, s)
	stream := events(t, admin, nil)
	// A proxy that loses the answer to the first commit.
	nc := connect(t, s)
	commits := 0
	if _, err := admin.Subscribe("relay.>", func(m *nats.Msg) {
		onward := nats.NewMsg(m.Subject[len("relay."):])
		onward.Header, onward.Data = m.Header, m.Data
		if m.Header.Get("Nats-Batch-Commit") == "1" {
			commits++
		}
		if m.Reply == "" || (m.Header.Get("Nats-Batch-Commit") == "1" && commits == 1) {
			_ = admin.PublishMsg(onward)
			return
		}
		if answer, err := admin.RequestMsg(onward, 5*time.Second); err == nil {
			_ = m.RespondMsg(&nats.Msg{Data: answer.Data})
		}
	}); err != nil {
		t.Fatal(err)
	}
	p := publisher(t, nc, publish.Options{TryTimeout: 100 * time.Millisecond, RetryPause: time.Millisecond})
	batch := make([]publish.Message, 0, 5)
	for _, e := range logins(5) {
		m := message(t, e)
		m.Subject = "relay." + m.Subject
		batch = append(batch, m)
	}
	results, err := p.PublishMessages(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Receipt.Duplicate || r.Receipt.StreamSeq != uint64(i+1) {
			t.Errorf("result %d is %+v", i, r)
		}
	}
	if n := messages(t, stream); n != 5 {
		t.Errorf("the stream holds %d messages, want 5", n)
	}
}

func TestBulkPublishesEverythingAndReportsEachMessageOnce(t *testing.T) {
	nc := connect(t, server(t, nil))
	stream := events(t, nc, nil)
	reported := map[uint64]int{}
	bulk := publisher(t, nc, publish.Options{BatchMessages: 100}).Bulk(t.Context(), func(r publish.Result) {
		if r.Err != nil {
			t.Errorf("message %d: %v", r.Ref, r.Err)
		}
		reported[r.Ref]++
	})
	const n = 1050
	for i, e := range logins(n) {
		m := message(t, e)
		m.Ref = uint64(i)
		if err := bulk.Add(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := bulk.Close(); err != nil {
		t.Fatal(err)
	}
	if len(reported) != n {
		t.Errorf("%d messages are reported, want %d", len(reported), n)
	}
	for ref, times := range reported {
		if times != 1 {
			t.Errorf("message %d is reported %d times", ref, times)
		}
	}
	if got := messages(t, stream); got != n {
		t.Errorf("the stream holds %d messages, want %d", got, n)
	}
	if err := bulk.Add(message(t, login("late"))); !errors.Is(err, publish.ErrClosed) {
		t.Errorf("Add after Close gives %v", err)
	}
}

func TestBulkSendsABatchThatDoesNotFill(t *testing.T) {
	nc := connect(t, server(t, nil))
	events(t, nc, nil)
	reported := make(chan publish.Result, 1)
	bulk := publisher(t, nc, publish.Options{Linger: time.Millisecond}).Bulk(t.Context(), func(r publish.Result) { reported <- r })
	if err := bulk.Add(message(t, login("only"))); err != nil {
		t.Fatal(err)
	}
	if r := <-reported; r.Err != nil || r.Receipt.StreamSeq != 1 {
		t.Errorf("result is %+v", r)
	}
	if err := bulk.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBulkEndsWhenTheStreamIsFull(t *testing.T) {
	nc := connect(t, server(t, nil))
	events(t, nc, func(c *jetstream.StreamConfig) { c.MaxMsgs = 3 })
	published, refused := 0, 0
	bulk := publisher(t, nc, publish.Options{BatchMessages: 2, BatchesInFlight: 1}).Bulk(t.Context(), func(r publish.Result) {
		if r.Err == nil {
			published++
		} else {
			refused++
		}
	})
	added := 0
	var err error
	for _, e := range logins(1000) {
		if err = bulk.Add(message(t, e)); err != nil {
			break
		}
		added++
	}
	wantError(t, err, publish.ErrStreamFull, false)
	wantError(t, bulk.Close(), publish.ErrStreamFull, false)
	if published != 3 || published+refused != added {
		t.Errorf("of %d added, %d are published and %d refused", added, published, refused)
	}
}

func TestCancelledContextEndsABulk(t *testing.T) {
	nc := connect(t, server(t, nil))
	silent(t, nc)
	ctx, cancel := context.WithCancel(t.Context())
	reports := 0
	bulk := publisher(t, nc, publish.Options{}).Bulk(ctx, func(r publish.Result) {
		reports++
		if !errors.Is(r.Err, publish.ErrCanceled) {
			t.Errorf("result is %+v", r)
		}
	})
	for _, e := range logins(10) {
		if err := bulk.Add(message(t, e)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	wantError(t, bulk.Close(), publish.ErrCanceled, false)
	if reports != 10 {
		t.Errorf("%d messages are reported, want 10", reports)
	}
}

// TestBatchesGoOneByOneWhereSomebodyHoldsAllPlaces: the server takes few open
// batches a stream, and any publisher can open them all.
func TestBatchesGoOneByOneWhereSomebodyHoldsAllPlaces(t *testing.T) {
	s := server(t, nil)
	nc := connect(t, s)
	stream := events(t, nc, nil)
	holder := connect(t, s)
	held := 0
	for full := false; !full; held++ {
		m := nats.NewMsg("login.events.acme.login")
		m.Header.Set("Nats-Batch-Id", fmt.Sprint("held-", held))
		m.Header.Set("Nats-Batch-Sequence", "1")
		answer, err := holder.RequestMsg(m, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		full = strings.Contains(string(answer.Data), "10210")
	}
	sent := logins(5)
	results, err := publisher(t, nc, publish.Options{RetryPause: time.Millisecond}).PublishBatch(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			t.Errorf("with %d batches held: %+v", held, r)
		}
	}
	if n := messages(t, stream); n != uint64(len(sent)) {
		t.Errorf("%d messages in the stream, want %d", n, len(sent))
	}
}

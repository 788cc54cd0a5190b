package stream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testserver"
)

// workshop is a server that syncs before it acknowledges, with the streams, and
// the worker's connection to it.
type workshop struct {
	asOperator, asIngest jetstream.JetStream
	parker               *stream.Parker
}

func newWorkshop(t testing.TB, settings stream.Settings, more ...nats.Option) workshop {
	t.Helper()
	s := testserver.NATS(t)
	w := workshop{
		asOperator: jetStream(t, s.Connect(engine.UserOperator)),
		asIngest:   jetStream(t, s.Connect(engine.UserIngest, more...)),
	}
	if err := stream.Ensure(t.Context(), w.asOperator, settings); err != nil {
		t.Fatal(err)
	}
	w.parker = stream.NewParker(w.asIngest)
	return w
}

func jetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// change changes LOGIN_PARKED as somebody else might.
func (w workshop) change(t *testing.T, change func(*jetstream.StreamConfig)) {
	t.Helper()
	config := streamConfig(t, w.asOperator, stream.Parked)
	change(&config)
	if _, err := w.asOperator.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// invalids are n messages of LOGIN_EVENTS from a sequence on, with bodies of the
// given size and headers.
func invalids(from uint64, n, size int) []stream.Invalid {
	all := make([]stream.Invalid, n)
	for i := range all {
		seq := from + uint64(i)
		body := bytes.Repeat([]byte{0, 0xff, byte(seq)}, size/3+1)[:size]
		copy(body, fmt.Sprintf("no event %d", seq))
		all[i] = stream.Invalid{
			Msg: made{
				subject: fmt.Sprintf("login.events.a%d.login", seq%7), body: body, seq: seq,
				header: nats.Header{"traceparent": {fmt.Sprint("00-", seq)}, "Nats-Batch-Id": {"forged"}, "Nats-Rollup": {"all"}},
			},
			Reason: broken(),
		}
	}
	return all
}

func wantParked(t testing.TB, errs []error) {
	t.Helper()
	for i, err := range errs {
		if err != nil {
			t.Fatalf("message %d of %d: %v", i, len(errs), err)
		}
	}
}

// wantStored checks that LOGIN_PARKED holds each message of all that has no error
// once, whole and under its own place, and nothing else. It gives their places in
// all, in the order of the stream.
func (w workshop) wantStored(t *testing.T, all []stream.Invalid, errs []error) []int {
	t.Helper()
	if len(errs) != len(all) {
		t.Fatalf("%d errors for %d messages", len(errs), len(all))
	}
	place := map[uint64]int{}
	for i, one := range all {
		meta, err := one.Msg.Metadata()
		if err == nil && errs[i] == nil {
			place[meta.Sequence.Stream] = i
		}
	}
	var order []int
	for _, m := range listed(t, w.asOperator, stream.ParkedFilter{}) {
		i, wanted := place[m.StreamSeq]
		if !wanted {
			t.Fatalf("message %d is parked and should not be", m.StreamSeq)
		}
		delete(place, m.StreamSeq)
		want := all[i].Msg
		if !bytes.Equal(m.Body, want.Data()) || !equalHeaders(m.Headers, want.Headers()) || m.Subject != want.Subject() || m.Reason != "missing" {
			t.Fatalf("message %d is parked as %.300v", m.StreamSeq, m)
		}
		order = append(order, i)
	}
	if len(place) > 0 {
		t.Fatalf("%d messages are told to be parked and are not: %.200v", len(place), place)
	}
	// The list shows a message that was parked twice once.
	s, err := w.asOperator.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != uint64(len(order)) {
		t.Fatalf("the stream holds %d messages, want %d", n, len(order))
	}
	return order
}

// batches are the sizes of the atomic batches in which LOGIN_PARKED was filled;
// a message that came alone is a 0.
func (w workshop) batches(t *testing.T) []int {
	t.Helper()
	s, err := w.asOperator.Stream(t.Context(), stream.Parked)
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		switch place := m.Header.Get("Nats-Batch-Sequence"); place {
		case "", "1":
			sizes = append(sizes, len(place))
		default:
			sizes[len(sizes)-1]++
		}
	}
	return sizes
}

func TestFiveThousandMessagesAreParkedOnceInOrderWithTheirBytes(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	all := invalids(1, 5000, 300)
	errs := w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	for n, i := range w.wantStored(t, all, errs) {
		if n != i {
			t.Fatalf("message %d of the stream is %d of those given", n, i)
		}
	}
	if got := fmt.Sprint(w.batches(t)); got != "[1000 1000 1000 1000 1000]" {
		t.Errorf("they came in batches of %s", got)
	}
}

func TestBatchesOfLargeMessagesAreCutByBytes(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	all := invalids(1, 150, 64<<10)
	errs := w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	w.wantStored(t, all, errs)
	if got := fmt.Sprint(w.batches(t)); got != "[63 63 24]" {
		t.Errorf("they came in batches of %s, want those of less than 4 MiB", got)
	}
}

func TestNoneAndOneAreParkedWithoutABatch(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	if errs := w.parker.ParkAll(t.Context(), nil); len(errs) != 0 {
		t.Errorf("errors of nothing are %v", errs)
	}
	all := invalids(1, 1, 10)
	errs := w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	w.wantStored(t, all, errs)
	if got := fmt.Sprint(w.batches(t)); got != "[0]" {
		t.Errorf("it came in a batch: %s", got)
	}
}

// TestParkingManyNeedsNoMoreThanTheRightsOfTheIngestUser parks what the worker
// fetched, with the rights that it has in `serve`.
func TestParkingManyNeedsNoMoreThanTheRightsOfTheIngestUser(t *testing.T) {
	violations := make(chan error, 100)
	w := newWorkshop(t, stream.DefaultSettings(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err }))
	for i := range 50 {
		if _, err := w.asOperator.Publish(t.Context(), "login.events.acme.login", fmt.Append(nil, "bad ", i)); err != nil {
			t.Fatal(err)
		}
	}
	_, consumer, err := stream.Open(t.Context(), w.asIngest)
	if err != nil {
		t.Fatal(err)
	}
	fetched, err := consumer.Fetch(50)
	if err != nil {
		t.Fatal(err)
	}
	var all []stream.Invalid
	for m := range fetched.Messages() {
		all = append(all, stream.Invalid{Msg: m, Reason: broken()})
	}
	errs := w.parker.ParkAll(t.Context(), all)
	wantParked(t, errs)
	if order := w.wantStored(t, all, errs); len(order) != 50 {
		t.Errorf("%d messages are parked, want 50", len(order))
	}
	if got := fmt.Sprint(w.batches(t)); got != "[50]" {
		t.Errorf("they came in batches of %s", got)
	}
	for len(violations) > 0 {
		t.Error(<-violations)
	}
}

func TestRepeatsOfACallAreNotSent(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	all := invalids(1, 100, 50)
	errs := w.parker.ParkAll(t.Context(), slices.Concat(all, all[3:4], all[50:51]))
	wantParked(t, errs)
	w.wantStored(t, all, errs[:len(all)])
	if got := fmt.Sprint(w.batches(t)); got != "[100]" {
		t.Errorf("they came in batches of %s", got)
	}
}

func TestRepeatsOfACallAndOfFormerOnesCollapse(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	all := invalids(1, 100, 50)
	if err := w.parker.Park(t.Context(), all[7].Msg, all[7].Reason); err != nil {
		t.Fatal(err)
	}
	twice := slices.Concat(all, all[3:4], all[50:51])
	for range 2 {
		errs := w.parker.ParkAll(t.Context(), twice)
		wantParked(t, errs)
		w.wantStored(t, all, errs[:len(all)])
	}
}

func TestMessageThatIsNotOfAStreamDoesNotKeepTheOthersFromBeingParked(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	all := invalids(1, 20, 50)
	all[5].Msg = foreign{}
	errs := w.parker.ParkAll(t.Context(), all)
	if !errors.Is(errs[5], jetstream.ErrNotJSMessage) {
		t.Errorf("error is %v, want ErrNotJSMessage", errs[5])
	}
	if order := w.wantStored(t, all, errs); len(order) != 19 {
		t.Errorf("%d messages are parked, want 19", len(order))
	}
}

// TestMissingStreamEndsTheParking: to ask for each of thousands of messages
// would take minutes.
func TestMissingStreamEndsTheParking(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	if err := w.asOperator.DeleteStream(t.Context(), stream.Parked); err != nil {
		t.Fatal(err)
	}
	for i, err := range w.parker.ParkAll(t.Context(), invalids(1, 3000, 50)) {
		if !errors.Is(err, jetstream.ErrNoStreamResponse) || !strings.Contains(err.Error(), fmt.Sprintf("message %d:", i+1)) {
			t.Fatalf("error of message %d is %v, want ErrNoStreamResponse", i, err)
		}
	}
	if sent := w.asIngest.Conn().Stats().OutMsgs; sent > 200 {
		t.Errorf("%d messages were sent to no stream", sent)
	}
}

func TestClosedConnectionEndsTheParking(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	w.asIngest.Conn().Close()
	for i, err := range w.parker.ParkAll(t.Context(), invalids(1, 3000, 50)) {
		if !errors.Is(err, nats.ErrConnectionClosed) {
			t.Fatalf("error of message %d is %v, want ErrConnectionClosed", i, err)
		}
	}
}

func TestNothingIsParkedAfterTheContextEnded(t *testing.T) {
	w := newWorkshop(t, stream.DefaultSettings())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	all := invalids(1, 3000, 50)
	errs := w.parker.ParkAll(ctx, all)
	w.wantStored(t, all, errs)
	for i, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error of message %d is %v, want Canceled", i, err)
		}
	}
}

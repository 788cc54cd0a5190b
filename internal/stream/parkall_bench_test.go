package stream_test

import (
	"sync"
	"testing"

	"github.com/loginaudit/loginaudit/internal/engine"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/loginaudit/loginaudit/internal/testserver"
)

// BenchmarkPark compares parking many messages at once with parking them one by
// one, alone and 16 at a time, on a server that syncs before it acknowledges.
func BenchmarkPark(b *testing.B) {
	s := testserver.NATS(b)
	ensure(b, jetStream(b, s.Connect(engine.UserOperator)))
	parker := stream.NewParker(jetStream(b, s.Connect(engine.UserIngest)))
	const n = 5000
	known := invalids(1, n, 400)
	wantParked(b, parker.ParkAll(b.Context(), known))
	from := uint64(n + 1)
	for _, c := range []struct {
		name string
		n    int
		park func([]stream.Invalid) []error
	}{
		{"ParkAll", n, func(all []stream.Invalid) []error { return parker.ParkAll(b.Context(), all) }},
		{"ParkAllKnown", n, func([]stream.Invalid) []error { return parker.ParkAll(b.Context(), known) }},
		{"Park16AtATime", n, func(all []stream.Invalid) []error { return parkEach(b, parker, all, 16) }},
		{"Park", n / 10, func(all []stream.Invalid) []error { return parkEach(b, parker, all, 1) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			parked := 0
			for b.Loop() {
				b.StopTimer()
				all := invalids(from, c.n, 400)
				from += uint64(c.n)
				b.StartTimer()
				wantParked(b, c.park(all))
				parked += c.n
			}
			b.ReportMetric(float64(parked)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkParkAgain is what the first message of long ago costs a worker: to read
// what LOGIN_PARKED holds. Whatever comes after it finds that read.
func BenchmarkParkAgain(b *testing.B) {
	s := testserver.NATS(b)
	ensure(b, jetStream(b, s.Connect(engine.UserOperator)))
	asIngest := jetStream(b, s.Connect(engine.UserIngest))
	const n = 100_000
	for from := uint64(1); from < n; from += 5000 {
		wantParked(b, stream.NewParker(asIngest).ParkAll(b.Context(), invalids(from, 5000, 400)))
	}
	again := invalids(1, 1, 400)
	for b.Loop() {
		wantParked(b, stream.NewParker(asIngest).ParkAll(b.Context(), again))
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func parkEach(b *testing.B, parker *stream.Parker, all []stream.Invalid, atATime int) []error {
	errs, places := make([]error, len(all)), make(chan struct{}, atATime)
	var group sync.WaitGroup
	for i, one := range all {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			errs[i] = parker.Park(b.Context(), one.Msg, one.Reason)
		})
	}
	group.Wait()
	return errs
}

package publish_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/publish"
)

// BenchmarkPublishOutbox measures how long a log-in waits for its event: for the
// stream's confirmation, on a server that syncs every write, and for the outbox
// while that server is down. Both write to the same disk. The ratio is that of
// the outbox to the confirmation in the same run.
func BenchmarkPublishOutbox(b *testing.B) {
	for _, logins := range []int{1, 64} {
		confirmed := 0.0
		b.Run(fmt.Sprintf("confirmed/logins=%d", logins), func(b *testing.B) {
			nc := connect(b, server(b, func(o *natsserver.Options) { o.SyncAlways = true }))
			events(b, nc, nil)
			confirmed = benchmarkLogins(b, outbox(b, nc, quick(b.TempDir())), logins, false)
		})
		b.Run(fmt.Sprintf("down/logins=%d", logins), func(b *testing.B) {
			p := newPipeline(b)
			nc := connect(b, p.s)
			p.down(nc)
			down := benchmarkLogins(b, outbox(b, nc, publish.OutboxOptions{Dir: b.TempDir(), MaxRecords: 1 << 30, MaxBytes: 1 << 40, SegmentBytes: 4 << 20}), logins, true)
			if confirmed > 0 {
				b.ReportMetric(down/confirmed, "x-confirmed")
			}
		})
	}
}

// benchmarkLogins publishes b.N events from so many log-ins at a time; it gives
// the nanoseconds that one of them waited.
func benchmarkLogins(b *testing.B, o *publish.Outbox, logins int, inOutbox bool) float64 {
	b.Helper()
	var next, waited atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range logins {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				e := benchmarkLogin(n)
				begin := time.Now()
				receipt, err := o.Publish(b.Context(), e)
				waited.Add(int64(time.Since(begin)))
				if err != nil || receipt.InOutbox != inOutbox {
					b.Errorf("receipt %+v, error %v", receipt, err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	wait := float64(waited.Load()) / float64(b.N)
	b.ReportMetric(wait/1e6, "ms-a-login")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	return wait
}

// benchmarkLogin is an event of a usual size.
func benchmarkLogin(n int64) event.Event {
	e := login(fmt.Sprintf("0192d0c4-7c1e-7a55-b0a1-%012d", n))
	e.SessionID = fmt.Sprintf("s-%d", n)
	e.UserAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	e.Service = "auth-web"
	return e
}

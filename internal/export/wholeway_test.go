package export_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/store"
	"github.com/loginaudit/loginaudit/internal/testserver"
	"github.com/loginaudit/loginaudit/internal/web"
)

func TestMain(m *testing.M) { testserver.Main(m) }

// The set of BenchmarkWholeWay: an account of a year.
const (
	wholeEvents = 1_000_000
	wholeBatch  = 20_000
)

// BenchmarkWholeWay is the rate of an export from ClickHouse over HTTP to a client
// that throws it away; all three share the machine. Processor time is told by
// process, for machines that are not quiet: this one has the encoder and the client.
func BenchmarkWholeWay(b *testing.B) {
	url, token := serveWhole(b)
	for _, format := range query.ExportFormats() {
		for _, encoding := range []string{"identity", "gzip"} {
			if encoding == "gzip" && format != query.ExportNDJSON {
				continue
			}
			b.Run(string(format)+" "+encoding, func(b *testing.B) {
				own, engine := processorTime(b)
				bytes := int64(0)
				for b.Loop() {
					bytes += downloaded(b, url+string(format), token, encoding)
				}
				events := float64(b.N) * wholeEvents
				nowOwn, nowEngine := processorTime(b)
				b.ReportMetric(events/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64(bytes)/events, "bytes/event")
				b.ReportMetric(float64((nowOwn-own).Nanoseconds())/events, "own-ns/event")
				b.ReportMetric(float64((nowEngine-engine).Nanoseconds())/events, "clickhouse-ns/event")
			})
		}
	}
}

// serveWhole fills a database and serves it.
func serveWhole(b *testing.B) (url, token string) {
	b.Helper()
	d := testserver.ClickHouse(b)
	config := func(c testserver.Credentials) store.Config {
		return store.Config{Addr: d.Addr, Database: d.Database, Username: c.User, Password: c.Password}
	}
	if _, err := store.Migrate(b.Context(), config(d.Owner)); err != nil {
		b.Fatal(err)
	}
	open := func(c testserver.Credentials) *store.DB {
		db, err := store.Open(b.Context(), config(c))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = db.Close() })
		return db
	}
	writer := open(d.Writer)
	for i := 0; i < wholeEvents; i += wholeBatch {
		batch := make([]event.Stored, wholeBatch)
		for j := range batch {
			batch[j] = wholeEvent(b, i+j)
		}
		if err := writer.Insert(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	claim := store.Claim{Stream: "LOGIN_EVENTS", Created: at, Generation: 1, Seq: wholeEvents, Time: at, KnownAt: at}
	if err := writer.Tell(b.Context(), store.Tidings{Claim: claim, Worker: "w"}); err != nil {
		b.Fatal(err)
	}
	admin := access.NewAdminToken()
	server, err := web.New(web.Config{Store: open(d.Reader), Access: access.New(access.Config{Token: admin})})
	if err != nil {
		b.Fatal(err)
	}
	over := httptest.NewServer(server.Handler())
	b.Cleanup(over.Close)
	return over.URL + "/api/v1/accounts/acme/export?format=", admin.Secret()
}

// wholeEvent is the i-th of events that are spread over a year, the users and their
// sessions.
func wholeEvent(b *testing.B, i int) event.Stored {
	b.Helper()
	statuses := []event.Status{25, 21, 2, 5, 1, 6}
	like := realEvent(i)
	e := event.Event{
		ID: fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", i), Account: "acme", Username: fmt.Sprintf("user%d@example.com", (i/3*7919)%5000),
		OccurredAt: at.AddDate(-1, 0, 0).Add(time.Duration(i) * (365 * 24 * time.Hour / wholeEvents)), Entry: event.Entry(1 + i%8),
		Status: statuses[i%len(statuses)], SessionID: fmt.Sprintf("session-%016x", i/3*2654435761),
		IP: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), UserAgent: *like.UserAgent, Service: "sso", Attributes: like.Attributes,
	}
	raw, err := event.Encode(e)
	if err != nil {
		b.Fatal(err)
	}
	s := event.Stored{Event: e, Raw: raw, ReceivedAt: e.OccurredAt, StreamSeq: uint64(i) + 1}
	for j, c := range []byte(strconv.Itoa(i * 7919)) {
		s.Hash[j] = c
	}
	return s
}

// downloaded reads an export to its end and is its size, as it is sent.
func downloaded(b *testing.B, url, token, encoding string) int64 {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept-Encoding", encoding)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, make([]byte, 256<<10))
	if err != nil || res.Trailer.Get("Loginaudit-Export-Events") != strconv.Itoa(wholeEvents) {
		b.Fatalf("%d %v after %d bytes: %v", res.StatusCode, err, n, res.Trailer)
	}
	return n
}

// processorTime is what this process and its children, of which ClickHouse is the
// one, have used so far (proc(5), in ticks of 10 ms).
func processorTime(b *testing.B) (own, children time.Duration) {
	b.Helper()
	used := func(pid string) time.Duration {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			b.Fatal(err)
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		return time.Duration(user+system) * 10 * time.Millisecond
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		b.Fatal(err)
	}
	for _, task := range tasks {
		pids, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			b.Fatal(err)
		}
		for _, pid := range strings.Fields(string(pids)) {
			children += used(pid)
		}
	}
	return used("self"), children
}

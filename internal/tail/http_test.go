package tail_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/apicheck"
	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/internal/tail"
	"github.com/loginaudit/loginaudit/internal/web"
)

// service is the API over a system, on a real listener.
type service struct {
	*system
	server  *httptest.Server
	token   access.AdminToken
	auth    *access.Authenticator
	metrics *prometheus.Registry
	stop    func()       // of the hub
	ahead   atomic.Int64 // how far the clock of credentials is ahead, in nanoseconds
}

// serve serves with a hub of c; change may change the server before it starts.
func serve(t testing.TB, c tail.Config, change func(*httptest.Server)) *service {
	t.Helper()
	s := &service{system: newSystem(t), token: access.NewAdminToken(), metrics: prometheus.NewRegistry()}
	if c.Registerer == nil {
		c.Registerer = s.metrics
	}
	s.auth = access.New(access.Config{Token: s.token, Now: func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }})
	hub, stop := s.run(c)
	s.stop = stop
	api, err := web.New(web.Config{Store: s.reader, Tail: hub, Access: s.auth})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewUnstartedServer(apicheck.Handler(t, api.Handler()))
	if change != nil {
		change(s.server)
	}
	if s.server.EnableHTTP2 {
		s.server.StartTLS()
	} else {
		s.server.Start()
	}
	t.Cleanup(s.server.Close)
	t.Cleanup(stop) // before the server, which waits for its requests
	return s
}

// answer is what a request got; its body is closed at the end of the test.
type answer struct {
	status, proto int
	header        http.Header
	body          io.Reader
}

// request asks for a path below the account acme.
func (s *service) request(method, path string, headers ...string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+"/api/v1/accounts/acme"+path, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token.Secret())
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := s.server.Client().Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = res.Body.Close() })
	return answer{res.StatusCode, res.ProtoMajor, res.Header, res.Body}
}

// sse is what a browser sees of a stream.
type sse struct {
	t     testing.TB
	res   answer
	lines *bufio.Scanner
}

type sent struct{ id, kind, data, retry string }

func (s *service) stream(query string, headers ...string) *sse {
	s.t.Helper()
	res := s.request(http.MethodGet, "/stream"+query, headers...)
	if res.status != http.StatusOK {
		body, _ := io.ReadAll(res.body)
		s.t.Fatalf("%d %s", res.status, body)
	}
	return &sse{t: s.t, res: res, lines: bufio.NewScanner(res.body)}
}

// read is the next message, comments too; false at the end.
func (c *sse) read() (m sent, more bool) {
	for c.lines.Scan() {
		name, value, _ := strings.Cut(c.lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case c.lines.Text() == "":
			return m, true
		case name == "id":
			m.id = value
		case name == "event":
			m.kind = value
		case name == "data":
			m.data += value
		case name == "retry":
			m.retry = value
		}
	}
	return m, false
}

// next is the next message of one of the kinds.
func (c *sse) next(kinds ...string) sent {
	c.t.Helper()
	for {
		m, more := c.read()
		if !more {
			c.t.Fatalf("the stream has ended: %v", c.lines.Err())
		}
		for _, kind := range kinds {
			if m.kind == kind {
				return m
			}
		}
	}
}

func TestAStreamIsOfServerSentEvents(t *testing.T) {
	s := serve(t, tail.Config{}, nil)
	s.ingest(s.login("acme", "before", 0))
	c := s.stream("", "Accept-Encoding", "gzip")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "X-Accel-Buffering": "no", "Cache-Control": "no-store", "Content-Encoding": "",
	} {
		if got := c.res.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if m, _ := c.read(); m != (sent{retry: "2000"}) {
		t.Errorf("it begins with %+v", m)
	}
	mark := c.next("event", "watermark", "gap")
	if mark.kind != "watermark" || mark.id != "1" || !strings.Contains(mark.data, `"stream_seq":1`) {
		t.Errorf("then it is told %+v", mark)
	}
	// What was sent is there at once, and is the event of the lists, letter by letter.
	s.ingest(s.login("acme", "Straße\u2028\n<b>", 0))
	m := c.next("event")
	list, err := io.ReadAll(s.request(http.MethodGet, "/events").body)
	if err != nil {
		t.Fatal(err)
	}
	if m.id != "2" || !strings.Contains(string(list), m.data) || !json.Valid([]byte(m.data)) {
		t.Errorf("the event is %+v, the list %s", m, list)
	}
}

func TestAStreamGoesOnBehindTheLastEventID(t *testing.T) {
	s := serve(t, tail.Config{Page: 2, Behind: 8}, nil)
	s.ingest(s.several("acme", 6)...)
	for query, header := range map[string]string{"": "4", "?last_event_id=4": "", "?last_event_id=1": "4"} {
		c := s.stream(query, "Last-Event-ID", header)
		if first, second, mark := c.next("event"), c.next("event"), c.next("event", "watermark"); first.id != "5" || second.id != "6" || mark.kind != "watermark" || mark.id != "6" {
			t.Errorf("%q, %q: %v, %v, %v", query, header, first.id, second.id, mark)
		}
	}
	s.ingest(s.several("acme", 6)...)
	c := s.stream("?username=user-1", "Last-Event-ID", "2")
	if gap := c.next("event", "gap"); gap.kind != "gap" || gap.id != "12" || !strings.HasPrefix(gap.data, `{"from_seq":3,"to_seq":12,"detail":"`) {
		t.Errorf("too far behind it is told %+v", gap)
	}
	c = s.stream("?username=user-1", "Last-Event-ID", "5")
	if m := c.next("event"); m.id != "8" {
		t.Errorf("of one user %s is next", m.id)
	}
}

func TestAStreamThatIsAskedForInAWrongWayIsRefused(t *testing.T) {
	s := serve(t, tail.Config{Readers: 1}, nil)
	for path, want := range map[string]int{
		"/stream?start=now": 400, "/stream?last_event_id=x": 400, "/stream?x=1": 400, "/stream?%": 400,
	} {
		if res := s.request(http.MethodGet, path); res.status != want {
			t.Errorf("%s: %d, want %d", path, res.status, want)
		}
	}
	if res := s.request(http.MethodGet, "/stream", "Last-Event-ID", "-1"); res.status != 400 {
		t.Errorf("a wrong header: %d", res.status)
	}
	if res := s.request(http.MethodGet, "/stream", "Authorization", ""); res.status != 401 {
		t.Errorf("without credentials: %d", res.status)
	}
	s.stream("").next("watermark")
	if res := s.request(http.MethodGet, "/stream"); res.status != 503 || res.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d, Retry-After %q", res.status, res.header.Get("Retry-After"))
	}
}

func TestAServiceWithoutATailSaysSo(t *testing.T) {
	s := newSystem(t)
	token := access.NewAdminToken()
	api, err := web.New(web.Config{Store: s.reader, Access: access.New(access.Config{Token: token})})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/accounts/acme/stream", nil)
	r.Header.Set("Authorization", "Bearer "+token.Secret())
	w := httptest.NewRecorder()
	apicheck.Handler(t, api.Handler()).ServeHTTP(w, r)
	if w.Code != 503 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAStreamOfAStoreThatIsDownIsRefused(t *testing.T) {
	source := &faulty{broken: errors.Join(query.ErrTooHeavy, context.DeadlineExceeded)}
	s := serve(t, tail.Config{Source: source}, nil)
	if res := s.request(http.MethodGet, "/stream"); res.status != 503 { // there is nothing to narrow
		t.Errorf("where it is too slow: %d", res.status)
	}
	source.fail(errDown)
	if res := s.request(http.MethodGet, "/stream"); res.status != 503 {
		t.Errorf("where it is down: %d", res.status)
	}
	source.fail(errors.New("something else"))
	if res := s.request(http.MethodGet, "/stream"); res.status != 500 {
		t.Errorf("where something else is wrong: %d", res.status)
	}
}

func TestAHeadOfAStreamEndsAtOnce(t *testing.T) {
	s := serve(t, tail.Config{}, nil)
	res := s.request(http.MethodHead, "/stream?username=bob")
	if body, err := io.ReadAll(res.body); err != nil || len(body) > 0 || res.status != 200 || res.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%d %v %q %v", res.status, res.header, body, err)
	}
	if n := counted(t, s.metrics, "loginaudit_tail_subscribers"); n != 0 {
		t.Errorf("%v follow", n)
	}
}

func TestAStreamEndsInOrderWhenTheServiceStops(t *testing.T) {
	s := serve(t, tail.Config{}, nil)
	c := s.stream("")
	c.next("watermark")
	s.stop()
	if m, more := c.read(); more || c.lines.Err() != nil {
		t.Errorf("it goes on with %+v, %v", m, c.lines.Err())
	}
	s.server.Close() // waits for no reader
}

func TestAStreamEndsWithTheRightToSeeIt(t *testing.T) {
	s := serve(t, tail.Config{Heartbeat: 5 * time.Millisecond}, nil)
	signIn := httptest.NewRecorder()
	if !s.auth.SignIn(signIn, httptest.NewRequest(http.MethodPost, s.server.URL, nil), s.token.Secret()) {
		t.Fatal("cannot sign in")
	}
	cookie := signIn.Result().Cookies()[0]
	by := []string{"Authorization", "", "Cookie", cookie.Name + "=" + cookie.Value}
	c := s.stream("", by...)
	for range 3 {
		c.next("watermark")
	}
	s.ahead.Store(int64(access.SessionLifetime + time.Minute))
	for more := true; more; {
		_, more = c.read()
	}
	if err := c.lines.Err(); err != nil {
		t.Errorf("it ends by %v", err)
	}
	if res := s.request(http.MethodGet, "/stream", by...); res.status != 401 {
		t.Errorf("who comes back gets %d", res.status)
	}
}

// deadlines keeps the last bounds of a connection that were set.
type deadlines struct {
	mu    sync.Mutex
	write time.Time
	set   int
}

type bounded struct {
	http.ResponseWriter
	*deadlines
}

func (b bounded) Unwrap() http.ResponseWriter { return b.ResponseWriter }

func (b bounded) SetWriteDeadline(at time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write, b.set = at, b.set+1
	return http.NewResponseController(b.ResponseWriter).SetWriteDeadline(at)
}

func (b bounded) Flush() { _ = http.NewResponseController(b.ResponseWriter).Flush() }

// Neither the bounds of questions nor those of the server count: it would end while
// nothing is wrong.
func TestAStreamOutlivesTheBoundsOfTheServer(t *testing.T) {
	var bounds deadlines
	s := serve(t, tail.Config{Heartbeat: 20 * time.Millisecond}, func(server *httptest.Server) {
		server.Config.ReadTimeout = 100 * time.Millisecond
		next := server.Config.Handler
		server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(bounded{w, &bounds}, r) })
	})
	c := s.stream("")
	for range 25 { // five times as long as a request may take to read
		c.next("watermark")
	}
	until(t, "between two messages there is no bound", func() bool {
		bounds.mu.Lock()
		defer bounds.mu.Unlock()
		return bounds.set > 0 && bounds.write.IsZero()
	})
}

func TestStreamsShareAConnectionOfHTTP2(t *testing.T) {
	s := serve(t, tail.Config{}, func(server *httptest.Server) {
		server.EnableHTTP2 = true
	})
	var streams []*sse
	for range 20 {
		c := s.stream("")
		if c.res.proto != 2 {
			t.Fatalf("it speaks HTTP/%d", c.res.proto)
		}
		c.next("watermark")
		streams = append(streams, c)
	}
	s.ingest(s.login("acme", "ann", 0))
	for _, c := range streams {
		if m := c.next("event"); m.id != "1" {
			t.Errorf("it is told %+v", m)
		}
	}
}

// narrow are connections that hold little on the way.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	conn, err := n.Listener.Accept()
	if err == nil {
		err = conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
	}
	return conn, err
}

func TestAReaderThatDoesNotReadIsToldAGapWhenItDoes(t *testing.T) {
	s := serve(t, tail.Config{Buffer: 10, Page: 10, Behind: 100}, func(server *httptest.Server) { server.Listener = narrow{server.Listener} })
	s.server.Client().Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			err = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return conn, err
	}
	c := s.stream("")
	c.next("watermark")
	for range 10 {
		s.ingest(s.several("acme", 100)...)
	}
	s.ingest(s.login("acme", "last", 0))
	// Whatever is skipped is told; nothing is left out besides, and nothing comes twice.
	events, gaps, at := 0, 0, uint64(0)
	for at < s.seq {
		switch m := c.next("event", "gap"); m.kind {
		case "event":
			var e query.Event
			if err := json.Unmarshal([]byte(m.data), &e); err != nil {
				t.Fatal(err)
			}
			if events++; e.StreamSeq != at+1 {
				t.Fatalf("%d follows %d", e.StreamSeq, at)
			}
			at = e.StreamSeq
		case "gap":
			var gap query.TailGap
			if err := json.Unmarshal([]byte(m.data), &gap); err != nil {
				t.Fatal(err)
			}
			if gaps++; gap.FromSeq != at+1 || gap.ToSeq < gap.FromSeq {
				t.Fatalf("%+v follows %d", gap, at)
			}
			at = gap.ToSeq
		}
	}
	if events == 0 || gaps == 0 {
		t.Errorf("%d events and %d gaps", events, gaps)
	}
}

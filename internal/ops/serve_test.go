package ops_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/ops"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := ops.Listen(t.Context(), "http.addr", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func get(t testing.TB, url string) (int, string, error) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestServeFinishesTheRequestInHandAfterTheStop(t *testing.T) {
	l := listen(t)
	inHand, release := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(inHand)
		<-release
		if r.Context().Err() == nil {
			io.WriteString(w, "finished")
		}
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- ops.Server{Listener: l, Handler: handler, Grace: time.Minute, Log: zaptest.NewLogger(t)}.Serve(ctx)
	}()
	answer := make(chan string, 1)
	go func() {
		_, body, _ := get(t, "http://"+l.Addr().String())
		answer <- body
	}()
	<-inHand
	stop()
	close(release)
	if got := <-answer; got != "finished" {
		t.Errorf("answer %q", got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeCutsOffWhatOutlastsTheGrace(t *testing.T) {
	l := listen(t)
	inHand := make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(inHand)
		<-r.Context().Done()
	})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- ops.Server{Listener: l, Handler: handler, Grace: time.Millisecond, Log: zap.NewNop()}.Serve(ctx)
	}()
	cut := make(chan error, 1)
	go func() {
		_, _, err := get(t, "http://"+l.Addr().String())
		cut <- err
	}()
	<-inHand
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	<-cut // the client is not left waiting; what it sees depends on the moment
}

func TestServeTellsWhenItsListenerDies(t *testing.T) {
	l := listen(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	err := ops.Server{Listener: l, Handler: http.NotFoundHandler(), Log: zap.NewNop()}.Serve(t.Context())
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatal(err)
	}
}

func TestListenErrorsNameTheSetting(t *testing.T) {
	l := listen(t)
	defer l.Close()
	var usage *ops.UsageError
	if _, err := ops.Listen(t.Context(), "http.addr", "8080"); !errors.As(err, &usage) || !strings.Contains(err.Error(), "http.addr") {
		t.Errorf("no port: %v", err)
	}
	if _, err := ops.Listen(t.Context(), "http.addr", l.Addr().String()); err == nil || !strings.Contains(err.Error(), "--http-addr") {
		t.Errorf("taken: %v", err)
	}
}

func TestLoadTLSRefusesHalfAPairAndWhatIsNoCertificate(t *testing.T) {
	if c, err := ops.LoadTLS("", ""); c != nil || err != nil {
		t.Errorf("none: %v, %v", c, err)
	}
	var usage *ops.UsageError
	if _, err := ops.LoadTLS("cert.pem", ""); !errors.As(err, &usage) {
		t.Errorf("half: %v", err)
	}
	none := filepath.Join(t.TempDir(), "none.pem")
	if _, err := ops.LoadTLS(none, none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestReadyzIs503WithTheReasonUntilEverythingHolds(t *testing.T) {
	var health ops.Health
	open := health.AddGate("start", "the engine is starting")
	health.Add("disk", func(context.Context) error { return nil })
	probe := func(query string) (int, string) {
		w := httptest.NewRecorder()
		level := zap.NewAtomicLevel()
		ops.Admin(&health, ops.NewRegistry(), level).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz"+query, nil))
		return w.Code, w.Body.String()
	}
	if code, body := probe(""); code != 503 || body != "[-] start: the engine is starting\nnot ready\n" {
		t.Errorf("before: %d %q", code, body)
	}
	open()
	open() // twice does no harm
	if code, body := probe(""); code != 200 || body != "ready\n" {
		t.Errorf("after: %d %q", code, body)
	}
	if code, body := probe("?verbose"); code != 200 || body != "[+] start\n[+] disk\nready\n" {
		t.Errorf("verbose: %d %q", code, body)
	}
}

func TestAdminAnswersLivenessMetricsAndLogLevel(t *testing.T) {
	level := zap.NewAtomicLevel()
	admin := ops.Admin(&ops.Health{}, ops.NewRegistry(), level)
	ask := func(method, path, body string) (int, string) {
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Code, w.Body.String()
	}
	for path, want := range map[string]string{"/livez": "alive", "/metrics": "go_goroutines", "/debug/pprof/": "goroutine", "/log/level": "info"} {
		if code, body := ask(http.MethodGet, path, ""); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.100s", path, code, body)
		}
	}
	if code, _ := ask(http.MethodPut, "/log/level", `{"level":"debug"}`); code != 200 || level.Level() != zap.DebugLevel {
		t.Errorf("level not changed: %d %s", code, level)
	}
}

func TestLifecycleStopsInReverseAndWaitsForEachPart(t *testing.T) {
	var order []string
	l := ops.NewLifecycle(t.Context(), zap.NewNop())
	l.OnStop("store", func(context.Context) error { order = append(order, "store"); return nil })
	l.Go("ingest", func(ctx context.Context) error {
		<-ctx.Done()
		order = append(order, "ingest")
		return ctx.Err()
	})
	l.Go("http", func(ctx context.Context) error {
		<-ctx.Done()
		order = append(order, "http")
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "http ingest store" {
		t.Fatalf("order %s", got)
	}
}

func TestLifecycleTellsWhichPartFailed(t *testing.T) {
	for want, run := range map[string]func(context.Context) error{
		"ingest: schema is newer": func(context.Context) error { return errors.New("schema is newer") },
		"ingest: ended by itself": func(context.Context) error { return nil },
	} {
		l := ops.NewLifecycle(t.Context(), zap.NewNop())
		l.Go("ingest", run)
		if err := l.Wait(t.Context()); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := l.Stop(time.Minute); err != nil {
			t.Errorf("the failure is told once: %v", err)
		}
	}
}

func TestLifecycleStopGoesOnPastAPartThatHangsOrFails(t *testing.T) {
	var closed bool
	l := ops.NewLifecycle(t.Context(), zap.NewNop())
	l.OnStop("store", func(context.Context) error { closed = true; return nil })
	l.OnStop("broken", func(context.Context) error { return errors.New("no") })
	release := make(chan struct{})
	l.Go("stuck", func(context.Context) error { <-release; return nil })
	err := l.Stop(time.Millisecond)
	close(release)
	if err == nil || !strings.Contains(err.Error(), "stop stuck") || !strings.Contains(err.Error(), "stop broken") || !closed {
		t.Fatalf("%v, store closed: %v", err, closed)
	}
}

func TestLoggerWritesJSONWithUTCTimesAndObeysItsLevel(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	log, level, err := ops.NewLogger(ops.LogSettings{Level: "warn", Format: "auto"}, out)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("hidden")
	level.SetLevel(zap.InfoLevel)
	log.Info("shown", zap.Int("batch_size", 3))
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); strings.Contains(s, "hidden") || !strings.Contains(s, `"message":"shown","batch_size":3`) || !strings.Contains(s, `Z","`) {
		t.Fatal(s)
	}
	if _, _, err := ops.NewLogger(ops.LogSettings{Level: "loud"}, out); err == nil {
		t.Fatal("an unknown level was taken")
	}
}

func TestAnAddressToListenOnIsHostAndPortAndTheErrorNamesTheFlag(t *testing.T) {
	for _, good := range []string{"127.0.0.1:0", ":65535", "[::1]:8080", "localhost:1"} {
		if err := ops.CheckAddress("http.addr", good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:http", "::1:80"} {
		var usage *ops.UsageError
		if err := ops.CheckAddress("http.addr", bad); !errors.As(err, &usage) || !strings.Contains(err.Error(), "--http-addr or LOGINAUDIT_HTTP_ADDR") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestLoopbackIsWhatOnlyThisMachineReaches(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.8.9.1:1": true, "[::1]:1": true, "localhost:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "192.0.2.1:1": false, "nowhere": false, "a b:1": false,
	} {
		if got := ops.Loopback(t.Context(), address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

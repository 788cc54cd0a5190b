package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/client"
)

const secret = "la_admin_hunter2hunter2hunter2hunter2"

// quick are retries that cost a test no time.
func quick() client.Retry {
	return client.Retry{Tries: 4, Pause: time.Millisecond, MaxPause: 2 * time.Second}
}

// answering is a server that may do what the real one does only when it is in
// trouble, and a client of it.
func answering(t testing.TB, handle http.HandlerFunc, options ...client.Option) (*httptest.Server, *client.Client) {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s, asking(t, s.URL, options...)
}

func asking(t testing.TB, base string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(base, append([]client.Option{client.WithToken(secret), client.WithRetry(quick())}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answerJSON(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = io.WriteString(w, body)
}

func answerProblem(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// emptyList is a list of anything, without rows.
const emptyList = `{"events":[],"users":[],"next_cursor":null,"watermark":{"stream_seq":7,"time":null,"lag_ms":0}}`

func TestNewNamesWhatIsWrongWithTheBaseURLAndTheOptions(t *testing.T) {
	for base, want := range map[string]string{
		"":                       "neither http:// nor https://",
		"audit.example.com":      "neither http:// nor https://",
		"ftp://x":                "neither http:// nor https://",
		"http://":                "names no host",
		"http://u:hunter2@x":     "holds credentials",
		"http://x/?token=h":      "holds a query",
		"http://x/#f":            "holds a query or a fragment",
		"http://hunter2:x\x00@y": "is not a URL",
	} {
		if _, err := client.New(base); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", base, err)
		}
	}
	for want, o := range map[string][]client.Option{
		"exclude each other":   {client.WithHTTPClient(http.DefaultClient), client.WithTLS(&tls.Config{MinVersion: tls.VersionTLS12})},
		"Retry.Tries is 0":     {client.WithRetry(client.Retry{})},
		"Retry.Pause is 0s":    {client.WithRetry(client.Retry{Tries: 1})},
		"the timeout is -1ns":  {client.WithTimeout(-1)},
		"the silence 0s":       {client.WithSilence(0)},
		"answer is 0 bytes":    {client.WithMaxAnswer(0)},
		"and MaxPause 1s, the": {client.WithRetry(client.Retry{Tries: 1, Pause: 2 * time.Second, MaxPause: time.Second})},
	} {
		if _, err := client.New("http://x", o...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v is no %q", err, want)
		}
	}
}

func TestQuestionIsAskedAgainWhileTheServerCannotAnswer(t *testing.T) {
	for _, status := range []int{429, 502, 503, 504} {
		var tries atomic.Int32
		_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			if tries.Add(1) < 4 {
				w.WriteHeader(status)
				return
			}
			answerJSON(w, emptyList)
		})
		if _, err := c.EventsPage(t.Context(), "acme", client.EventFilter{}, client.Page{}); err != nil || tries.Load() != 4 {
			t.Errorf("%d: %d tries, %v", status, tries.Load(), err)
		}
	}
}

func TestQuestionIsAskedAgainAfterABrokenConnection(t *testing.T) {
	var tries atomic.Int32
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		switch tries.Add(1) {
		case 1:
			panic(http.ErrAbortHandler) // nothing comes
		case 2:
			w.Header().Set("Content-Length", "1000") // and only half of it comes
			answerJSON(w, `{"events":`)
			panic(http.ErrAbortHandler)
		}
		answerJSON(w, emptyList)
	})
	if _, err := c.EventsPage(t.Context(), "acme", client.EventFilter{}, client.Page{}); err != nil || tries.Load() != 3 {
		t.Errorf("%d tries, %v", tries.Load(), err)
	}
}

func TestQuestionThatCannotBeHelpedIsAskedOnce(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 422, 500} {
		var tries atomic.Int32
		_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			tries.Add(1)
			answerProblem(w, status, `{"type":"/problems/x","title":"No","status":1}`)
		})
		_, err := c.Status(t.Context())
		if problem := (*client.Problem)(nil); !errors.As(err, &problem) || problem.Status != status || tries.Load() != 1 {
			t.Errorf("%d: %d tries, %v", status, tries.Load(), err)
		}
	}
}

func TestTimeThatTheServerNamesIsWaited(t *testing.T) {
	var first time.Time
	var waited time.Duration
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		if first.IsZero() {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		waited = time.Since(first)
		answerJSON(w, emptyList)
	})
	if _, err := c.Status(t.Context()); err != nil || waited < time.Second {
		t.Errorf("waited %s: %v", waited, err)
	}
}

func TestTimeThatIsTooLongIsNotWaited(t *testing.T) {
	tries := 0
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		tries++
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		answerProblem(w, http.StatusTooManyRequests, `{"title":"Slow down","detail":"later"}`)
	})
	_, err := c.Status(t.Context())
	var problem *client.Problem
	if !errors.As(err, &problem) || tries != 1 || problem.RetryAfter < 59*time.Minute || !client.IsUnavailable(err) || !errors.Is(err, client.ErrTooMany) {
		t.Errorf("%d tries: %v", tries, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, c = answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "90")
		w.WriteHeader(http.StatusServiceUnavailable)
	}, client.WithRetry(client.Retry{Tries: 2, Pause: 1, MaxPause: time.Hour}))
	if _, err := c.Status(ctx); !errors.Is(err, client.ErrUnavailable) || ctx.Err() != nil {
		t.Errorf("a pause that outlasts the context is waited: %v", err)
	}
}

func TestContextEndsAQuestionAtAnyMoment(t *testing.T) {
	asked := make(chan struct{})
	_, c := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) || client.IsUnavailable(err) {
		t.Errorf("while it waits for an answer: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	_, c = answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		time.AfterFunc(time.Millisecond, cancel)
	}, client.WithRetry(client.Retry{Tries: 9, Pause: time.Hour, MaxPause: time.Hour}))
	if _, err := c.Status(ctx); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("while it waits for the next try: %v", err)
	}
}

func TestAnswerThatDoesNotComeInTimeIsAnErrorAtOnce(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"nothing comes": func(http.ResponseWriter) {},
		"half of it comes": func(w http.ResponseWriter) {
			answerJSON(w, `{"events":`)
			_ = http.NewResponseController(w).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				begin(w)
				<-r.Context().Done()
			}, client.WithTimeout(50*time.Millisecond))
			if _, err := c.Status(t.Context()); !client.IsUnavailable(err) || !strings.Contains(err.Error(), "no answer came in time") || tries.Load() != 1 {
				t.Errorf("%d tries: %v", tries.Load(), err)
			}
		})
	}
}

func TestServerThatIsNotThereIsUnavailableAndNoUserIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	c := asking(t, "http://"+l.Addr().String())
	_, err = c.User(t.Context(), "acme", "ann@example.com", client.MomentFilter{})
	if !client.IsUnavailable(err) || strings.Contains(err.Error(), "ann") || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "GET /users/{username}") {
		t.Errorf("%v", err)
	}
}

func TestTokenGoesToTheHostOfTheBaseURLOnly(t *testing.T) {
	var leaked atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked.Add(1)
		answerJSON(w, emptyList)
	}))
	t.Cleanup(thief.Close)
	var to string
	s, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("the question has %q", r.Header.Get("Authorization"))
		}
		if strings.HasSuffix(r.URL.Path, "/moved") {
			answerJSON(w, emptyList)
			return
		}
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
	})
	// Another port of the same machine, and the same port by another name.
	for _, elsewhere := range []string{thief.URL, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), strings.Replace(s.URL, "http:", "https:", 1)} {
		to = elsewhere + "/api/v1/status"
		_, err := c.Status(t.Context())
		if !errors.Is(err, client.ErrNotAPI) || !strings.Contains(err.Error(), elsewhere) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", elsewhere, err)
		}
	}
	if leaked.Load() != 0 {
		t.Error("another host was asked")
	}
	to = "/api/v1/moved"
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("on the same host: %v", err)
	}
	to = "/api/v1/status"
	if _, err := c.Status(t.Context()); !errors.Is(err, client.ErrNotAPI) {
		t.Errorf("in a circle: %v", err)
	}
}

func TestTokenIsInNoErrorAndInNoPrintedClient(t *testing.T) {
	s, c := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, emptyList) })
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, secret) {
		t.Error("a printed client shows it")
	}
	for _, bad := range []string{secret + "\n", secret + " x", secret + "é", ""} {
		if _, err := asking(t, s.URL, client.WithToken(bad)).Status(t.Context()); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	broken := errors.New("the vault is closed")
	source := client.WithTokenSource(func(context.Context) (string, error) { return "", broken })
	if _, err := asking(t, s.URL, source).Status(t.Context()); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

func TestTLSIsSpokenAsTheCallerSays(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, emptyList) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // who does not trust it is what the test is about
	s.StartTLS()
	t.Cleanup(s.Close)
	if _, err := asking(t, s.URL).Status(t.Context()); !client.IsUnavailable(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	trusting := s.Client().Transport.(*http.Transport).TLSClientConfig
	for _, o := range []client.Option{client.WithTLS(trusting), client.WithHTTPClient(s.Client())} {
		if _, err := asking(t, s.URL, o).Status(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := asking(t, strings.Replace(s.URL, "https:", "http:", 1)).Status(t.Context()); err == nil {
		t.Error("plain HTTP to a TLS port is no error")
	}
}

func TestNamesOfAnyBytesAreEncoded(t *testing.T) {
	var got string
	s, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.RequestURI
		answerJSON(w, `{}`)
	})
	c := asking(t, s.URL+"/below/")
	for name, want := range map[string]string{
		"ann": "ann", ".": "%2E", "..": "%2E%2E", "...": "%2E%2E%2E", "%2F": "%252F", "a/b": "a%2Fb", "../x": "..%2Fx",
		"a b+c": "a%20b+c", "?#": "%3F%23", "é": "%C3%A9", "\xff\x00": "%FF%00", "\u202e": "%E2%80%AE",
	} {
		if _, err := c.User(t.Context(), "acme", name, client.MomentFilter{}); err != nil || got != "/below/api/v1/accounts/acme/users/"+want {
			t.Errorf("%q: %s, %v", name, got, err)
		}
	}
	got = ""
	if _, err := c.User(t.Context(), "acme", "", client.MomentFilter{}); !errors.Is(err, client.ErrEmptyName) || got != "" {
		t.Errorf("the empty name asks %q: %v", got, err)
	}
}

func TestAnswerThatIsNotTheAPIsIsToldAsSuch(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"a page":       func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>sign in</html>") },
		"a broken one": func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, `{"state":`) },
		"another type": func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, `{"state":7}`) },
		"a proxy's 404": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "404 page not found", http.StatusNotFound)
		},
	} {
		_, c := answering(t, handle)
		if _, err := c.Status(t.Context()); !errors.Is(err, client.ErrNotAPI) || client.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, strings.Repeat(" ", 1000)+"{}") }, client.WithMaxAnswer(1000))
	if _, err := c.Status(t.Context()); !errors.Is(err, client.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func TestProblemNamesEachWrongParameter(t *testing.T) {
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		answerProblem(w, 400, `{"type":"/problems/invalid-parameter","title":"Invalid parameter","status":400,"detail":"all of it","request_id":"r-1",
			"errors":[{"parameter":"start","detail":"\"x\" is not a time","allowed":"RFC 3339"},{"parameter":"ip","detail":"is empty","allowed":""}]}`)
	})
	_, err := c.Status(t.Context())
	var problem *client.Problem
	if !errors.As(err, &problem) || !client.IsInvalid(err) || len(problem.Errors) != 2 || problem.RequestID != "r-1" {
		t.Fatalf("%#v", err)
	}
	want := `ask GET /status: Invalid parameter (400): start: "x" is not a time (allowed: RFC 3339); ip: is empty [request r-1]`
	if err.Error() != want {
		t.Errorf("%s", err)
	}
}

func TestEveryKindOfProblemIsRecognised(t *testing.T) {
	for status, is := range map[int]func(error) bool{
		400: client.IsInvalid, 401: client.IsDenied, 403: client.IsDenied, 404: client.IsNotFound, 422: client.IsTooHeavy,
		429: client.IsUnavailable, 502: client.IsUnavailable, 503: client.IsUnavailable, 504: client.IsUnavailable,
	} {
		_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			answerProblem(w, status, `{"type":"/problems/x","detail":"why"}`)
		}, client.WithRetry(client.Retry{Tries: 1, Pause: 1, MaxPause: 1}))
		_, err := c.Status(t.Context())
		all := 0
		for _, other := range []func(error) bool{client.IsInvalid, client.IsDenied, client.IsNotFound, client.IsTooHeavy, client.IsUnavailable} {
			if other(err) {
				all++
			}
		}
		if !is(err) || all != 1 || !strings.Contains(err.Error(), fmt.Sprintf("%s (%d): why", http.StatusText(status), status)) {
			t.Errorf("%d: %v is of %d kinds", status, err, all)
		}
	}
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerProblem(w, 500, `{"broken`) })
	if _, err := c.Status(t.Context()); err == nil || err.Error() != "ask GET /status: Internal Server Error (500)" {
		t.Errorf("a problem that cannot be read: %v", err)
	}
}

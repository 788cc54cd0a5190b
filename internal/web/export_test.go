package web

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/export"
	"github.com/loginaudit/loginaudit/internal/query"
)

// scripted is a store whose exports do what a test wants.
type scripted struct {
	*shapes
	export func(ctx context.Context, each func([]query.Event) error) error
}

func (s scripted) Export(ctx context.Context, _ string, _ query.EventFilter, each func([]query.Event) error) (query.Watermark, error) {
	return someWatermark(), s.export(ctx, each)
}

// exporter serves over a connection what a script exports.
func exporter(t testing.TB, script func(ctx context.Context, each func([]query.Event) error) error) (served, *httptest.Server) {
	t.Helper()
	s := serve(t)
	s.store = scripted{s.shapes, script}
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	return s, server
}

// two hands on two events and ends with err.
func two(err error) func(context.Context, func([]query.Event) error) error {
	return func(_ context.Context, each func([]query.Event) error) error {
		return errors.Join(each([]query.Event{someEvent("e-1"), bareEvent("e-2")}), err)
	}
}

// download is an answer whose body is not read yet. Its trailer is there once the
// body is.
type download struct {
	status  int
	header  http.Header
	body    io.ReadCloser
	trailer *http.Header
}

// ask sends a request.
func (s served) ask(t testing.TB, server *httptest.Server, path string, headers ...string) download {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token.Secret())
	r.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return download{res.StatusCode, res.Header, res.Body, &res.Trailer}
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

func TestExportThatIsWholeSaysSoInItsTrailers(t *testing.T) {
	s, server := exporter(t, two(nil))
	for _, format := range query.ExportFormats() {
		t.Run(string(format), func(t *testing.T) {
			res := s.ask(t, server, acme+"/export?format="+string(format))
			body, err := io.ReadAll(res.body)
			if err != nil || res.status != http.StatusOK {
				t.Fatalf("%d %v", res.status, err)
			}
			var want bytes.Buffer
			e := export.New(format, &want, export.About{Account: "acme", Parameters: map[string][]string{"format": {string(format)}}, At: now})
			if err := errors.Join(e.Write([]query.Event{someEvent("e-1"), bareEvent("e-2")}), e.Close(someWatermark())); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(body, want.Bytes()) {
				t.Errorf("got  %q\nwant %q", body, want.Bytes())
			}
			for name, want := range map[string]string{
				trailerComplete: "true", trailerEvents: "2", trailerDigest: digestOf(body), trailerUnencoded: "",
			} {
				if got := res.trailer.Get(name); got != want {
					t.Errorf("the trailer %s is %q, want %q", name, got, want)
				}
			}
			if got := res.header.Get("Content-Type"); got != export.MediaType(format) {
				t.Errorf("Content-Type: %s", got)
			}
			name := `attachment; filename="loginaudit-acme-20261123T120000Z` + export.Extension(format) + `"`
			if got := res.header.Get("Content-Disposition"); got != name {
				t.Errorf("Content-Disposition: %s", got)
			}
			if got := s.told(t, "loginaudit_web_exports_total")[string(format)+" whole"]; got != 1 {
				t.Errorf("%v whole exports are counted", got)
			}
		})
	}
}

// TestExportThatBreaksIsToldFromAWholeOne reads like curl, which exits with 18 when
// the last chunk does not come.
func TestExportThatBreaksIsToldFromAWholeOne(t *testing.T) {
	const sent = 50_001 // more than a row group of Parquet, which is sent as a whole
	events := make([]query.Event, sent)
	for i := range events {
		events[i] = bareEvent("e")
	}
	s := serve(t)
	s.store = scripted{s.shapes, func(_ context.Context, each func([]query.Event) error) error {
		return errors.Join(each(events), fmt.Errorf("%w: secret", query.ErrUnavailable))
	}}
	server := httptest.NewServer(s.routes()) // without the check of every line, which takes long
	defer server.Close()
	for _, format := range query.ExportFormats() {
		for _, encoding := range []string{"identity", "gzip"} {
			t.Run(string(format)+" "+encoding, func(t *testing.T) {
				res := s.ask(t, server, acme+"/export?format="+string(format), "Accept-Encoding", encoding)
				body, err := io.ReadAll(res.body)
				if !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("reading ends with %v, want an unexpected end", err)
				}
				if res.status != http.StatusOK || len(body) == 0 {
					t.Errorf("%d, %d bytes", res.status, len(body))
				}
				for _, name := range []string{trailerComplete, trailerEvents, trailerDigest, trailerUnencoded} {
					if got := res.trailer.Get(name); got != "" {
						t.Errorf("the trailer %s is %q", name, got)
					}
				}
				if format == query.ExportNDJSON && encoding == "identity" {
					wantConfession(t, res, body, sent)
				}
			})
		}
		if got := s.told(t, "loginaudit_web_exports_total")[string(format)+" broken"]; got != 2 {
			t.Errorf("%v broken exports of %s are counted", got, format)
		}
	}
	if n := s.logs.FilterMessage("export broke off").Len(); n != 8 {
		t.Errorf("%d of 8 broken exports are logged", n)
	}
}

// wantConfession checks the last line of a broken export.
func wantConfession(t *testing.T, res download, body []byte, sent int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	var last struct {
		Export struct {
			Complete *bool
			Events   int
			Error    problem
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	if last.Export.Complete == nil || *last.Export.Complete || last.Export.Events != sent || last.Export.Error.Status != http.StatusServiceUnavailable ||
		last.Export.Error.RequestID != res.header.Get("X-Request-Id") {
		t.Errorf("the last line is %s", lines[len(lines)-1])
	}
	if strings.Contains(string(body), "secret") {
		t.Errorf("the answer tells what happened inside: %s", body)
	}
}

func TestExportThatFailsBeforeTheFirstByteIsAProblem(t *testing.T) {
	for kind, err := range map[*problemKind]error{
		&unavailable: query.ErrUnavailable, &tooHeavy: query.ErrTooHeavy, &internalError: errors.New("boom"),
	} {
		s := serve(t)
		s.store = scripted{s.shapes, func(context.Context, func([]query.Event) error) error { return err }}
		w := s.get(acme + "/export?format=csv&start=2026-11-01&end=2026-11-20")
		wantProblem(t, w, *kind)
		for _, name := range []string{"Trailer", "Content-Disposition", trailerComplete} {
			if got := w.Header().Get(name); got != "" {
				t.Errorf("%s: %s", name, got)
			}
		}
		if got := s.told(t, "loginaudit_web_exports_total")["csv refused"]; got != 1 {
			t.Errorf("%v refused exports are counted", got)
		}
	}
}

func TestExportNamesEveryWrongParameter(t *testing.T) {
	s := serve(t)
	wantProblem(t, s.get(acme+"/export?format=xml&limit=5&cursor=x&status=99&foo=1"), invalidParameter, "foo", "limit", "cursor", "format", "status")
	if s.shapes.asked != nil {
		t.Errorf("the store was asked %v", s.shapes.asked)
	}
}

func TestExportOfNothingIsWhole(t *testing.T) {
	s, server := exporter(t, func(context.Context, func([]query.Event) error) error { return nil })
	for _, format := range query.ExportFormats() {
		for _, encoding := range []string{"identity", "gzip"} {
			res := s.ask(t, server, acme+"/export?format="+string(format), "Accept-Encoding", encoding)
			_, err := io.ReadAll(res.body)
			if err != nil || res.trailer.Get(trailerComplete) != "true" || res.trailer.Get(trailerEvents) != "0" {
				t.Errorf("%s %s: %v %v", format, encoding, err, *res.trailer)
			}
		}
	}
}

// TestExportIsCompressedWhereAskedAndComesAsItIsMade reads the first event before
// the store has the second.
func TestExportIsCompressedWhereAskedAndComesAsItIsMade(t *testing.T) {
	seen := make(chan struct{})
	s, server := exporter(t, func(ctx context.Context, each func([]query.Event) error) error {
		if err := each([]query.Event{someEvent("e-1")}); err != nil {
			return err
		}
		select {
		case <-seen:
		case <-ctx.Done():
			return ctx.Err()
		}
		return each([]query.Event{bareEvent("e-2")})
	})
	res := s.ask(t, server, acme+"/export", "Accept-Encoding", "gzip")
	if res.header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("Content-Encoding: %q", res.header.Get("Content-Encoding"))
	}
	unpacked, err := gzip.NewReader(res.body)
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(unpacked)
	first, err := reader.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	close(seen)
	rest, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	// To the client of net/http, the trailers are there once the body is read.
	if _, err := io.Copy(io.Discard, res.body); err != nil {
		t.Fatal(err)
	}
	if got := res.trailer.Get(trailerUnencoded); got != digestOf(append(first, rest...)) {
		t.Errorf("%s: %q", trailerUnencoded, got)
	}
	if got := res.trailer.Get(trailerDigest); got != "" {
		t.Errorf("%s, which would be that of the compressed bytes, is %q", trailerDigest, got)
	}
}

func TestExportOfHeadAsksNothing(t *testing.T) {
	s := serve(t)
	w := s.send(http.MethodHead, acme+"/export?format=csv")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != export.MediaType(query.ExportCSV) || w.Body.Len() != 0 || s.shapes.asked != nil {
		t.Errorf("%d %v %q, asked %v", w.Code, w.Header(), w.Body, s.shapes.asked)
	}
	if w := s.send(http.MethodHead, acme+"/export?format=xml"); w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
}

// rawly sends the text of a request and is all that comes back until the connection
// ends.
func rawly(t *testing.T, server *httptest.Server, request string) string {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestExportOverHTTP10IsGivenOnlyWhereItsBytesShowItsEnd: there are no chunks and no
// trailers, so a broken answer ends like a whole one.
func TestExportOverHTTP10IsGivenOnlyWhereItsBytesShowItsEnd(t *testing.T) {
	broken := false
	s, server := exporter(t, func(ctx context.Context, each func([]query.Event) error) error {
		if broken {
			return two(query.ErrUnavailable)(ctx, each)
		}
		return two(nil)(ctx, each)
	})
	for _, format := range query.ExportFormats() {
		request := "GET " + acme + "/export?format=" + string(format) + " HTTP/1.0\r\nAuthorization: Bearer " + s.token.Secret() + "\r\n\r\n"
		broken = false
		whole := rawly(t, server, request)
		broken = true
		cut := rawly(t, server, request)
		switch format {
		case query.ExportNDJSON:
			if !strings.Contains(whole, `{"export":{"complete":true,"events":2,`) || strings.Contains(cut, `"complete":true`) {
				t.Errorf("whole %q, cut %q", whole, cut)
			}
		case query.ExportParquet:
			if !strings.HasSuffix(whole, "PAR1") || !strings.HasPrefix(cut, "HTTP/1.0 503 ") { // nothing was sent yet
				t.Errorf("the whole has %d bytes, the cut is %q", len(whole), cut)
			}
		default:
			for _, answer := range []string{whole, cut} {
				if !strings.HasPrefix(answer, "HTTP/1.0 426 ") || !strings.Contains(answer, "\r\nUpgrade: HTTP/1.1\r\n") {
					t.Errorf("%s: %q", format, answer)
				}
			}
		}
	}
}

func TestExportTakesARightOfItsOwn(t *testing.T) {
	s := serve(t)
	s.authenticate = func(*http.Request) (access.Viewer, error) {
		return access.Viewer{Name: "x", Grants: map[string][]access.Right{"acme": {access.SecurityRead}, "mine": {access.SecurityExport}}}, nil
	}
	if p := wantProblem(t, s.get(acme+"/export"), missingRight); !strings.Contains(p.Detail, "security:export") {
		t.Errorf("%q does not name the right", p.Detail)
	}
	if w := s.get("/api/v1/accounts/mine/export"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestExportsAreFewAtATime(t *testing.T) {
	running, end := make(chan struct{}), make(chan struct{})
	s, server := exporter(t, func(ctx context.Context, each func([]query.Event) error) error {
		running <- struct{}{}
		select {
		case <-end:
		case <-ctx.Done():
		}
		return two(nil)(ctx, each)
	})
	ended := make(chan error, maxExports)
	for range maxExports {
		go func() {
			res := s.ask(t, server, acme+"/export")
			_, err := io.ReadAll(res.body)
			ended <- err
		}()
		<-running
	}
	w := s.get(acme + "/export")
	wantProblem(t, w, tooManyExports)
	if w.Header().Get("Retry-After") == "" || w.Header().Get("Trailer") != "" {
		t.Errorf("%v", w.Header())
	}
	close(end)
	for range maxExports {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	// A place is free as soon as an export has ended.
	go func() { <-running }()
	if w := s.get(acme + "/export"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestExportEndsInTheStoreWhenItsReaderGoesAway(t *testing.T) {
	ended := make(chan error, 1)
	s, server := exporter(t, func(ctx context.Context, each func([]query.Event) error) error {
		err := each([]query.Event{someEvent("e-1")})
		if err == nil {
			<-ctx.Done()
			err = ctx.Err()
		}
		ended <- err
		return err
	})
	res := s.ask(t, server, acme+"/export")
	if _, err := bufio.NewReader(res.body).ReadBytes('\n'); err != nil {
		t.Fatal(err)
	}
	_ = res.body.Close()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the store was told %v", err)
	}
}

func TestExportCutsOffAReaderThatTakesNothing(t *testing.T) {
	ended := make(chan error, 1)
	s := serve(t)
	s.exports.stall = 50 * time.Millisecond
	s.store = scripted{s.shapes, func(_ context.Context, each func([]query.Event) error) error {
		for { // far more than the buffers of a connection
			if err := each([]query.Event{someEvent("e-1")}); err != nil {
				ended <- err
				return err
			}
		}
	}}
	server := httptest.NewServer(s.routes()) // without the check, which keeps every byte
	defer server.Close()
	res := s.ask(t, server, acme+"/export")
	if err := <-ended; !errors.Is(err, errReader) {
		t.Errorf("the store was told %v", err)
	}
	if _, err := io.Copy(io.Discard, res.body); err == nil {
		t.Error("the reader was told that the export is whole")
	}
}

// TestExportLastsAsLongAsItTakes: neither the bound of a question nor that on the
// reading of a request ends it.
func TestExportLastsAsLongAsItTakes(t *testing.T) {
	const bound = 20 * time.Millisecond
	s := serve(t)
	s.queryTimeout = bound
	s.store = scripted{s.shapes, func(ctx context.Context, each func([]query.Event) error) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * bound):
			return two(nil)(ctx, each)
		}
	}}
	server := httptest.NewUnstartedServer(s.Handler())
	server.Config.ReadTimeout = bound
	server.Start()
	defer server.Close()
	res := s.ask(t, server, acme+"/export")
	if _, err := io.ReadAll(res.body); err != nil || res.trailer.Get(trailerComplete) != "true" {
		t.Errorf("%d %v %v", res.status, err, *res.trailer)
	}
}

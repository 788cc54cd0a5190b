package client_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/loginaudit/loginaudit/client"
)

const exported = "{\"id\":\"e-1\"}\n{\"id\":\"e-2\"}\n{\"export\":{\"complete\":true,\"events\":2}}\n"

func digestOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return "sha-512=:AAAA:, sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// exporting sends a body and, behind it, trailers.
func exporting(body string, trailers map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		for name, value := range trailers {
			w.Header().Set(http.TrailerPrefix+name, value)
		}
	}
}

func whole(body string) map[string]string {
	return map[string]string{"Loginaudit-Export-Complete": "true", "Loginaudit-Export-Events": "2", "Repr-Digest": digestOf(body)}
}

func export(t testing.TB, c *client.Client, format client.Format) *client.Export {
	t.Helper()
	e, err := c.Export(t.Context(), "acme", client.EventFilter{}, format)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestExportEndsOnlyWhenItIsProvenWhole(t *testing.T) {
	_, c := answering(t, exporting(exported, whole(exported)))
	e := export(t, c, client.NDJSON)
	if err := iotest.TestReader(e, []byte(exported)); err != nil {
		t.Error(err)
	}
	if e.Events() != 2 || e.Bytes() != int64(len(exported)) {
		t.Errorf("%d events in %d bytes", e.Events(), e.Bytes())
	}
}

// Repr-Digest would be that of the compressed bytes, which nobody sees here.
func TestExportIsProvenAlsoWhereItWasCompressed(t *testing.T) {
	for digest, proven := range map[string]bool{"Unencoded-Digest": true, "Repr-Digest": false} {
		_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
				t.Error("no compression is asked for")
			}
			w.Header().Set("Content-Type", "application/x-ndjson")
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			_, _ = io.WriteString(packed, exported)
			_ = packed.Close()
			_ = http.NewResponseController(w).Flush() // in chunks, or there is no place for trailers
			w.Header().Set(http.TrailerPrefix+"Loginaudit-Export-Complete", "true")
			w.Header().Set(http.TrailerPrefix+"Loginaudit-Export-Events", "2")
			w.Header().Set(http.TrailerPrefix+digest, digestOf(exported))
		})
		if text, err := io.ReadAll(export(t, c, client.NDJSON)); (err == nil) != proven || string(text) != exported {
			t.Errorf("%s: %q, %v", digest, text, err)
		}
	}
}

func TestExportWithoutProofIsIncomplete(t *testing.T) {
	without := func(name, value string) map[string]string {
		trailers := whole(exported)
		if trailers[name] = value; value == "" {
			delete(trailers, name)
		}
		return trailers
	}
	for want, handle := range map[string]http.HandlerFunc{
		"has not confirmed its end":          exporting(exported, nil),
		"has not confirmed its end (a proxy": exporting(exported, without("Loginaudit-Export-Complete", "false")),
		"has not told the number of events":  exporting(exported, without("Loginaudit-Export-Events", "two")),
		"has not told its SHA-256":           exporting(exported, without("Repr-Digest", "sha-256=:AAAA:, sha-256=x, md5=:AAAA:")),
		"is not the one":                     exporting(exported, without("Repr-Digest", digestOf(exported+" "))),
		"it broke off after 26 bytes: read GET /export: unexpected EOF": func(w http.ResponseWriter, r *http.Request) {
			exporting(exported[:26], nil)(w, r)
			panic(http.ErrAbortHandler)
		},
		"it broke off after 160 bytes: Unavailable (503): the store is gone [request r-7]": func(w http.ResponseWriter, r *http.Request) {
			exporting(exported[:26]+`{"export":{"complete":false,"events":2,"error":{"title":"Unavailable","status":503,"detail":"the store is gone","request_id":"r-7"}}}`+"\n", nil)(w, r)
			panic(http.ErrAbortHandler)
		},
	} {
		_, c := answering(t, handle)
		e := export(t, c, client.NDJSON)
		_, err := io.Copy(io.Discard, e)
		var incomplete *client.IncompleteError
		if !errors.Is(err, client.ErrIncomplete) || !errors.As(err, &incomplete) || !strings.Contains(err.Error(), want) || e.Events() != 0 {
			t.Errorf("%v is no %q", err, want)
		}
		if _, again := e.Read(make([]byte, 1)); !errors.Is(again, err) {
			t.Errorf("read again: %v", again)
		}
	}
}

func TestExportThatFallsSilentIsIncomplete(t *testing.T) {
	_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		exporting(exported[:13], nil)(w, r)
		<-r.Context().Done()
	}, client.WithSilence(50*time.Millisecond))
	if text, err := io.ReadAll(export(t, c, client.NDJSON)); string(text) != exported[:13] || !errors.Is(err, client.ErrIncomplete) || !strings.Contains(err.Error(), "nothing for too long") {
		t.Errorf("%q, %v", text, err)
	}
}

// Such a bound is meant for answers that come at once.
func TestExportMayTakeLongerThanTheCallersHTTPClientAllows(t *testing.T) {
	more := make(chan struct{})
	_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		exporting(exported[:13], nil)(w, r)
		<-more
		exporting(exported[13:], whole(exported))(w, r)
	}, client.WithHTTPClient(&http.Client{Timeout: 50 * time.Millisecond}))
	e := export(t, c, client.NDJSON)
	silence(t, 60*time.Millisecond)
	close(more)
	if text, err := io.ReadAll(e); string(text) != exported || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}

func TestExportEndsWithItsContextAndWhenItIsClosed(t *testing.T) {
	handle := func(w http.ResponseWriter, r *http.Request) {
		exporting(exported[:13], nil)(w, r)
		<-r.Context().Done()
	}
	_, c := answering(t, handle)
	ctx, cancel := context.WithCancel(t.Context())
	e, err := c.Export(ctx, "acme", client.EventFilter{}, client.NDJSON)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := io.ReadFull(e, make([]byte, 13)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := e.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) || !errors.Is(err, client.ErrIncomplete) {
		t.Errorf("cancelled: %v", err)
	}
	e = export(t, c, client.NDJSON)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if _, err := e.Read(make([]byte, 1)); !errors.Is(err, client.ErrIncomplete) {
		t.Errorf("closed: %v", err)
	}
}

func TestExportAsksForItsFormatAndAgainUntilItBegins(t *testing.T) {
	types := map[client.Format]string{
		client.NDJSON: "application/x-ndjson", client.OCSF: "application/x-ndjson", client.CSV: "text/csv; charset=utf-8; header=present",
		client.Parquet: "application/vnd.apache.parquet",
	}
	for _, format := range client.Formats() {
		tries, body := 0, "text of "+string(format)
		_, c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if tries++; tries == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if r.RequestURI != "/api/v1/accounts/acme/export?format="+string(format) {
				t.Errorf("%s is asked for", r.RequestURI)
			}
			w.Header().Set("Content-Type", types[format])
			w.Header().Set("Trailer", "Repr-Digest")
			_, _ = io.WriteString(w, body)
			for name, value := range whole(body) {
				w.Header().Set(http.TrailerPrefix+name, value)
			}
			w.Header().Set("Repr-Digest", digestOf(body))
		})
		if text, err := io.ReadAll(export(t, c, format)); err != nil || !bytes.Equal(text, []byte(body)) {
			t.Errorf("%s: %q, %v", format, text, err)
		}
	}
	_, c := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerProblem(w, 400, `{"title":"Invalid"}`) })
	if _, err := c.Export(t.Context(), "acme", client.EventFilter{}, "xml"); err == nil || !strings.Contains(err.Error(), `"xml" is no format`) {
		t.Error(err)
	}
	if _, err := c.Export(t.Context(), "acme", client.EventFilter{}, "csv"); !client.IsInvalid(err) {
		t.Error(err)
	}
	_, c = answering(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, client.WithTimeout(50*time.Millisecond))
	if _, err := c.Export(t.Context(), "acme", client.EventFilter{}, "csv"); !client.IsUnavailable(err) {
		t.Errorf("a beginning that does not come: %v", err)
	}
}

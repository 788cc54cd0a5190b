package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/loginaudit/loginaudit/internal/export"
	"github.com/loginaudit/loginaudit/internal/query"
)

// exports is what all exports share.
type exports struct {
	// places has room for as many as may run at a time.
	places chan struct{}
	// stall is how long who exports may take no byte; then the connection is cut.
	stall time.Duration
}

const (
	// maxExports bounds the exports at a time. Each holds a few blocks of rows, and
	// a statement of the store.
	maxExports   = 4
	defaultStall = time.Minute
	// exportRetryAfter is when a place may be free again, in seconds.
	exportRetryAfter = "15"
)

func newExports() exports {
	return exports{places: make(chan struct{}, maxExports), stall: defaultStall}
}

// The trailers of an export that is whole; one that broke has none.
const (
	trailerComplete = "Loginaudit-Export-Complete"
	trailerEvents   = "Loginaudit-Export-Events"
	// trailerDigest is of the bytes of the answer (RFC 9530). Where they are
	// compressed, trailerUnencoded is of those before (the field of
	// draft-ietf-httpbis-unencoded-digest).
	trailerDigest    = "Repr-Digest"
	trailerUnencoded = "Unencoded-Digest"
)

// export answers with every event that matches, in one stream that lasts as long as
// it takes. What fails before the first byte is a problem like any other. What fails
// later breaks the connection, so that nobody takes the beginning for the whole.
func (s *Server) export(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	ask, err := query.ParseExport(q.values, q.asked)
	if err != nil {
		return err
	}
	if !r.ProtoAtLeast(1, 1) && !export.ProvesItself(ask.Format) {
		w.Header().Set("Upgrade", "HTTP/1.1")
		return upgradeRequired.because("format=" + string(ask.Format) +
			" takes HTTP/1.1 or newer: over HTTP/1.0 a broken export would look like a whole one; format=ndjson shows its end by itself")
	}
	e := &exporting{server: s, w: w, r: r, connection: http.NewResponseController(w), sum: sha256.New()}
	e.name(q, ask.Format)
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	select {
	case s.exports.places <- struct{}{}:
		defer func() { <-s.exports.places }()
	default:
		s.metrics.exported(ask.Format, exportRefused, 0)
		w.Header().Set("Retry-After", exportRetryAfter)
		return e.refused(tooManyExports.because(fmt.Sprintf("%d exports are running, as many as there may be; try again later", maxExports)))
	}
	e.encoder = export.New(ask.Format, e, export.About{
		Account: q.account(), Parameters: q.values, At: q.asked.Now, Version: s.version,
	})
	mark, err := s.store.Export(r.Context(), q.account(), ask.Filter, e.events)
	if err == nil {
		err = e.end(mark)
	}
	switch {
	case err == nil:
		s.metrics.exported(ask.Format, exportWhole, e.encoder.Events())
		return nil
	case e.begun:
		s.metrics.exported(ask.Format, exportBroken, e.encoder.Events())
		e.breakOff(err)
	}
	s.metrics.exported(ask.Format, exportRefused, 0)
	asking := query.Asking{Range: ask.Filter.Range, Order: ask.Filter.Order}
	return e.refused(q.orNarrower(r, fmt.Errorf("export events: %w", err), asking))
}

// exporting is an answer while it is sent. It is the io.Writer of its encoder.
type exporting struct {
	server     *Server
	w          http.ResponseWriter
	r          *http.Request
	connection *http.ResponseController
	encoder    export.Encoder
	sum        hash.Hash // of what was written, before any compression
	begun      bool
	flushed    time.Time
}

// name sets the headers.
func (e *exporting) name(q question, format query.ExportFormat) {
	h := e.w.Header()
	h.Set("Content-Type", export.MediaType(format))
	h.Set("Content-Disposition", fmt.Sprintf(`attachment; filename="loginaudit-%s-%s%s"`, // the account's name needs no escape
		q.account(), q.asked.Now.UTC().Format("20060102T150405Z"), export.Extension(format)))
	h.Set("Trailer", strings.Join([]string{trailerComplete, trailerEvents, trailerDigest, trailerUnencoded}, ", "))
}

// refused is err, for an answer that is a problem and not an export.
func (e *exporting) refused(err error) error {
	e.w.Header().Del("Content-Disposition")
	e.w.Header().Del("Trailer")
	return err
}

// flushAfter is how long events may wait here for others to be sent with.
const flushAfter = time.Second

// errReader is the end of an export whose reader is gone, or has taken nothing for
// too long.
var errReader = errors.New("the reader takes nothing")

// events sends events.
func (e *exporting) events(events []query.Event) error {
	if err := e.encoder.Write(events); err != nil {
		return err
	}
	now := time.Now()
	// Before the first byte a flush would send a status that is not known yet.
	if !e.begun || now.Sub(e.flushed) < flushAfter {
		return nil
	}
	e.flushed = now
	if err := e.connection.Flush(); err != nil {
		return fmt.Errorf("flush export: %w: %w", errReader, err)
	}
	return nil
}

// Write sends what the encoder writes.
func (e *exporting) Write(b []byte) (int, error) {
	e.begun = true
	e.granted()
	n, err := e.w.Write(b)
	e.sum.Write(b[:n])
	if err != nil {
		return n, fmt.Errorf("send export: %w: %w", errReader, err)
	}
	return n, nil
}

// granted gives who reads time for what is sent next.
func (e *exporting) granted() {
	// Fails only where there is no connection: in tests.
	_ = e.connection.SetWriteDeadline(time.Now().Add(e.server.exports.stall))
}

// end sends the end of an export that is whole, and the trailers.
func (e *exporting) end(mark query.Watermark) error {
	if err := e.encoder.Close(mark); err != nil {
		return err
	}
	if !e.begun { // nothing matches, and the format has neither head nor end
		e.w.WriteHeader(http.StatusOK)
	}
	e.granted()
	h := e.w.Header()
	h.Set(trailerComplete, "true")
	h.Set(trailerEvents, strconv.FormatUint(e.encoder.Events(), 10))
	digest := trailerDigest
	if h.Get("Content-Encoding") != "" {
		digest = trailerUnencoded
	}
	h.Set(digest, "sha-256=:"+base64.StdEncoding.EncodeToString(e.sum.Sum(nil))+":")
	return nil
}

// breakOff ends an export that failed: by the reason, where the format has a place
// for it, and without the end of the answer, which every client notices.
func (e *exporting) breakOff(err error) {
	f := describe(e.r, err)
	if errors.Is(err, errReader) {
		f = gone.because(gone.detail)
	}
	e.server.log.Warn("export broke off", zap.String("request_id", requestIDOf(e.r)), zap.String("problem", f.slug),
		zap.Uint64("events", e.encoder.Events()), zap.Error(err))
	if f.slug != gone.slug && e.encoder.Break(e.problem(f)) == nil {
		_ = e.connection.Flush() // or the reason would stay here
	}
	panic(http.ErrAbortHandler)
}

// problem is the failure as a problem of the API.
func (e *exporting) problem(f failure) json.RawMessage {
	body, err := encodeJSON(newProblem(e.r, f))
	if err != nil {
		return nil
	}
	return bytes.TrimSpace(body)
}

package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/query"
)

// A tag (RFC 9110, section 8.8.3) names an answer by everything that it depends
// on: the question, the rights of who asks, what is stored, and this program. An
// answer that also depends on when it was asked for has none: the state of
// sessions now, a range that is relative to now. It is weak: the watermark's time
// goes on while nothing arrives, and the cursor of the next page holds the moment
// of the first.
//
// Rows that a worker has inserted and not told of yet may be in an answer before
// the tag changes, for as long as a report takes (a second); a 304 says that the
// answer at hand is as complete as its watermark says, and that there is no other
// watermark yet.

// tagLifetime bounds how long a tag may stand for what changed without any event:
// projections that were mended, a time to live.
const tagLifetime = time.Hour

// cacheRevalidated lets who asked keep an answer and ask whether it still holds.
const cacheRevalidated = "private, no-cache"

// tag is the tag of the answer to q with a watermark; "" where it has none.
func (s *Server) tag(r *http.Request, q question, mark query.Watermark) string {
	if q.moving == nil || *q.moving || mark.Stand == "" {
		return ""
	}
	h := sha256.New()
	write(h, s.version, mark.Stand, fmt.Sprint(mark.StreamSeq, mark.GapsTotal), fmt.Sprint(q.asked.Now.UnixNano()/int64(tagLifetime)))
	writeViewer(h, viewerOf(r), q.account())
	write(h, r.URL.EscapedPath())
	writeValues(h, q.values)
	return weakTag(h)
}

func weakTag(h hash.Hash) string {
	return `W/"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16]) + `"`
}

// write writes texts so that two different lists never give the same bytes.
func write(h hash.Hash, texts ...string) {
	var n [8]byte
	for _, text := range texts {
		binary.BigEndian.PutUint64(n[:], uint64(len(text)))
		h.Write(n[:])
		_, _ = io.WriteString(h, text) // a hash never fails
	}
}

// writeViewer writes who asks, and what that viewer may do with the account.
func writeViewer(h hash.Hash, v access.Viewer, account string) {
	write(h, v.Name)
	for _, right := range access.Rights() {
		write(h, fmt.Sprint(right, v.Can(right, account)))
	}
}

// writeValues writes parameters: neither their order matters nor that of the
// values of one.
func writeValues(h hash.Hash, values url.Values) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		write(h, append([]string{name, fmt.Sprint(len(values[name]))}, slices.Sorted(slices.Values(values[name]))...)...)
	}
}

// unchanged answers a question with 304 where the asker has the answer already.
// Only the watermark is asked for.
func (s *Server) unchanged(w http.ResponseWriter, r *http.Request, q question) (answered bool, err error) {
	if r.Header.Get("If-None-Match") == "" || *q.moving {
		return false, nil
	}
	mark, err := s.store.Watermark(r.Context())
	if err != nil {
		return false, fmt.Errorf("ask watermark: %w", err)
	}
	tag := s.tag(r, q, mark)
	if !holds(r, tag) {
		return false, nil
	}
	at := ""
	if mark.Time != nil {
		at = mark.Time.String()
	}
	w.Header().Set("Loginaudit-Watermark", fmt.Sprintf(`stream_seq=%d, time=%q, lag_ms=%d`, mark.StreamSeq, at, mark.LagMS))
	notModified(w, tag, cacheRevalidated)
	return true, nil
}

// holds tells whether the request has the tag among those in If-None-Match. They
// are compared weakly (RFC 9110, section 13.1.2).
func holds(r *http.Request, tag string) bool {
	if tag == "" {
		return false
	}
	for _, line := range r.Header.Values("If-None-Match") {
		for _, one := range strings.Split(line, ",") { // our tags have no comma
			if strings.TrimSpace(one) == tag || "W/"+strings.TrimSpace(one) == tag {
				return true
			}
		}
	}
	return false
}

func notModified(w http.ResponseWriter, tag, cache string) {
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", cache)
	w.WriteHeader(http.StatusNotModified)
}

// writeFixed writes what changes with the program only.
func writeFixed(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	h := sha256.New()
	h.Write(body)
	tag := weakTag(h)
	if holds(r, tag) {
		notModified(w, tag, cacheRevalidated)
		return
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", cacheRevalidated)
	writeBody(w, http.StatusOK, contentType, body)
}

// reply is an answer to a question about an account.
type reply struct {
	body any
	mark query.Watermark
	// next is the cursor of the next page; nil where there is none.
	next *string
}

// reply writes an answer with its tag and the link to the next page.
func (s *Server) reply(w http.ResponseWriter, r *http.Request, q question, a reply) error {
	body, err := encodeJSON(a.body)
	if err != nil {
		return err
	}
	if tag := s.tag(r, q, a.mark); tag != "" {
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", cacheRevalidated)
	}
	if a.next != nil {
		w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, q.address(r, "cursor", *a.next)))
	}
	writeBody(w, http.StatusOK, jsonType, body)
	return nil
}

// address is that of the question, relative to this service, with some of its
// parameters changed; an empty value takes one away. Nothing in it needs to be
// quoted in a header.
func (q question) address(r *http.Request, changes ...string) string {
	values := maps.Clone(q.values)
	for i := 0; i+1 < len(changes); i += 2 {
		values.Del(changes[i])
		if changes[i+1] != "" {
			values.Set(changes[i], changes[i+1])
		}
	}
	return r.URL.EscapedPath() + "?" + values.Encode()
}

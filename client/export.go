package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
)

// Format is the form of an export.
type Format string

// The formats.
const (
	// NDJSON is one event a line as in lists; the last line tells that it is whole.
	NDJSON Format = "ndjson"
	// CSV is RFC 4180 with a header; texts that a spreadsheet would take for a
	// formula have a ' in front.
	CSV     Format = "csv"
	Parquet Format = "parquet"
	// OCSF is one event a line in the Open Cybersecurity Schema Framework:
	// Authentication (3002), Account Change (3001).
	OCSF Format = "ocsf"
)

// Formats lists them.
func Formats() []Format { return []Format{NDJSON, CSV, Parquet, OCSF} }

// contentType is what a server answers for the format; empty where it is no format.
func (f Format) contentType() string {
	switch f {
	case NDJSON, OCSF:
		return "application/x-ndjson"
	case CSV:
		return "text/csv"
	case Parquet:
		return "application/vnd.apache.parquet"
	}
	return ""
}

// IncompleteError tells that an export broke off, or was not proven whole.
type IncompleteError struct {
	// Reason says what is missing.
	Reason string
	// Cause is what broke the connection, or a [*Problem] that the server wrote at
	// the end of what it sent; nil where neither is known.
	Cause error
}

// Error tells that the export is not whole, and why.
func (e *IncompleteError) Error() string {
	text := ErrIncomplete.Error() + ": " + e.Reason
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap gives [ErrIncomplete] and the cause.
func (e *IncompleteError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrIncomplete}
	}
	return []error{ErrIncomplete, e.Cause}
}

// Export is the bytes of an export while they come. Reading ends with io.EOF only
// when all of them have come and the server has confirmed their number and their
// SHA-256; otherwise with an [*IncompleteError]. What was read until then is not
// to be trusted. It is for one goroutine.
type Export struct {
	from   *streamed
	format Format
	sum    hash.Hash
	// last is the end of what was read: a server that breaks off writes there why.
	last   []byte
	events uint64
	bytes  int64
	err    error // how it ended; io.EOF: whole
}

// Export asks for all events of a filter, without a limit, in a format. Until the
// first byte it is asked again like every question; then a break ends it. The
// caller closes it.
func (c *Client) Export(ctx context.Context, account string, f EventFilter, format Format) (*Export, error) {
	q := aboutAccount("GET /export", account, "export")
	q.accept = format.contentType()
	if q.accept == "" {
		return nil, fmt.Errorf("ask %s: %q is no format; use ndjson, csv, parquet or ocsf", q.what, string(format))
	}
	q.values = f.values()
	q.values.Set("format", string(format))
	e := &Export{format: format, sum: sha256.New()}
	err := c.retried(ctx, func() (err error) {
		e.from, err = c.open(ctx, q)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// Events is how many events a whole export has; 0 until io.EOF.
func (e *Export) Events() uint64 { return e.events }

// Bytes is how many bytes have come so far.
func (e *Export) Bytes() int64 { return e.bytes }

// keepLast is more than a problem takes.
const keepLast = 16 << 10

// Read gives what has come.
func (e *Export) Read(p []byte) (int, error) {
	if e.err != nil || len(p) == 0 {
		return 0, e.err
	}
	n, err := e.from.Read(p)
	e.sum.Write(p[:n])
	e.bytes += int64(n)
	e.last = append(e.last, p[max(0, n-keepLast):n]...)
	e.last = e.last[max(0, len(e.last)-keepLast):]
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		e.err = e.proven()
	default:
		reason := fmt.Sprintf("it broke off after %d bytes", e.bytes)
		if problem := e.confession(); problem != nil {
			err = problem
		}
		e.err = &IncompleteError{reason, err}
	}
	return n, e.err
}

// Close ends the export. An export that was not read to its end is not whole, and
// Close says nothing about that.
func (e *Export) Close() error {
	e.from.close()
	if e.err == nil {
		e.err = &IncompleteError{"it was closed before its end", nil}
	}
	return nil
}

// proven is io.EOF where the trailers prove that the export is whole.
func (e *Export) proven() error {
	trailer := e.from.Trailer
	if trailer.Get("Loginaudit-Export-Complete") != "true" {
		return &IncompleteError{Reason: "the server has not confirmed its end (a proxy that drops HTTP trailers does the same)"}
	}
	events, err := strconv.ParseUint(trailer.Get("Loginaudit-Export-Events"), 10, 64)
	if err != nil {
		return &IncompleteError{"the server has not told the number of events", err}
	}
	digest := trailer.Get("Repr-Digest")
	if e.from.Uncompressed { // on the way it was compressed, and that is what Repr-Digest is of
		digest = trailer.Get("Unencoded-Digest")
	}
	sum := sha256Of(digest)
	if sum == nil {
		return &IncompleteError{Reason: "the server has not told its SHA-256"}
	}
	if !bytes.Equal(sum, e.sum.Sum(nil)) {
		return &IncompleteError{Reason: "its SHA-256 is not the one that the server has told"}
	}
	e.events = events
	return io.EOF
}

// sha256Of reads a field like Repr-Digest (RFC 9530): a dictionary of digests.
func sha256Of(field string) []byte {
	for digest := range strings.SplitSeq(field, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(digest), "=")
		if name != "sha-256" || len(value) < 2 || value[0] != ':' || value[len(value)-1] != ':' {
			continue
		}
		if sum, err := base64.StdEncoding.DecodeString(value[1 : len(value)-1]); err == nil && len(sum) == sha256.Size {
			return sum
		}
	}
	return nil
}

// confession is the problem in the last line of an export that broke off; nil where
// there is none.
func (e *Export) confession() *Problem {
	if e.format == CSV || e.format == Parquet {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(e.last)), "\n")
	var line struct {
		Export struct {
			Complete bool     `json:"complete"`
			Error    *Problem `json:"error"`
		} `json:"export"`
	}
	_ = json.Unmarshal([]byte(lines[len(lines)-1]), &line) // half a line tells nothing
	if line.Export.Complete {
		return nil
	}
	return line.Export.Error
}

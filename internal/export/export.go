// Package export writes events in the formats in which they are taken away:
// NDJSON, CSV, Parquet and OCSF. An encoder holds a bounded number of events in
// memory and writes to an io.Writer; it knows neither where they come from nor
// who reads them.
package export

import (
	"encoding/json"
	"io"
	"net/url"
	"time"

	"github.com/loginaudit/loginaudit/internal/query"
)

// About is what an export tells of itself, where its format has a place for it.
type About struct {
	Account string
	// Parameters are the filter as it was asked for.
	Parameters url.Values
	// At is the moment that "now" means in the parameters.
	At time.Time
	// Version is this program's.
	Version string
}

// Encoder writes one export: Write any number of times, then Close or Break. After
// an error it is of no more use. It is for one goroutine.
type Encoder interface {
	// Write adds events. It keeps nothing of them.
	Write(events []query.Event) error
	// Close writes the end of an export that is whole as of a watermark.
	Close(mark query.Watermark) error
	// Break writes the end of an export that failed, with the problem as the API
	// tells it, where the format has a place for that; else nothing.
	Break(problem json.RawMessage) error
	// Events is how many were written.
	Events() uint64
}

// New makes the encoder of a format.
func New(format query.ExportFormat, w io.Writer, about About) Encoder {
	switch format {
	case query.ExportCSV:
		return newCSV(w)
	case query.ExportParquet:
		return newParquet(w, about)
	case query.ExportOCSF:
		return newOCSF(w, about)
	default:
		return newNDJSON(w)
	}
}

// MediaType is the Content-Type of a format.
func MediaType(format query.ExportFormat) string {
	switch format {
	case query.ExportCSV:
		return "text/csv; charset=utf-8; header=present" // RFC 4180 §3
	case query.ExportParquet:
		return "application/vnd.apache.parquet"
	default:
		return "application/x-ndjson"
	}
}

// Extension is what the name of a file of a format ends with.
func Extension(format query.ExportFormat) string {
	switch format {
	case query.ExportOCSF:
		return ".ocsf.ndjson"
	default:
		return "." + string(format)
	}
}

// ProvesItself tells whether the bytes alone show that an export of the format is
// whole: NDJSON by its last line, Parquet by its footer.
func ProvesItself(format query.ExportFormat) bool {
	return format == query.ExportNDJSON || format == query.ExportParquet
}

// lines gathers lines and writes many at once.
type lines struct {
	w      io.Writer
	buf    []byte
	events uint64
}

// writeFrom is the size from which gathered lines are written.
const writeFrom = 128 << 10

// full writes the lines when there are enough of them.
func (l *lines) full() error {
	if len(l.buf) < writeFrom {
		return nil
	}
	return l.flush()
}

func (l *lines) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

// Events implements Encoder.
func (l *lines) Events() uint64 { return l.events }

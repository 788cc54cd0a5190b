package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/loginaudit/loginaudit/internal/query"
)

// ndjson writes each event as the lists of the API have it, byte for byte, and
// one more line at the end:
//
//	{"export":{"complete":true,"events":2,"watermark":{…}}}
//
// An export that failed ends with the line
//
//	{"export":{"complete":false,"events":2,"error":{…}}}
//
// if it still can; one without either is not whole.
type ndjson struct {
	lines
	attributes []string // names to sort; kept for its memory
}

func newNDJSON(w io.Writer) *ndjson { return &ndjson{lines: lines{w: w}} }

// Write implements Encoder.
func (e *ndjson) Write(events []query.Event) error {
	for i := range events {
		e.buf = append(e.appendEvent(e.buf, &events[i]), '\n')
		if err := e.full(); err != nil {
			return err
		}
	}
	e.events += uint64(len(events))
	return e.flush()
}

// appendEvent appends an event as encoding/json writes query.Event.
func (e *ndjson) appendEvent(b []byte, v *query.Event) []byte {
	b = appendText(append(b, `{"id":`...), v.ID)
	b = appendText(append(b, `,"account":`...), v.Account)
	b = appendText(append(b, `,"username":`...), v.Username)
	b = appendMoment(append(b, `,"occurred_at":`...), v.OccurredAt)
	b = appendNumber(append(b, `,"entry":`...), v.Entry)
	b = appendText(append(b, `,"entry_name":`...), v.EntryName)
	b = appendNumber(append(b, `,"status":`...), v.Status)
	b = appendText(append(b, `,"status_name":`...), v.StatusName)
	b = appendText(append(b, `,"kind":`...), v.Kind)
	b = appendText(append(b, `,"outcome":`...), v.Outcome)
	b = appendOptional(append(b, `,"session_id":`...), v.SessionID)
	b = appendOptional(append(b, `,"ip":`...), v.IP)
	b = appendOptional(append(b, `,"user_agent":`...), v.UserAgent)
	b = appendOptional(append(b, `,"service":`...), v.Service)
	b = appendOptional(append(b, `,"mfa_method":`...), v.MFAMethod)
	b = appendOptional(append(b, `,"device_id":`...), v.DeviceID)
	b = appendOptional(append(b, `,"request_id":`...), v.RequestID)
	b = appendOptional(append(b, `,"reason":`...), v.Reason)
	b = e.appendAttributes(append(b, `,"attributes":`...), v.Attributes)
	b = appendMoment(append(b, `,"received_at":`...), v.ReceivedAt)
	b = appendMoment(append(b, `,"ingested_at":`...), v.IngestedAt)
	b = appendNumber(append(b, `,"stream_seq":`...), v.StreamSeq)
	return append(appendBool(append(b, `,"conflict":`...), v.Conflict), '}')
}

func (e *ndjson) appendAttributes(b []byte, attributes map[string]string) []byte {
	b, e.attributes = appendPairs(b, attributes, e.attributes)
	return b
}

// end is the last line.
type end struct {
	Complete  bool             `json:"complete"`
	Events    uint64           `json:"events"`
	Watermark *query.Watermark `json:"watermark,omitempty"`
	Error     json.RawMessage  `json:"error,omitempty"`
}

// Close implements Encoder.
func (e *ndjson) Close(mark query.Watermark) error {
	return e.end(end{Complete: true, Events: e.events, Watermark: &mark})
}

// Break implements Encoder.
func (e *ndjson) Break(problem json.RawMessage) error {
	return e.end(end{Events: e.events, Error: problem})
}

func (e *ndjson) end(line end) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(map[string]end{"export": line}); err != nil {
		return fmt.Errorf("encode last line: %w", err)
	}
	e.buf = append(e.buf, text.Bytes()...)
	return e.flush()
}

package export

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/loginaudit/loginaudit/internal/query"
)

// csvHeader are the columns: the names of the contract in the order of the lists.
const csvHeader = "id,account,username,occurred_at,entry,entry_name,status,status_name,kind,outcome,session_id,ip,user_agent," +
	"service,mfa_method,device_id,request_id,reason,attributes,received_at,ingested_at,stream_seq,conflict\r\n"

// csv writes RFC 4180: a header, then a record for each event, each ended by CRLF.
// What is absent is an empty cell; attributes are the JSON of the lists.
//
// A spreadsheet takes a cell that begins with = + - @ and some others for a
// formula, quoted or not, and the texts of an event are anyone's (CWE-1236, OWASP
// CSV injection). Such a text gets an apostrophe in front; so does one that begins
// with an apostrophe, so that reading is simple: take one leading apostrophe away
// from every cell that has one.
type csv struct {
	lines
	begun      bool
	text       []byte
	attributes []string
}

func newCSV(w io.Writer) *csv { return &csv{lines: lines{w: w}} }

// Write implements Encoder.
func (e *csv) Write(events []query.Event) error {
	e.begin()
	for i := range events {
		e.buf = e.appendEvent(e.buf, &events[i])
		if err := e.full(); err != nil {
			return err
		}
	}
	e.events += uint64(len(events))
	return e.flush()
}

func (e *csv) begin() {
	if !e.begun {
		e.buf, e.begun = append(e.buf, csvHeader...), true
	}
}

func (e *csv) appendEvent(b []byte, v *query.Event) []byte {
	b = appendCell(b, v.ID)
	b = appendCell(append(b, ','), v.Account)
	b = appendCell(append(b, ','), v.Username)
	b = appendTime(append(b, ','), v.OccurredAt)
	b = appendNumber(append(b, ','), v.Entry)
	b = appendCell(append(b, ','), v.EntryName)
	b = appendNumber(append(b, ','), v.Status)
	b = appendCell(append(b, ','), v.StatusName)
	b = appendCell(append(b, ','), v.Kind)
	b = appendCell(append(b, ','), v.Outcome)
	b = appendOptionalCell(append(b, ','), v.SessionID)
	b = appendOptionalCell(append(b, ','), v.IP)
	b = appendOptionalCell(append(b, ','), v.UserAgent)
	b = appendOptionalCell(append(b, ','), v.Service)
	b = appendOptionalCell(append(b, ','), v.MFAMethod)
	b = appendOptionalCell(append(b, ','), v.DeviceID)
	b = appendOptionalCell(append(b, ','), v.RequestID)
	b = appendOptionalCell(append(b, ','), v.Reason)
	b = append(b, ',')
	if v.Attributes != nil {
		e.text, e.attributes = appendPairs(e.text[:0], v.Attributes, e.attributes)
		b = appendCell(b, string(e.text))
	}
	b = appendTime(append(b, ','), v.ReceivedAt)
	b = appendTime(append(b, ','), v.IngestedAt)
	b = appendNumber(append(b, ','), v.StreamSeq)
	b = strconv.AppendBool(append(b, ','), v.Conflict)
	return append(b, "\r\n"...)
}

// Close implements Encoder. The format has no place for a proof.
func (e *csv) Close(query.Watermark) error {
	e.begin()
	return e.flush()
}

// Break implements Encoder. The format has no place for an error.
func (e *csv) Break(json.RawMessage) error { return nil }

func appendOptionalCell[S ~string](b []byte, text *S) []byte {
	if text == nil {
		return b
	}
	return appendCell(b, *text)
}

// appendCell appends a text as one cell.
func appendCell[S ~string](b []byte, text S) []byte {
	s := string(text)
	guard := guarded(s)
	if !strings.ContainsAny(s, "\",\r\n") && !edged(s) {
		if guard {
			b = append(b, '\'')
		}
		return append(b, s...)
	}
	b = append(b, '"')
	if guard {
		b = append(b, '\'')
	}
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return append(append(b, s...), '"')
		}
		b = append(append(b, s[:i]...), `""`...)
		s = s[i+1:]
	}
}

// edged tells whether a text begins or ends with a space, which some readers take
// away from a cell without quotes.
func edged(s string) bool { return s != "" && (s[0] == ' ' || s[len(s)-1] == ' ') }

// guarded tells whether a text gets an apostrophe in front: where it begins, maybe
// behind blanks that a spreadsheet skips, with what begins a formula.
func guarded(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' || s[0] >= 'A' && s[0] <= 'Z' || s[0] >= 'a' && s[0] <= 'z' {
		return false
	}
	if s[0] == '\'' {
		return true
	}
	for _, r := range s {
		switch r {
		case '=', '+', '-', '@', '\t', '\r', '\n', 0,
			'＝', '＋', '－', '＠': // spreadsheets of East Asia take them for the others
			return true
		case ' ', '\u00a0', '\u3000', '\ufeff', '\u200b', utf8.RuneError:
		default:
			return false
		}
	}
	return false
}

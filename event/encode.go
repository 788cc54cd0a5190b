package event

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Encode writes the event as a message in its canonical form (RFC 8785), so
// that [Decode] hashes it as it is. Times are written in UTC with six digits of
// fraction, further ones cut; an IPv4-mapped address as IPv4; absent fields are
// left out. The members of Unknown are written in canonical form as well: their
// numbers become doubles.
//
// Every error is an [*Error]: a rule that the event breaks, a member of Unknown
// that is not JSON or has a name of the contract, or a message of more than
// [MaxBody] bytes.
func Encode(e Event) ([]byte, error) {
	if e.OccurredAt.IsZero() {
		return nil, missing(fieldOccurredAt)
	}
	if err := e.check(); err != nil {
		return nil, err
	}
	w := eventWriter{out: make([]byte, 0, 1024), unknown: e.Unknown}
	if len(e.Unknown) > 0 {
		w.pending = slices.SortedFunc(maps.Keys(e.Unknown), compareUTF16)
	}
	w.write(&e)
	if w.err == nil && len(w.out) > MaxBody {
		w.err = fail(ReasonTooLarge, fieldUnknown, "has %d bytes; at most %d are allowed", len(w.out), MaxBody)
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.out, nil
}

// eventWriter writes the members of an event in their order, merging those of
// the contract with the unknown ones.
type eventWriter struct {
	out     []byte
	unknown map[string]json.RawMessage
	// pending are the names of unknown not yet written, sorted.
	pending []string
	err     *Error
}

func (w *eventWriter) write(e *Event) {
	w.out = append(w.out, '{')
	w.text(fieldAccount, e.Account)
	w.attributes(e.Attributes)
	w.text(fieldDeviceID, e.DeviceID)
	w.name(fieldEntry.String())
	w.out = strconv.AppendUint(w.out, uint64(e.Entry), 10)
	w.text(fieldID, e.ID)
	if e.IP.IsValid() {
		w.name(fieldIP.String())
		w.out = append(e.IP.Unmap().AppendTo(append(w.out, '"')), '"')
	}
	w.text(fieldMFAMethod, string(e.MFAMethod))
	w.name(fieldOccurredAt.String())
	w.out = e.OccurredAt.UTC().AppendFormat(w.out, `"`+timeLayout+`"`)
	w.text(fieldReason, e.Reason)
	w.text(fieldRequestID, e.RequestID)
	w.text(fieldService, e.Service)
	w.text(fieldSessionID, e.SessionID)
	w.name(fieldStatus.String())
	w.out = strconv.AppendUint(w.out, uint64(e.Status), 10)
	w.text(fieldUserAgent, e.UserAgent)
	w.name(fieldUsername.String()) // present even when it is empty
	w.out = appendString(w.out, e.Username)
	w.foreign("", false)
	w.out = append(w.out, '}')
}

// text writes a text field that is not empty.
func (w *eventWriter) text(f field, s string) {
	if s != "" {
		w.name(f.String())
		w.out = appendString(w.out, s)
	}
}

func (w *eventWriter) attributes(all map[string]string) {
	if len(all) == 0 {
		return
	}
	w.name(fieldAttributes.String())
	separator := byte('{')
	for _, key := range slices.SortedFunc(maps.Keys(all), compareUTF16) {
		w.out = appendString(append(w.out, separator), key)
		w.out = appendString(append(w.out, ':'), all[key])
		separator = ','
	}
	w.out = append(w.out, '}')
}

// name begins the member of the contract with that name, after the unknown
// members that come before it.
func (w *eventWriter) name(name string) {
	w.foreign(name, true)
	w.begin(name)
}

func (w *eventWriter) begin(name string) {
	if len(w.out) > 1 {
		w.out = append(w.out, ',')
	}
	w.out = append(appendString(w.out, name), ':')
}

// foreign writes the pending unknown members, those before the name only if
// bounded.
func (w *eventWriter) foreign(before string, bounded bool) {
	for len(w.pending) > 0 && w.err == nil {
		name := w.pending[0]
		if bounded && compareUTF16(name, before) > 0 {
			return
		}
		w.pending = w.pending[1:]
		w.member(name, w.unknown[name])
	}
}

func (w *eventWriter) member(name string, value json.RawMessage) {
	switch {
	case !utf8.ValidString(name):
		w.err = fail(ReasonInvalidUTF8, fieldUnknown,
			"has the unknown member %s, whose name is not valid UTF-8; only UTF-8 is allowed", excerpt(name))
		return
	case fieldOf(name) != fieldUnknown:
		w.err = fail(ReasonReservedMember, fieldOf(name),
			"is among the unknown members; %s", ReasonReservedMember.Rule())
		return
	case len(value) > MaxBody:
		w.err = fail(ReasonTooLarge, fieldUnknown,
			"has the unknown member %s of %d bytes; at most %d are allowed", excerpt(name), len(value), MaxBody)
		return
	}
	w.begin(name)
	d, err := scanText(string(value), 1, nil)
	if err == nil {
		c := canonicalWriter{document: &d, out: w.out}
		err = c.value(0)
		w.out = c.out
	}
	if err != nil {
		err.Detail = "has the unknown member " + excerpt(name) + ", which " + err.Detail
		w.err = err
	}
}

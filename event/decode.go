package event

import (
	"encoding/json"
	"math"
	"net/netip"
	"unsafe"
)

// Decode reads one message of the contract and gives its event and its
// identity.
//
// The body must be one JSON object of at most [MaxBody] bytes in valid UTF-8,
// without duplicate members and lone surrogates at any depth, nested at most
// [MaxDepth] deep, with numbers within the range of a double. null and, in an
// optional field, the empty string mean absent. occurred_at is converted to
// UTC and cut to microseconds, an IPv4-mapped address to IPv4. Members that the
// contract does not name are kept in Unknown as the text they have in the body.
//
// Every error is an [*Error]. The rules of JSON are checked first, then the
// types of the fields, then their values, each in the order of the contract's
// table: the reason does not depend on the order of the members. The subject
// and the time of receipt are checked by [Event.CheckSubject] and
// [Event.CheckReceived]. The event shares no memory with body.
func Decode(body []byte) (Event, Hash, error) {
	var d Decoder
	return d.decode(string(body))
}

// Decoder decodes one message after another with next to no garbage. The zero
// value is ready. It is not safe for concurrent use.
type Decoder struct {
	nodes     []node
	canonical []byte
	reader    fieldReader
	event     Event
}

// Decode is the function [Decode], but the event shares the body's memory: the
// body must not change while the event, or a text of it, is in use.
func (d *Decoder) Decode(body []byte) (Event, Hash, error) {
	if len(body) == 0 {
		return d.decode("")
	}
	return d.decode(unsafe.String(&body[0], len(body)))
}

// decode keeps what it allocated for the next message.
func (d *Decoder) decode(src string) (Event, Hash, error) {
	doc, err := scanMessage(src, d.nodes[:0])
	if err != nil {
		return Event{}, Hash{}, err
	}
	d.nodes = doc.nodes
	hash, err := d.hash(&doc)
	if err != nil {
		return Event{}, Hash{}, err
	}
	d.reader, d.event = fieldReader{document: doc}, Event{}
	r, e := &d.reader, &d.event
	if r.read(e); r.err == nil {
		r.err = e.check()
	}
	if r.err != nil {
		return Event{}, Hash{}, r.err
	}
	return *e, hash, nil
}

// hash hashes a message. One that is its own canonical form, as [Encode] writes
// it, is hashed as it is.
func (d *Decoder) hash(doc *document) (Hash, *Error) {
	if doc.canonical {
		// It is only read; a copy of every message is what this spares.
		return sum(unsafe.Slice(unsafe.StringData(doc.src), len(doc.src))), nil
	}
	var err *Error
	if d.canonical, err = doc.appendCanonical(d.canonical[:0]); err != nil {
		return Hash{}, err
	}
	return sum(d.canonical), nil
}

// fieldReader reads the fields of a scanned message; after the first error it
// reads nothing more.
type fieldReader struct {
	document
	// at is the index of each field's value; 0, the message itself, is none.
	at  [fieldCount]int32
	err *Error
}

// read fills the event in the order of the contract's table.
func (r *fieldReader) read(e *Event) {
	unknown := r.find()
	e.ID = r.required(fieldID)
	e.Account = r.required(fieldAccount)
	e.Username = r.required(fieldUsername)
	occurredAt := r.required(fieldOccurredAt)
	e.Entry = Entry(r.code(fieldEntry, ReasonUnknownEntry))
	e.Status = Status(r.code(fieldStatus, ReasonUnknownStatus))
	e.SessionID = r.optional(fieldSessionID)
	ip := r.optional(fieldIP)
	e.UserAgent = r.optional(fieldUserAgent)
	e.Service = r.optional(fieldService)
	e.MFAMethod = MFAMethod(r.optional(fieldMFAMethod))
	e.DeviceID = r.optional(fieldDeviceID)
	e.RequestID = r.optional(fieldRequestID)
	e.Reason = r.optional(fieldReason)
	e.Attributes = r.attributes()
	if r.err == nil {
		e.OccurredAt, r.err = parseTime(occurredAt)
	}
	if r.err == nil && ip != "" {
		e.IP, r.err = parseAddress(ip)
	}
	if r.err == nil && unknown > 0 {
		e.Unknown = r.unknown(unknown)
	}
}

// find notes where the fields are; it returns the number of other members.
func (r *fieldReader) find() (unknown int) {
	for i, end := int32(1), r.next(0); i < end; i = r.next(i + 1) {
		if f := fieldOf(r.text(i)); f != fieldUnknown {
			r.at[f] = i + 1
		} else {
			unknown++
		}
	}
	return unknown
}

// value is the node of a field, or nil when it is absent or null.
func (r *fieldReader) value(f field) *node {
	if r.at[f] == 0 || r.nodes[r.at[f]].kind == valueNull {
		return nil
	}
	return &r.nodes[r.at[f]]
}

func (r *fieldReader) required(f field) string {
	if r.err == nil && r.value(f) == nil {
		r.err = missing(f)
	}
	return r.optional(f)
}

func missing(f field) *Error {
	return fail(ReasonMissing, f, "is missing or null; it is required")
}

func (r *fieldReader) optional(f field) string {
	n := r.value(f)
	if r.err != nil || n == nil {
		return ""
	}
	if n.kind != valueString {
		r.err = fail(ReasonWrongType, f, "is %s; only a string is allowed", n.kind.name())
		return ""
	}
	return r.text(r.at[f])
}

// code reads a code of one of the tables; which codes exist is checked later.
func (r *fieldReader) code(f field, unknown Reason) uint8 {
	if r.err != nil {
		return 0
	}
	n := r.value(f)
	switch {
	case n == nil:
		r.err = missing(f)
		return 0
	case n.kind != valueNumber:
		r.err = fail(ReasonWrongType, f, "is %s; only an integer is allowed", n.kind.name())
		return 0
	}
	code, ok := integer(r.source(r.at[f]))
	switch {
	case !ok:
		r.err = fail(ReasonWrongType, f, "is %s; only an integer is allowed", excerptNumber(r.source(r.at[f])))
		return 0
	case code < 0 || code > math.MaxUint8:
		r.err = fail(unknown, f, "is %s; %s", excerptNumber(r.source(r.at[f])), unknown.Rule())
		return 0
	}
	return uint8(code)
}

// attributes reads the string pairs; none are a nil map.
func (r *fieldReader) attributes() map[string]string {
	n := r.value(fieldAttributes)
	if r.err != nil || n == nil || n.kind == valueString && r.text(r.at[fieldAttributes]) == "" {
		return nil
	}
	if n.kind != valueObject {
		r.err = fail(ReasonWrongType, fieldAttributes, "is %s; only an object is allowed", n.kind.name())
		return nil
	}
	first, end, pairs := r.at[fieldAttributes]+1, n.link, 0
	for i := first; i < end; i = r.next(i + 1) {
		pairs++
		if kind := r.nodes[i+1].kind; kind != valueString {
			r.err = fail(ReasonWrongType, fieldAttributes,
				"has %s as the value of %s; only strings are allowed", kind.name(), excerpt(r.text(i)))
			return nil
		}
	}
	if r.err = checkPairs(pairs); r.err != nil || pairs == 0 {
		return nil
	}
	all := make(map[string]string, pairs)
	for i := first; i < end; i += 2 {
		all[r.text(i)] = r.text(i + 1)
	}
	return all
}

// unknown keeps the members that the contract does not name.
func (r *fieldReader) unknown(count int) map[string]json.RawMessage {
	all := make(map[string]json.RawMessage, count)
	for i, end := int32(1), r.next(0); i < end; i = r.next(i + 1) {
		if name := r.text(i); fieldOf(name) == fieldUnknown {
			all[name] = json.RawMessage(r.source(i + 1))
		}
	}
	return all
}

// parseAddress reads an address. Its text is not quoted: it may be a person's.
func parseAddress(s string) (netip.Addr, *Error) {
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return netip.Addr{}, badAddress()
	}
	return ip.Unmap(), nil
}

func badAddress() *Error {
	return fail(ReasonBadAddress, fieldIP,
		"is not an address; only an IPv4 or IPv6 address without port and zone is allowed")
}

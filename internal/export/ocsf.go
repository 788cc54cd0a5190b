package export

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"strconv"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// ocsf writes each event as one line: an object of OCSF's class Authentication
// (3002) or Account Change (3001). Every line is such an object, so there is no
// last line that proves that it is whole.
//
// What OCSF has a place for is there: the identity of the event is metadata.uid,
// its id metadata.original_event_uid, its account metadata.tenant_uid and
// user.account, its status status_code and message, its device src_endpoint.uid,
// its request http_request.uid. The rest is in unmapped. An event does not tell the
// protocol of the authentication, so auth_protocol is not there.
type ocsf struct {
	lines
	fixed      map[event.Status][]byte // what the status decides
	product    []byte
	attributes []string
}

func newOCSF(w io.Writer, about About) *ocsf {
	e := &ocsf{lines: lines{w: w}, fixed: make(map[event.Status][]byte)}
	for _, s := range event.Statuses() {
		e.fixed[s] = ocsfHead(s)
	}
	e.product = append(e.product, `"metadata":{"version":"`+ocsfVersion+`","product":{"name":"loginaudit","vendor_name":"loginaudit"`...)
	if about.Version != "" {
		e.product = appendText(append(e.product, `,"version":`...), about.Version)
	}
	e.product = append(e.product, '}')
	return e
}

// ocsfHead is the beginning of every object of a status.
func ocsfHead(s event.Status) []byte {
	m := ocsfMeanings[s]
	activity := activityName(m, s)
	status, statusName := ocsfStatus(s.Outcome())
	b := appendMember([]byte{'{'}, "class_uid", m.class)
	b = appendText(append(b, `,"class_name":`...), className(m.class))
	b = append(b, `,"category_uid":3,"category_name":"Identity & Access Management",`...)
	b = appendMember(b, "activity_id", m.activity)
	b = appendText(append(b, `,"activity_name":`...), activity)
	b = appendMember(append(b, ','), "type_uid", m.class*100+m.activity)
	b = appendText(append(b, `,"type_name":`...), className(m.class)+": "+activity)
	b = appendMember(append(b, ','), "severity_id", m.severity)
	b = appendText(append(b, `,"severity":`...), severityName(m.severity))
	b = appendMember(append(b, ','), "status_id", status)
	b = appendText(append(b, `,"status":`...), statusName)
	b = appendText(append(b, `,"status_code":`...), strconv.Itoa(int(s)))
	return append(appendText(append(b, `,"message":`...), s.Name()), ',')
}

func appendMember(b []byte, name string, n int) []byte {
	return strconv.AppendInt(append(appendText(b, name), ':'), int64(n), 10)
}

// Write implements Encoder.
func (e *ocsf) Write(events []query.Event) error {
	for i := range events {
		e.buf = e.appendEvent(e.buf, &events[i])
		if err := e.full(); err != nil {
			return err
		}
	}
	e.events += uint64(len(events))
	return e.flush()
}

// Close implements Encoder.
func (e *ocsf) Close(query.Watermark) error { return e.flush() }

// Break implements Encoder.
func (e *ocsf) Break(json.RawMessage) error { return nil }

func (e *ocsf) appendEvent(b []byte, v *query.Event) []byte {
	m := ocsfMeanings[v.Status]
	b = append(b, e.fixed[v.Status]...)
	detail := v.StatusName
	if v.Reason != nil {
		detail = *v.Reason
	}
	b = appendText(append(b, `"status_detail":`...), detail)
	b = strconv.AppendInt(append(b, `,"time":`...), v.OccurredAt.UnixMilli(), 10)
	b = e.appendMetadata(append(b, ','), v)
	b = appendUser(append(b, ','), v, m)
	b = appendEndpoint(b, v)
	b = appendRequest(b, v)
	if m.class == ocsfAuthentication {
		b = appendAuthentication(b, v, m)
	}
	if v.MFAMethod != nil {
		id, name := ocsfFactor(*v.MFAMethod)
		b = appendMember(append(b, `,"auth_factors":[{`...), "factor_type_id", id)
		b = appendText(append(b, `,"factor_type":`...), name)
		if *v.MFAMethod == "totp" {
			b = append(b, `,"is_totp":true`...)
		}
		b = append(b, "}]"...)
	}
	return append(e.appendUnmapped(b, v, m), "}\n"...)
}

func (e *ocsf) appendMetadata(b []byte, v *query.Event) []byte {
	b = append(append(b, e.product...), `,"uid":"`...)
	b = hex.AppendEncode(b, v.Hash[:])
	b = appendText(append(b, `","original_event_uid":`...), v.ID)
	b = appendText(append(b, `,"tenant_uid":`...), v.Account)
	if v.Service != nil {
		b = appendText(append(b, `,"log_provider":`...), *v.Service)
	}
	b = appendMoment(append(b, `,"original_time":`...), v.OccurredAt)
	b = strconv.AppendInt(append(b, `,"processed_time":`...), v.ReceivedAt.UnixMilli(), 10)
	b = strconv.AppendInt(append(b, `,"logged_time":`...), v.IngestedAt.UnixMilli(), 10)
	return append(b, '}')
}

// appendUser appends the user, who has a name unless nobody typed one.
func appendUser(b []byte, v *query.Event, m ocsfMeaning) []byte {
	b = append(b, `"user":{`...)
	if v.Username != "" {
		b = append(appendText(append(b, `"name":`...), v.Username), ',')
	}
	b = append(appendText(append(b, `"account":{"uid":`...), v.Account), '}')
	if m.hasMFA != nil {
		b = appendBool(append(b, `,"has_mfa":`...), *m.hasMFA)
	}
	return append(b, '}')
}

func appendEndpoint(b []byte, v *query.Event) []byte {
	if v.IP == nil && v.DeviceID == nil {
		return b
	}
	b = append(b, `,"src_endpoint":{`...)
	if v.IP != nil {
		b = appendText(append(b, `"ip":`...), *v.IP)
	}
	if v.DeviceID != nil {
		if v.IP != nil {
			b = append(b, ',')
		}
		b = appendText(append(b, `"uid":`...), *v.DeviceID)
	}
	return append(b, '}')
}

func appendRequest(b []byte, v *query.Event) []byte {
	if v.UserAgent == nil && v.RequestID == nil {
		return b
	}
	b = append(b, `,"http_request":{`...)
	if v.UserAgent != nil {
		b = appendText(append(b, `"user_agent":`...), *v.UserAgent)
	}
	if v.RequestID != nil {
		if v.UserAgent != nil {
			b = append(b, ',')
		}
		b = appendText(append(b, `"uid":`...), *v.RequestID)
	}
	return append(b, '}')
}

// appendAuthentication appends what only the class Authentication has. It needs a
// service; where the event names none, that is what the user entered by.
func appendAuthentication(b []byte, v *query.Event, m ocsfMeaning) []byte {
	service := v.EntryName
	if v.Service != nil {
		service = *v.Service
	}
	b = append(appendText(append(b, `,"service":{"name":`...), service), '}')
	if v.SessionID != nil {
		b = appendText(append(b, `,"session":{"uid":`...), *v.SessionID)
		if m.expires {
			b = appendText(append(b, `,"expiration_reason":`...), v.StatusName)
		}
		b = append(b, '}')
	}
	if mfa := v.Kind == event.KindMFA || v.MFAMethod != nil; mfa || m.activity != ocsfLogoff {
		b = appendBool(append(b, `,"is_mfa":`...), mfa)
	}
	if m.activity == ocsfLogoff {
		return b
	}
	id, name := ocsfLogonType(v.Entry)
	b = appendMember(append(b, ','), "logon_type_id", id)
	return appendText(append(b, `,"logon_type":`...), name)
}

// appendUnmapped appends the rest.
func (e *ocsf) appendUnmapped(b []byte, v *query.Event, m ocsfMeaning) []byte {
	b = appendNumber(append(b, `,"unmapped":{"entry":`...), v.Entry)
	b = appendText(append(b, `,"entry_name":`...), v.EntryName)
	b = appendText(append(b, `,"kind":`...), v.Kind)
	b = appendText(append(b, `,"outcome":`...), v.Outcome)
	if m.class == ocsfAccountChange && v.SessionID != nil {
		b = appendText(append(b, `,"session_id":`...), *v.SessionID)
	}
	if v.MFAMethod != nil {
		b = appendText(append(b, `,"mfa_method":`...), *v.MFAMethod)
	}
	if v.Attributes != nil {
		b = append(b, `,"attributes":`...)
		b, e.attributes = appendPairs(b, v.Attributes, e.attributes)
	}
	b = appendNumber(append(b, `,"stream_seq":`...), v.StreamSeq)
	return append(appendBool(append(b, `,"conflict":`...), v.Conflict), '}')
}

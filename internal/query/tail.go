package query

import (
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// The words of a tail: the events of an account in the order in which they
// arrived, which is that of the stream, as they become complete.

// LastEventID is the header by which a reader says where it was (HTML, section
// 9.2: server-sent events).
const LastEventID = "Last-Event-ID"

// TailQuestion asks for the events of an account as they arrive.
type TailQuestion struct {
	// Filter says which events are meant; its Range, Order, Limit and After are not
	// set.
	Filter EventFilter
	// After is the stream sequence behind which the tail begins; nil begins at the
	// watermark of now.
	After *uint64
}

// TailMessage is one message of a tail: an event, a watermark or a gap. One
// without any of them says only that the tail is still there.
type TailMessage struct {
	// ID is the stream sequence up to which the reader then has everything that it
	// was to get; 0 in a message that says nothing of it. IDs grow within one
	// generation of the stream.
	ID    uint64
	Event *Arrival
	Mark  *Watermark
	Gap   *TailGap
}

// TailGap tells which sequences of the stream a reader was not shown.
type TailGap struct {
	FromSeq uint64 `json:"from_seq"`
	ToSeq   uint64 `json:"to_seq"`
	// Detail says why, and what to do.
	Detail string `json:"detail"`
}

// Arrival is an event that arrived. All readers share it, so nobody changes it.
type Arrival struct {
	Event Event

	once sync.Once
	form []byte
	err  error
}

// Form is what encode makes of the event. It is made once, for the first who asks.
func (a *Arrival) Form(encode func(Event) ([]byte, error)) ([]byte, error) {
	a.once.Do(func() { a.form, a.err = encode(a.Event) })
	return a.form, a.err
}

// TailEdge is how far the stream is ingested, and in which of its histories.
type TailEdge struct {
	Watermark Watermark
	// Created and Generation name the history of the stream that sequences are of. A
	// stream that is made anew, or put back to an older copy, gives its sequences to
	// other messages: that is the next generation.
	Created    time.Time
	Generation uint32
	// Former is up to when the events of former generations were received; zero
	// where there is none.
	Former time.Time
}

// Stretch is a part of the stream: the sequences above After, up to UpTo.
type Stretch struct {
	Edge        TailEdge
	After, UpTo uint64
	// Limit is the most events that are read at once.
	Limit int
}

// inTime are the parameters that a tail does not take, with the reason.
var inTime = []string{"start", "end", "order", "limit", "cursor"}

const notInTime = "is no parameter of a tail, which goes on from now, or from where " + LastEventID +
	" says, in the order of arrival; /events and /export answer questions about a time"

// streamRoute takes what says which events are meant.
func streamRoute() route {
	names := slices.DeleteFunc(slices.Clone(eventParameters), func(name string) bool { return slices.Contains(inTime, name) })
	return route{"stream", append(names, "last_event_id")}
}

// ParseStream reads the parameters of GET /stream. lastEventID is the header of that
// name, "" where there is none: it goes before the parameter, which a reader that
// comes back sends as it was at first.
func ParseStream(v url.Values, lastEventID string, a Asked) (TailQuestion, error) {
	var wrong []ParameterError
	taken, r := make(url.Values, len(v)), streamRoute()
	for name, values := range v {
		taken[name] = values
	}
	for _, name := range inTime {
		if v.Has(name) {
			wrong = append(wrong, ParameterError{Parameter: name, Detail: notInTime, Allowed: r.allowed()})
			delete(taken, name)
		}
	}
	in := open(r, taken, a)
	in.errs = append(wrong, in.errs...)
	q := TailQuestion{Filter: in.events()}
	if value, ok := in.one("last_event_id"); ok {
		q.After = in.sequence("last_event_id", value)
	}
	if lastEventID != "" {
		q.After = in.sequence(LastEventID, lastEventID)
	}
	return q, in.err()
}

// sequence reads a sequence of the stream as a tail tells it.
func (in *input) sequence(name, value string) *uint64 {
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != value {
		in.failAllowed(name, shown(value)+" is not the id of a message of a tail", allowed("last_event_id"))
		return nil
	}
	return &n
}

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Step is what a note says was done with a parked message.
type Step string

// The steps. A replay and an erasure are noted before they begin and when they
// are done, so that one that was killed has left a trace.
const (
	StepReplaying Step = "replaying"
	StepReplayed  Step = "replayed"
	// StepFailed: the replay was refused, see Note.Error.
	StepFailed    Step = "failed"
	StepDiscarded Step = "discarded"
	StepErasing   Step = "erasing"
	// StepErased: the bytes are gone for good, of the headers too.
	StepErased Step = "erased"
)

// Note tells what was done with a parked message, by whom and when. Notes are
// in the stream LOGIN_PARKED_NOTES, where nobody but the operator can write and
// nobody can delete.
type Note struct {
	// Parked and ParkedAt name the message of LOGIN_PARKED. The time binds the
	// sequence to an incarnation of that stream.
	Parked   uint64    `json:"-"`
	ParkedAt time.Time `json:"-"`
	// Step is what was done.
	Step Step `json:"-"`
	// At is when the server took the note.
	At time.Time `json:"-"`

	// By is who did it, as they say: user@host unless they gave a name.
	By string `json:"by"`
	// NATSUser is as whom they were logged in to NATS: a public nkey or a name.
	NATSUser string `json:"nats_user,omitempty"`
	// Run is a random name of the one call of a command.
	Run string `json:"run"`
	// Why is what a discard gives as its reason.
	Why string `json:"why,omitempty"`
	// CopyOf is the parked message with which this one was dealt with: the same
	// original, parked twice. 0 for none.
	CopyOf uint64 `json:"copy_of,omitempty"`

	// Reason is the code for which it was parked. Stream, StreamSeq, ReceivedAt
	// and Subject tell where the original is, also after the message is erased.
	Reason     string    `json:"reason"`
	Stream     string    `json:"stream,omitempty"`
	StreamSeq  uint64    `json:"stream_seq,omitempty"`
	ReceivedAt time.Time `json:"received_at,omitzero"`
	Subject    string    `json:"subject"`
	// SHA256, in hexadecimal digits, and Size, in bytes, are of the parked body.
	SHA256 string `json:"sha256"`
	Size   int    `json:"size"`

	// What follows is of replays. SentSubject is where it was published, and
	// SentSHA256 and SentSize are of the body, where those are not the original's.
	SentSubject string `json:"sent_subject,omitempty"`
	SentSHA256  string `json:"sent_sha256,omitempty"`
	SentSize    int    `json:"sent_size,omitempty"`
	// EventSeq is its sequence in LOGIN_EVENTS.
	EventSeq uint64 `json:"event_seq,omitempty"`
	// Error is why the stream refused it.
	Error string `json:"error,omitempty"`

	label string
}

// noteOf is a note about m, whose step and operator are to be filled in.
func noteOf(m *ParkedMessage) Note {
	return Note{
		Parked: m.Seq, ParkedAt: m.ParkedAt, label: m.label, Reason: m.Reason,
		Stream: m.Stream, StreamSeq: m.StreamSeq, ReceivedAt: m.ReceivedAt.UTC(), Subject: m.Subject,
		SHA256: sha256Hex(m.Body), Size: len(m.Body),
	}
}

// subject is login.notes.<reason>.<sequence>.<time>.<step>: by it the server
// finds the notes of one message, and counts those that are settled.
func (n *Note) subject() string {
	return fmt.Sprintf("%s%s.%d.%d.%s", notesPrefix, n.label, n.Parked, n.ParkedAt.UnixNano(), n.Step)
}

// parseNoteSubject undoes subject. ok is false for what is none.
func parseNoteSubject(subject string) (n Note, ok bool) {
	tokens := strings.Split(strings.TrimPrefix(subject, notesPrefix), ".")
	if len(tokens) != 4 {
		return Note{}, false
	}
	seq, err := strconv.ParseUint(tokens[1], 10, 64)
	nanos, err2 := strconv.ParseInt(tokens[2], 10, 64)
	if err != nil || err2 != nil {
		return Note{}, false
	}
	return Note{label: tokens[0], Parked: seq, ParkedAt: time.Unix(0, nanos).UTC(), Step: Step(tokens[3])}, true
}

func parseNote(raw *jetstream.RawStreamMsg) (Note, error) {
	n, ok := parseNoteSubject(raw.Subject)
	if !ok {
		return n, fmt.Errorf("read note %d: %q is not the subject of a note", raw.Sequence, raw.Subject)
	}
	n.At = raw.Time
	if err := json.Unmarshal(raw.Data, &n); err != nil {
		return n, fmt.Errorf("read note %d: %w", raw.Sequence, err)
	}
	return n, nil
}

// publish stores the note. Doing it again within the duplicate window collapses.
func (n *Note) publish(ctx context.Context, js jetstream.JetStream) error {
	text, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("encode note: %w", err)
	}
	msg := &nats.Msg{Subject: n.subject(), Data: text}
	id := fmt.Sprintf("%s:%d:%s", n.Run, n.Parked, n.Step)
	if _, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID(id), jetstream.WithExpectStream(ParkedNotes)); err != nil {
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			return fmt.Errorf("write note: %w (is stream %s there? \"loginaudit streams\" makes it)", err, ParkedNotes)
		}
		return fmt.Errorf("write note: %w", err)
	}
	return nil
}

// Notes gives the notes about a sequence of LOGIN_PARKED, oldest first. They may
// be of a message that is no longer there. None is no error.
func (i *Inbox) Notes(ctx context.Context, seq uint64) ([]Note, error) {
	var notes []Note
	err := i.scanNotes(ctx, fmt.Sprintf("%s*.%d.>", notesPrefix, seq), func(n Note) { notes = append(notes, n) })
	return notes, err
}

// scanNotes gives the notes on the subjects that match. Without the stream
// there are none.
func (i *Inbox) scanNotes(ctx context.Context, subject string, yield func(Note)) error {
	var broken error
	err := scan(ctx, i.js, ParkedNotes, scanRange{To: math.MaxUint64, Subject: subject}, func(raw *jetstream.RawStreamMsg) bool {
		var n Note
		n, broken = parseNote(raw)
		if broken == nil {
			yield(n)
		}
		return broken == nil
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err = errors.Join(err, broken); err != nil {
		return fmt.Errorf("read notes: %w", err)
	}
	return nil
}

// parkedKey names a message of an incarnation of LOGIN_PARKED.
type parkedKey struct {
	seq uint64
	at  int64 // Unix time in nanoseconds
}

// settled is what the notes tell of a parked message.
type settled struct {
	state State
	at    time.Time
	by    string
	// runs are those that began to replay it, replays how often one was done.
	runs    []string
	replays int
}

// notesIndex is what the notes tell of all parked messages, in little memory.
type notesIndex map[parkedKey]*settled

func newNotesIndex() notesIndex { return notesIndex{} }

// readIndex reads all notes.
func (i *Inbox) readIndex(ctx context.Context) (notesIndex, error) {
	index := newNotesIndex()
	return index, i.scanNotes(ctx, notesSubjects, index.add)
}

// add takes a note; they come oldest first.
func (x notesIndex) add(n Note) {
	key := parkedKey{n.Parked, n.ParkedAt.UnixNano()}
	s := x[key]
	if s == nil {
		s = &settled{state: StateOpen}
		x[key] = s
	}
	switch n.Step {
	case StepReplaying:
		s.runs = append(s.runs, n.Run)
	case StepReplayed:
		s.replays++
		s.state, s.at, s.by = StateReplayed, n.At, n.By
	case StepDiscarded:
		if s.state != StateReplayed {
			s.state, s.at, s.by = StateDiscarded, n.At, n.By
		}
	case StepFailed, StepErasing, StepErased:
	}
}

// tell fills in what the notes tell of m.
func (x notesIndex) tell(m *ParkedMessage) {
	if s := x[parkedKey{m.Seq, m.ParkedAt.UnixNano()}]; s != nil {
		m.State, m.SettledAt, m.SettledBy = s.state, s.at, s.by
	}
	claimed, run := replayClaim(m.Headers)
	if s := x[claimed]; s != nil {
		for _, known := range s.runs {
			if known == run {
				m.ReplayOf = claimed.seq
			}
		}
	}
}

// headerReplay is the header of a replayed message: the sequence and the time of
// the parked one, and the run. A publisher may send one of its own, but no run
// that the notes know: it is random, and no publisher can read it.
const headerReplay = "Loginaudit-Replay"

func replayHeader(m *ParkedMessage, run string) string {
	return fmt.Sprintf("%d %d %s", m.Seq, m.ParkedAt.UnixNano(), run)
}

// replayClaim reads headerReplay; it gives zeros where there is none.
func replayClaim(h nats.Header) (of parkedKey, run string) {
	parts := strings.Split(h.Get(headerReplay), " ")
	if len(parts) != 3 {
		return parkedKey{}, ""
	}
	seq, err := strconv.ParseUint(parts[0], 10, 64)
	at, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || err2 != nil {
		return parkedKey{}, ""
	}
	return parkedKey{seq, at}, parts[2]
}

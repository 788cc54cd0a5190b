// Package stream is the JetStream side of loginaudit: the names of its streams,
// their settings, the consumer of the ingest worker, and parked messages.
//
// LOGIN_EVENTS holds the facts. It uses limits retention, so that everything in
// it can be replayed, and discards new messages when it is full: an event that
// was acknowledged is never pushed out by a later one. LOGIN_PARKED holds the
// messages that break the contract, byte for byte, and LOGIN_PARKED_NOTES what
// operators did with them.
package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/loginaudit/loginaudit/event"
)

// The names that auth services and operators may rely on.
const (
	// Events is the stream of events.
	Events = "LOGIN_EVENTS"
	// Parked is the stream of parked messages.
	Parked = "LOGIN_PARKED"
	// ParkedNotes is the stream of what operators did with parked messages.
	ParkedNotes = "LOGIN_PARKED_NOTES"
	// Consumer is the durable consumer of the ingest worker on [Events].
	Consumer = "ingest"

	eventsSubjects = event.SubjectPrefix + ">"
	parkedPrefix   = "login.parked."
	parkedSubjects = parkedPrefix + ">"
	// Not below parkedPrefix: who may park may write no note.
	notesPrefix   = "login.notes."
	notesSubjects = notesPrefix + ">"
)

// headersAllowance is what the stream accepts beside a body of the greatest
// size: JetStream counts headers and body together. The publisher's own headers
// take about 190 bytes in a batch; trace headers take some hundred more. A body
// that is over the limit by no more than this gets through and is parked.
const headersAllowance = 1 << 10

// Settings says how the streams are to be. Zero means the default where one is
// named; [DefaultSettings] has them all.
type Settings struct {
	// Replicas is the number of copies of each stream and consumer, 1–5.
	// Default 1; 3 is for a cluster.
	Replicas int
	// MaxBytes is the size of LOGIN_EVENTS at which new events are refused;
	// 0 leaves it to the server's own limit. Keep it below the disk's size.
	MaxBytes int64
	// MaxAge is how long LOGIN_EVENTS keeps an event, and so the longest outage
	// of ingest that loses nothing; 0 keeps for ever (until MaxBytes).
	MaxAge time.Duration
	// ParkedMaxBytes and ParkedMaxAge are the same for LOGIN_PARKED; 0 is no limit.
	ParkedMaxBytes int64
	ParkedMaxAge   time.Duration
	// DuplicateWindow is how long LOGIN_EVENTS knows a message id again. It only
	// spares repeats; nothing is wrong without it. Default 2 minutes, at least 100 ms.
	DuplicateWindow time.Duration
	// ParkedDuplicateWindow is the same for LOGIN_PARKED. A [Parker] looks up what is
	// older than half of it, so it must be above what the clocks of NATS and of the
	// workers differ by. Default 1 hour.
	ParkedDuplicateWindow time.Duration
	// AckWait is after how long without an answer a message is delivered again.
	// Default 60 s; above the longest insert.
	AckWait time.Duration
	// MaxAckPending is the most messages that all workers together may hold; it
	// must be at least three times the batch of one worker. Default 300,000.
	MaxAckPending int
}

// DefaultSettings are those of a single server.
func DefaultSettings() Settings {
	return Settings{
		Replicas:              1,
		MaxAge:                30 * 24 * time.Hour,
		DuplicateWindow:       2 * time.Minute,
		ParkedDuplicateWindow: time.Hour,
		AckWait:               time.Minute,
		MaxAckPending:         300_000,
	}
}

// withDefaults fills what has a default and may not be zero.
func (s Settings) withDefaults() Settings {
	d := DefaultSettings()
	if s.Replicas == 0 {
		s.Replicas = d.Replicas
	}
	if s.DuplicateWindow == 0 {
		s.DuplicateWindow = d.DuplicateWindow
	}
	if s.ParkedDuplicateWindow == 0 {
		s.ParkedDuplicateWindow = d.ParkedDuplicateWindow
	}
	if s.AckWait == 0 {
		s.AckWait = d.AckWait
	}
	if s.MaxAckPending == 0 {
		s.MaxAckPending = d.MaxAckPending
	}
	// The server wants a window that is no longer than the age.
	if s.MaxAge > 0 {
		s.DuplicateWindow = min(s.DuplicateWindow, s.MaxAge)
	}
	if s.ParkedMaxAge > 0 {
		s.ParkedDuplicateWindow = min(s.ParkedDuplicateWindow, s.ParkedMaxAge)
	}
	return s
}

// Validate tells the first setting that is out of its range, by name.
func (s Settings) Validate() error {
	s = s.withDefaults()
	checks := []struct {
		name string
		ok   bool
		want string
	}{
		{"Replicas", s.Replicas >= 1 && s.Replicas <= 5, "1 to 5"},
		{"MaxBytes", s.MaxBytes == 0 || s.MaxBytes >= 1<<20, "0 (no limit) or at least 1 MiB"},
		{"ParkedMaxBytes", s.ParkedMaxBytes == 0 || s.ParkedMaxBytes >= 1<<20, "0 (no limit) or at least 1 MiB"},
		{"MaxAge", s.MaxAge == 0 || s.MaxAge >= time.Second, "0 (for ever) or at least 1s"},
		{"ParkedMaxAge", s.ParkedMaxAge == 0 || s.ParkedMaxAge >= time.Second, "0 (for ever) or at least 1s"},
		{"DuplicateWindow", s.DuplicateWindow >= 100*time.Millisecond, "at least 100ms"},
		{"ParkedDuplicateWindow", s.ParkedDuplicateWindow >= 100*time.Millisecond, "at least 100ms"},
		{"AckWait", s.AckWait >= 100*time.Millisecond, "at least 100ms"},
		{"MaxAckPending", s.MaxAckPending >= 1, "at least 1"},
	}
	for _, c := range checks {
		if !c.ok {
			return fmt.Errorf("check stream settings: %s must be %s", c.name, c.want)
		}
	}
	return nil
}

// Open gives the stream of events and its consumer, both of which [Ensure] has
// made. Errors wrap jetstream.ErrStreamNotFound or jetstream.ErrConsumerNotFound
// where one is missing.
func Open(ctx context.Context, js jetstream.JetStream) (jetstream.Stream, jetstream.Consumer, error) {
	s, err := js.Stream(ctx, Events)
	if err != nil {
		return nil, nil, fmt.Errorf("open stream %s: %w", Events, err)
	}
	c, err := s.Consumer(ctx, Consumer)
	if err != nil {
		return nil, nil, fmt.Errorf("open consumer %s of stream %s: %w", Consumer, Events, err)
	}
	return s, c, nil
}

// MismatchError says that a stream or consumer is there and cannot be made to
// match the settings without losing what it holds. An operator must decide.
type MismatchError struct {
	// Name is the stream, or "stream/consumer".
	Name string
	// Setting is the name of the setting, as the nats command shows it.
	Setting string
	// There and Wanted are its values.
	There, Wanted string
	// Cause is the server's refusal, or nil where it was not asked.
	Cause error
}

// Error names the setting, what is there and what is wanted.
func (e *MismatchError) Error() string {
	text := fmt.Sprintf("%s cannot be made to match: %s is %s, wanted is %s", e.Name, e.Setting, e.There, e.Wanted)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap gives the server's refusal.
func (e *MismatchError) Unwrap() error { return e.Cause }

// isAPI reports whether err is JetStream's error of one of these codes.
func isAPI(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return false
	}
	for _, c := range codes {
		if api.ErrorCode == c {
			return true
		}
	}
	return false
}

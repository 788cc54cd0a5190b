package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// ParkedReplaySettings are those of "loginaudit parked replay".
type ParkedReplaySettings struct {
	SubjectFromBody bool   `koanf:"subject-from-body" help:"publish on the subject that fits the event instead of the original's"`
	Body            string `koanf:"body" help:"file with a corrected body for one message; - is the standard input"`
	ParkedActSettings
}

// DefaultParkedReplay replays what is open.
func DefaultParkedReplay() ParkedReplaySettings {
	return ParkedReplaySettings{ParkedActSettings: defaultParkedAct()}
}

// ReplayParked publishes parked messages again and notes it.
func ReplayParked(ctx context.Context, s ParkedReplaySettings, seqs []uint64, std Streams) error {
	if err := s.check(seqs); err != nil {
		return err
	}
	options := stream.ReplayOptions{SubjectFromBody: s.SubjectFromBody, DryRun: s.DryRun}
	if s.Body != "" {
		if len(seqs) != 1 {
			return ops.Usagef("body: it is for one message, named by its sequence")
		}
		var err error
		if options.Body, err = readBody(s.Body, std.In); err != nil {
			return err
		}
	}
	door, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer door.close()
	operator := stream.NewOperator(door.js, door.who(s.By))
	act := &parkedAct{s: s.ParkedActSettings, door: door, std: std, verb: "replay", done: "replayed", goal: stream.StateReplayed}
	act.act = func(ctx context.Context, selected []stream.Selected, told func(stream.Outcome)) error {
		return operator.Replay(ctx, selected, options, told)
	}
	return act.run(seqs)
}

// readBody reads no more of a corrected body than an event may have, and one
// byte, so that it is refused.
func readBody(name string, in io.Reader) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("read corrected body: %w", err)
		}
		defer f.Close()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, event.MaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read corrected body: %w", err)
	}
	if body == nil {
		body = []byte{}
	}
	return body, nil
}

// ParkedDiscardSettings are those of "loginaudit parked discard".
type ParkedDiscardSettings struct {
	Because string `koanf:"because" help:"why; it is kept in the notes and must be given"`
	Erase   bool   `koanf:"erase" help:"remove the bytes for good; a note keeps their hash and size"`
	ParkedActSettings
}

// DefaultParkedDiscard discards what is open.
func DefaultParkedDiscard() ParkedDiscardSettings {
	return ParkedDiscardSettings{ParkedActSettings: defaultParkedAct()}
}

// Validate names what is missing or out of its range.
func (s ParkedDiscardSettings) Validate() error {
	var errs []error
	if strings.TrimSpace(s.Because) == "" {
		text := "because: is missing; say why"
		for _, reason := range s.Reason {
			if event.Reason(reason).Rule() == "" {
				text += fmt.Sprintf(" (--reason chooses messages by their reason code; %q is none that is known)", reason)
			}
		}
		errs = append(errs, errors.New(text))
	}
	if !utf8.ValidString(s.Because) {
		errs = append(errs, errors.New("because: it is not UTF-8"))
	}
	if !s.Erase && s.State != string(stream.StateOpen) {
		errs = append(errs, fmt.Errorf("state: %s is allowed with --erase only; what is settled already is not discarded", s.State))
	}
	return errors.Join(append(errs, checkText("because", s.Because, stream.MaxWhy), s.ParkedActSettings.Validate())...)
}

// DiscardParked notes that parked messages are to stay as they are, or erases
// them.
func DiscardParked(ctx context.Context, s ParkedDiscardSettings, seqs []uint64, std Streams) error {
	if err := s.check(seqs); err != nil {
		return err
	}
	door, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer door.close()
	operator := stream.NewOperator(door.js, door.who(s.By))
	act := &parkedAct{s: s.ParkedActSettings, door: door, std: std, verb: "discard", done: "discarded", goal: stream.StateDiscarded}
	do := operator.Discard
	if s.Erase {
		act.verb, act.done, act.goal, act.whatever, act.ask = "erase", "erased", "", true, true
		do = operator.Erase
	}
	act.act = func(ctx context.Context, selected []stream.Selected, told func(stream.Outcome)) error {
		if s.DryRun {
			for _, m := range selected {
				told(stream.Outcome{Selected: m})
			}
			return nil
		}
		return do(ctx, selected, s.Because, told)
	}
	return act.run(seqs)
}

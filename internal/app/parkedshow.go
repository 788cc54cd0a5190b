package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/loginaudit/loginaudit/internal/stream"
)

// ParkedShowSettings are those of "loginaudit parked show".
type ParkedShowSettings struct {
	Raw bool `koanf:"raw" help:"write the exact bytes of the body to standard output and nothing else"`
	ParkedSettings
}

// ShowParked writes one parked message: why it is there, its headers, what was
// done with it, and its exact bytes. Of one that is no longer there it writes
// what was done with it.
func ShowParked(ctx context.Context, s ParkedShowSettings, seq uint64, out io.Writer) error {
	door, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer door.close()
	m, err := door.inbox.Get(door.ctx, seq)
	gone := errors.Is(err, stream.ErrNotParked)
	if err != nil && (!gone || s.Raw) {
		return fmt.Errorf("show parked message: %w", door.reason(err))
	}
	if s.Raw {
		if _, err := out.Write(m.Body); err != nil {
			return fmt.Errorf("write body: %w", err)
		}
		return nil
	}
	notes, failed := door.inbox.Notes(door.ctx, seq)
	if failed != nil {
		return fmt.Errorf("show parked message %d: %w", seq, door.reason(failed))
	}
	if gone {
		if len(notes) == 0 {
			return fmt.Errorf("show parked message: %w", err)
		}
		return s.showGone(seq, notes, out)
	}
	// A stream that was deleted and made again counts from 1 again.
	var own []stream.Note
	for _, n := range notes {
		if n.ParkedAt.Equal(m.ParkedAt) {
			own = append(own, n)
		}
	}
	switch s.Output {
	case "table":
		return showParked(m, own, out)
	case "ndjson":
		return writeJSON(out, parkedWhole(m, own), "")
	default:
		return writeJSON(out, parkedWhole(m, own), "  ")
	}
}

// showGone tells what the notes know of a message that is no longer there.
func (s ParkedShowSettings) showGone(seq uint64, notes []stream.Note, out io.Writer) error {
	last := notes[len(notes)-1]
	state := "gone"
	if last.Step == stream.StepErased {
		state = string(stream.StepErased)
	}
	if s.Output != "table" {
		indent := ""
		if s.Output == "json" {
			indent = "  "
		}
		return writeJSON(out, map[string]any{"seq": seq, "state": state, "notes": notesJSON(notes)}, indent)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, Printable(value)) }
	row("sequence", fmt.Sprint(seq))
	row("state", state+": the message is no longer in "+stream.Parked)
	row("parked at", last.ParkedAt.UTC().Format(time.RFC3339Nano))
	row("reason", last.Reason)
	row("original", fmt.Sprintf("%s, sequence %d", last.Stream, last.StreamSeq))
	row("subject", last.Subject)
	row("body", fmt.Sprintf("%d bytes, SHA-256 %s", last.Size, last.SHA256))
	return showNotes(w, notes)
}

func showParked(m stream.ParkedMessage, notes []stream.Note, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(w, "%s\t%s\n", name, Printable(value)) }
	row("sequence", fmt.Sprint(m.Seq))
	row("state", string(m.State))
	row("parked at", m.ParkedAt.UTC().Format(time.RFC3339Nano))
	row("reason", m.Reason)
	row("field", m.Field)
	row("detail", m.Detail)
	row("original", fmt.Sprintf("%s, sequence %d", m.Stream, m.StreamSeq))
	row("received at", m.ReceivedAt.UTC().Format(time.RFC3339Nano))
	row("subject", m.Subject)
	if m.ReplayOf > 0 {
		row("replay of", fmt.Sprintf("parked message %d", m.ReplayOf))
	}
	for _, name := range sortedKeys(m.Headers) {
		for _, value := range m.Headers[name] {
			row("header "+name, value)
		}
	}
	if err := showNotes(w, notes); err != nil {
		return err
	}
	var lines []string
	for line := range strings.SplitSeq(string(m.Body), "\n") {
		lines = append(lines, Printable(line))
	}
	_, err := fmt.Fprintf(out, "body (%d bytes; --raw writes them as they are)\n%s\n", len(m.Body), strings.Join(lines, "\n"))
	if err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

// showNotes ends a table with what was done.
func showNotes(w *tabwriter.Writer, notes []stream.Note) error {
	for _, n := range notes {
		what := fmt.Sprintf("%s by %s", n.Step, n.By)
		if n.NATSUser != "" {
			what += " (NATS user " + n.NATSUser + ")"
		}
		if n.CopyOf > 0 {
			what += fmt.Sprintf(", with message %d, which has the same original", n.CopyOf)
		}
		if n.SentSubject != "" {
			what += ", on " + n.SentSubject
		}
		if n.SentSHA256 != "" {
			what += fmt.Sprintf(", with another body of %d bytes, SHA-256 %s instead of %s", n.SentSize, n.SentSHA256, n.SHA256)
		}
		if n.EventSeq > 0 {
			what += fmt.Sprintf(", as sequence %d of %s", n.EventSeq, stream.Events)
		}
		if n.Why != "" {
			what += ": " + n.Why
		}
		if n.Error != "" {
			what += ": " + n.Error
		}
		fmt.Fprintf(w, "%s\t%s\n", n.At.UTC().Format(time.RFC3339Nano), Printable(what))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write message: %w", err)
	}
	return nil
}

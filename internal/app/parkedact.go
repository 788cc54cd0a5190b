package app

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/stream"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// ParkedActSettings are those that replay and discard share.
type ParkedActSettings struct {
	ParkedFilterSettings
	All    bool   `koanf:"all" help:"every message of that state, without a filter"`
	DryRun bool   `koanf:"dry-run" help:"tell what would be done, and do nothing"`
	Yes    bool   `koanf:"yes" help:"do not ask"`
	By     string `koanf:"by" help:"who does it, for the notes (default: the user and host of this process)"`
	ParkedSettings
}

func defaultParkedAct() ParkedActSettings {
	return ParkedActSettings{ParkedFilterSettings: defaultParkedFilter(), ParkedSettings: DefaultParked()}
}

// Validate names what is out of its range.
func (s ParkedActSettings) Validate() error {
	return errors.Join(s.ParkedFilterSettings.Validate(), checkText("by", s.By, stream.MaxBy), s.ParkedSettings.Validate())
}

// checkText refuses what does not fit into a note.
func checkText(key, text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%s: it has %d bytes; at most %d are allowed", key, len(text), most)
	}
	return nil
}

// check refuses a call that names no messages, or names them in two ways. A
// state chooses by itself, but may also stand beside sequences or --all.
func (s ParkedActSettings) check(seqs []uint64) error {
	switch {
	case len(seqs) > 0 && (s.given() || s.All):
		return ops.Usagef("name sequences, or a filter, not both")
	case len(seqs) == 0 && !s.narrows() && !s.All:
		return ops.Usagef("name the sequences of parked messages, or a filter as for \"loginaudit parked list\", or --all")
	case s.given() && s.All:
		return ops.Usagef("all: it allows no filter beside it")
	}
	return nil
}

// errNotAllDone: some messages were refused, each of them told already.
var errNotAllDone = errors.New("not all messages were dealt with")

// parkedAct is one run of replay or discard.
type parkedAct struct {
	s    ParkedActSettings
	door *parkedDoor
	std  Streams

	verb, done string       // "replay", "replayed"
	goal       stream.State // what is so already is skipped
	// whatever tells that sequences are taken whatever was done with them, and
	// ask that the question is asked for them too.
	whatever, ask bool
	act           func(ctx context.Context, selected []stream.Selected, told func(stream.Outcome)) error

	bar                          *progressbar.ProgressBar
	outcomes                     []outcomeJSON
	did, skipped, failed, broken int
}

// outcomeJSON is what became of a message, for programs.
type outcomeJSON struct {
	Seq      uint64   `json:"seq"`
	Copies   []uint64 `json:"copies,omitempty"`
	Result   string   `json:"result"`
	Reason   string   `json:"reason,omitempty"`
	Subject  string   `json:"subject,omitempty"`
	EventSeq uint64   `json:"event_seq,omitempty"`
	// Broken is the rule that a replayed message still breaks.
	Broken string `json:"broken,omitempty"`
	Error  string `json:"error,omitempty"`
}

// run selects, asks, acts and counts.
func (a *parkedAct) run(seqs []uint64) error {
	selected, err := a.choose(seqs)
	if err != nil {
		return a.door.reason(err)
	}
	if len(selected) == 0 && len(seqs) == 0 && a.s.narrows() {
		fmt.Fprintln(a.std.Err, nothingMatches)
	}
	if err := a.confirm(selected, len(seqs) > 0); err != nil {
		return err
	}
	if a.std.Terminal && !a.s.DryRun {
		a.bar = progressbar.NewOptions(len(selected), progressbar.OptionSetWriter(a.std.Err), progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	}
	var writing error
	err = a.act(a.door.ctx, selected, func(o stream.Outcome) {
		if failed := a.tell(o); writing == nil {
			writing = failed
		}
	})
	if a.bar != nil {
		_ = a.bar.Finish() // only decoration
	}
	if err != nil {
		err = fmt.Errorf("%w (run the same command again: what is done is not done twice)", a.door.reason(err))
	}
	if err := errors.Join(writing, a.end(), err); err != nil {
		return err
	}
	if a.failed > 0 {
		return errNotAllDone
	}
	return nil
}

// choose gives the messages that are to be dealt with. Of sequences it tells
// those that are not.
func (a *parkedAct) choose(seqs []uint64) ([]stream.Selected, error) {
	if len(seqs) == 0 {
		filter, err := a.s.filter(time.Now())
		if err != nil {
			return nil, err
		}
		return a.door.inbox.Select(a.door.ctx, filter)
	}
	there, missing, err := a.door.inbox.SelectSeqs(a.door.ctx, seqs)
	if err != nil {
		return nil, err
	}
	var selected []stream.Selected
	for _, m := range there {
		wanted := a.s.state()
		switch {
		case a.whatever, wanted == "", m.State == wanted:
			selected = append(selected, m)
		default:
			if err := a.refuse(m); err != nil {
				return nil, err
			}
		}
	}
	for _, seq := range missing {
		if a.whatever { // an erasure may have been killed half-way
			selected = append(selected, stream.Selected{Seq: seq})
		} else if err := a.tell(stream.Outcome{Selected: stream.Selected{Seq: seq}, Err: stream.ErrNotParked}); err != nil {
			return nil, err
		}
	}
	return selected, nil
}

// refuse tells that a message is not in the state that is asked for.
func (a *parkedAct) refuse(m stream.Selected) error {
	now, err := a.door.inbox.Get(a.door.ctx, m.Seq)
	if err != nil {
		return err
	}
	said := fmt.Sprintf("it was %s by %s at %s", now.State, now.SettledBy, now.SettledAt.UTC().Format(time.RFC3339))
	if m.State == stream.StateOpen {
		said = "it is open"
	}
	if m.State != a.goal {
		return a.tell(stream.Outcome{Selected: m, Err: fmt.Errorf("%s (--state says which are meant; all means any)", said)})
	}
	a.skipped++
	return a.write(outcomeJSON{Seq: m.Seq, Copies: m.Copies, Result: "skipped", Reason: m.Reason}, said)
}

// confirm asks the person at the terminal where a filter has chosen.
func (a *parkedAct) confirm(selected []stream.Selected, named bool) error {
	if len(selected) == 0 || a.s.Yes || a.s.DryRun || named && !a.ask {
		return nil
	}
	in, isFile := a.std.In.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return ops.Usagef("%s %d messages without asking? Give --yes, or --dry-run to see which", a.verb, len(selected))
	}
	reasons := map[string]int{}
	for _, m := range selected {
		reasons[m.Reason]++
	}
	for _, reason := range sortedKeys(reasons) {
		fmt.Fprintf(a.std.Err, "%8d  %s\n", reasons[reason], Printable(reason))
	}
	fmt.Fprintf(a.std.Err, "%s %d messages? [y/N] ", a.verb, len(selected))
	answer, err := bufio.NewReader(untilDone(a.door.ctx, in)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read answer: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing is done: the answer was not yes")
	}
	return nil
}

// tell counts an outcome, and tells it where somebody wants to know.
func (a *parkedAct) tell(o stream.Outcome) error {
	out := outcomeJSON{
		Seq: o.Seq, Copies: o.Copies, Result: a.done, Reason: o.Reason, Subject: o.Subject, EventSeq: o.EventSeq,
	}
	said := ""
	if a.s.DryRun {
		out.Result = "would " + a.verb
	}
	if o.Subject != "" {
		said = "on " + o.Subject
	}
	if o.Broken != nil {
		a.broken++
		out.Broken = o.Broken.Error()
		said += ", to be parked again: " + out.Broken
	}
	switch {
	case o.Err != nil:
		a.failed++
		err := a.door.reason(o.Err)
		out.Result, out.Error = "failed", err.Error()
		a.clear()
		fmt.Fprintf(a.std.Err, "message %d: %s\n", o.Seq, Printable(out.Error))
	default:
		a.did++
	}
	if a.bar != nil {
		_ = a.bar.Add(1) // only decoration
	}
	return a.write(out, said)
}

func (a *parkedAct) clear() {
	if a.bar != nil {
		_ = a.bar.Clear() // only decoration
	}
}

// write writes an outcome for programs, and in a dry run for people.
func (a *parkedAct) write(o outcomeJSON, said string) error {
	switch {
	case a.s.Output == "ndjson":
		return writeJSON(a.std.Out, o, "")
	case a.s.Output == "json":
		a.outcomes = append(a.outcomes, o)
	case a.s.DryRun && o.Error == "" || o.Result == "skipped":
		if _, err := fmt.Fprintf(a.std.Out, "%d  %s  %s  %s\n", o.Seq, o.Result, Printable(o.Reason), Printable(said)); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	return nil
}

// end writes the counts: for people where the rest is, for programs apart.
func (a *parkedAct) end() error {
	to, done := a.std.Out, a.done
	if a.s.Output != "table" {
		to = a.std.Err
	}
	if a.s.DryRun {
		done = "would_" + a.verb
	}
	line := fmt.Sprintf("%s=%d skipped=%d failed=%d", done, a.did, a.skipped, a.failed)
	if a.goal == stream.StateReplayed {
		line += fmt.Sprintf(" still_invalid=%d", a.broken)
	}
	if _, err := fmt.Fprintln(to, line); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	if a.s.Output == "json" {
		return writeJSON(a.std.Out, append([]outcomeJSON{}, a.outcomes...), "  ")
	}
	return nil
}

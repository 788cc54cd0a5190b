package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/loginaudit/loginaudit/internal/stream"
)

// ParkedListSettings are those of "loginaudit parked list".
type ParkedListSettings struct {
	ParkedFilterSettings
	Limit   int  `koanf:"limit" help:"most messages to list; 0: all"`
	Summary bool `koanf:"summary" help:"count the messages by reason instead of listing them"`
	ParkedSettings
}

// DefaultParkedList lists what is open.
func DefaultParkedList() ParkedListSettings {
	return ParkedListSettings{ParkedFilterSettings: defaultParkedFilter(), ParkedSettings: DefaultParked()}
}

// Validate names what is out of its range.
func (s ParkedListSettings) Validate() error {
	var err error
	if s.Limit < 0 {
		err = fmt.Errorf("limit: %d is not allowed; 0 or more", s.Limit)
	}
	return errors.Join(err, s.ParkedFilterSettings.Validate(), s.ParkedSettings.Validate())
}

// ListParked writes the parked messages of the filter, oldest first, without
// their bodies, or how many there are for each reason.
func ListParked(ctx context.Context, s ParkedListSettings, out io.Writer) error {
	filter, err := s.filter(time.Now())
	if err != nil {
		return err
	}
	door, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer door.close()
	var list interface {
		add(m stream.ParkedMessage) error
		end() error
	} = &parkedList{format: s.Output, withState: filter.State != stream.StateOpen, narrowed: s.narrows(), out: out}
	if s.Summary {
		list = &parkedSummaries{format: s.Output, out: out}
	}
	n := 0
	for m, err := range door.inbox.List(door.ctx, filter) {
		if err != nil {
			return door.reason(err)
		}
		if err := list.add(m); err != nil {
			return err
		}
		if n++; n == s.Limit {
			break
		}
	}
	return list.end()
}

// nothingMatches is told where a filter chooses no message.
const nothingMatches = "nothing matches"

// parkedList writes a list in one of the formats.
type parkedList struct {
	format    string
	withState bool
	narrowed  bool // by a filter: others may be parked
	out       io.Writer
	table     *tabwriter.Writer
	all       []parkedJSON
	n         int
}

func (l *parkedList) add(message stream.ParkedMessage) error {
	m := parkedSummary(message)
	l.n++
	switch l.format {
	case "ndjson":
		return writeJSON(l.out, m, "")
	case "json":
		l.all = append(l.all, m)
		return nil
	}
	state, detail := "", Printable(m.Detail)
	if l.withState {
		state = string(m.State) + "\t"
	}
	if m.ReplayOf > 0 {
		detail += fmt.Sprintf(" (replay of %d)", m.ReplayOf)
	}
	if l.table == nil {
		l.table = tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
		heading := "SEQ\tPARKED AT\tREASON\tFIELD\tSUBJECT\tSTREAM SEQ\tBYTES\tDETAIL"
		if l.withState {
			heading = "STATE\t" + heading
		}
		fmt.Fprintln(l.table, heading)
	}
	_, err := fmt.Fprintf(l.table, "%s%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", state, m.Seq, m.ParkedAt.Format(time.RFC3339),
		Printable(m.Reason), Printable(m.Field), Printable(m.Subject), m.StreamSeq, m.Size, detail)
	if err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

func (l *parkedList) end() error {
	switch {
	case l.format == "json":
		if l.all == nil {
			l.all = []parkedJSON{}
		}
		return writeJSON(l.out, l.all, "  ")
	case l.format == "table" && l.n == 0 && l.narrowed:
		fmt.Fprintln(l.out, nothingMatches)
	case l.format == "table" && l.n == 0:
		fmt.Fprintln(l.out, "nothing is parked")
	case l.table != nil:
		if err := l.table.Flush(); err != nil {
			return fmt.Errorf("write list: %w", err)
		}
	}
	return nil
}

// parkedSummaries counts messages by reason and state.
type parkedSummaries struct {
	format string
	out    io.Writer
	rows   []*parkedCount
}

// parkedCount is how many messages of a state were parked for a reason, the
// first and the last of them when.
type parkedCount struct {
	State  stream.State `json:"state"`
	Reason string       `json:"reason"`
	Count  int          `json:"count"`
	First  time.Time    `json:"first_parked_at"`
	Last   time.Time    `json:"last_parked_at"`
}

func (l *parkedSummaries) add(m stream.ParkedMessage) error {
	at := slices.IndexFunc(l.rows, func(r *parkedCount) bool { return r.State == m.State && r.Reason == m.Reason })
	if at < 0 {
		at = len(l.rows)
		l.rows = append(l.rows, &parkedCount{State: m.State, Reason: m.Reason, First: m.ParkedAt.UTC()})
	}
	l.rows[at].Count++
	l.rows[at].Last = m.ParkedAt.UTC()
	return nil
}

func (l *parkedSummaries) end() error {
	slices.SortFunc(l.rows, func(a, b *parkedCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.State, b.State))
	})
	total := 0
	for _, r := range l.rows {
		total += r.Count
	}
	switch l.format {
	case "json":
		return writeJSON(l.out, map[string]any{"total": total, "reasons": append([]*parkedCount{}, l.rows...)}, "  ")
	case "ndjson":
		for _, r := range l.rows {
			if err := writeJSON(l.out, r, ""); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tREASON\tCOUNT\tFIRST PARKED AT\tLAST PARKED AT")
	for _, r := range l.rows {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", r.State, Printable(r.Reason), r.Count, r.First.Format(time.RFC3339), r.Last.Format(time.RFC3339))
	}
	fmt.Fprintf(w, "\t\t%d\n", total)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

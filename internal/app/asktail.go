package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/loginaudit/loginaudit/client"
	"github.com/spf13/cobra"
)

// TailSettings are those of "loginaudit tail".
type TailSettings struct {
	LastEventID string `koanf:"last-event-id" help:"begin behind this sequence of the stream (stream_seq of an event; default: now)"`
	Limit       int    `koanf:"limit" help:"end after so many events; 0: never"`
	EventFilterSettings
	AskSettings
}

// DefaultTail begins now and does not end.
func DefaultTail() TailSettings { return TailSettings{AskSettings: DefaultAsk()} }

// Validate names what is not allowed.
func (s TailSettings) Validate() error {
	var err error
	if s.Output == outputJSON {
		err = errors.New("output: a tail has no end, so it is no JSON document; use ndjson")
	}
	_, after := s.after()
	return errors.Join(err, after, PageSettings{Limit: s.Limit}.Validate(), s.EventFilterSettings.Validate(), s.AskSettings.Validate())
}

// after is where the tail begins; nil is now.
func (s TailSettings) after() (*uint64, error) {
	if s.LastEventID == "" {
		return nil, nil //nolint:nilnil // not given is not wrong
	}
	seq, err := strconv.ParseUint(s.LastEventID, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("last-event-id: %q is no sequence of the stream", s.LastEventID)
	}
	return &seq, nil
}

// follow writes events as they arrive, until it is interrupted.
func follow(cmd *cobra.Command, s TailSettings, account string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	out, beside := newRows(s.AskSettings, cmd.OutOrStdout(), "events", eventColumns()), cmd.ErrOrStderr()
	if s.Output == outputTable {
		if err := newTableHead(out); err != nil {
			return err
		}
	}
	options := client.TailOptions{OnBreak: func(err error, pause time.Duration) {
		fmt.Fprintf(beside, "%s; again in %s\n", Printable(err.Error()), pause.Round(100*time.Millisecond))
	}}
	options.After, _ = s.after() // validated
	n := 0
	for item, err := range c.Tail(cmd.Context(), account, s.filter(cmd.Flags().Changed), options) {
		switch {
		case errors.Is(err, context.Canceled) && cmd.Context().Err() != nil:
			return nil // somebody has seen enough
		case err != nil:
			return told(cmd, err)
		case item.Gap != nil:
			err = writeGap(cmd, s, *item.Gap)
		case item.Event != nil:
			n++
			err = out.add([]client.Event{*item.Event})
		}
		if err != nil {
			return err
		}
		if s.Limit > 0 && n == s.Limit {
			return nil
		}
	}
	return nil
}

func newTableHead(out rowWriter[client.Event]) error {
	if t, ok := out.(*tableRows[client.Event]); ok {
		return t.table.add(nil)
	}
	return nil
}

// writeGap tells what the tail has skipped: to programs among the events, to
// people beside them.
func writeGap(cmd *cobra.Command, s TailSettings, gap client.TailGap) error {
	if s.Output == outputNDJSON {
		return writeJSON(cmd.OutOrStdout(), map[string]client.TailGap{"gap": gap}, "")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "gap: nothing is told of the sequences %d to %d: %s\n", gap.FromSeq, gap.ToSeq, Printable(gap.Detail))
	return nil
}

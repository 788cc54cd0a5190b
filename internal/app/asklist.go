package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/spf13/cobra"
)

// listing is a list of the API: a name, columns for people, and how a page of it
// is asked for.
type listing[T any] struct {
	member  string
	columns []column[T]
	page    func(context.Context, *client.Client, client.Page) (rows []T, next *string, mark client.Watermark, err error)
}

// mostOfAPage is the most rows that the API gives at once.
const mostOfAPage = 1000

// show writes a list, page by page, up to the limit.
func (l listing[T]) show(cmd *cobra.Command, s AskSettings, p PageSettings) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	defer c.Close()
	out := newRows(s, cmd.OutOrStdout(), l.member, l.columns)
	left, most := p.Limit, mostOfAPage
	page := client.Page{Cursor: p.Cursor}
	shown := 0
	for {
		page.Limit = most
		if p.Limit > 0 {
			page.Limit = min(left, most)
		}
		rows, next, mark, err := l.page(cmd.Context(), c, page)
		if errors.Is(err, client.ErrTooLarge) && page.Limit > 1 {
			most = page.Limit / 10 // the events in it are large
			continue
		}
		if err != nil {
			return told(cmd, err)
		}
		if err := out.add(rows); err != nil {
			return err
		}
		shown, left = shown+len(rows), left-len(rows)
		if next != nil && (p.Limit == 0 || left > 0) {
			page.Cursor = *next
			continue
		}
		if err := out.end(next, mark); err != nil {
			return err
		}
		s.close(cmd, shown, next != nil, mark)
		return nil
	}
}

// close tells, beside the answer, how complete it is.
func (s AskSettings) close(cmd *cobra.Command, shown int, more bool, mark client.Watermark) {
	if s.Output == outputTable {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d shown; %s\n", shown, s.freshness(cmd.OutOrStdout(), mark))
	}
	if more {
		fmt.Fprintln(cmd.ErrOrStderr(), "more: --limit 0 for all")
	}
}

// freshness tells up to when an answer has everything.
func (s AskSettings) freshness(out io.Writer, mark client.Watermark) string {
	text := "no ingest worker has told yet how complete this is"
	if mark.Time != nil {
		text = fmt.Sprintf("complete up to %s, %s behind", s.look(out).at(*mark.Time), (time.Duration(mark.LagMS) * time.Millisecond).Round(100*time.Millisecond))
	}
	if mark.GapsTotal > 0 {
		text += fmt.Sprintf("; the stream lost messages in %d gaps before they were ingested (see GET /api/v1/status)", mark.GapsTotal)
	}
	return text
}

// askError is an error of the API as a person is told it.
type askError struct {
	text string
	err  error
}

// Error is safe to print.
func (e *askError) Error() string { return e.text }

// Unwrap gives what it was.
func (e *askError) Unwrap() error { return e.err }

// told makes an error of the API one for a person: each wrong parameter by its
// flag, on a line of its own, with what is allowed.
func told(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	text := Printable(err.Error())
	var problem *client.Problem
	switch {
	case errors.As(err, &problem) && len(problem.Errors) > 0:
		lines := []string{Printable(fmt.Sprintf("%s (%d, request %s)", problem.Title, problem.Status, problem.RequestID))}
		for _, p := range problem.Errors {
			line := flagOf(cmd.Flags(), p.Parameter) + ": " + p.Detail
			if p.Allowed != "" {
				line += "; allowed: " + p.Allowed
			}
			lines = append(lines, Printable(line))
		}
		text = strings.Join(lines, "\n  ")
	case errors.As(err, &problem) && problem.Proposal != nil && cmd.Flags().Lookup("start") != nil:
		text += fmt.Sprintf("\n  try --start %s --end %s", problem.Proposal.Start, problem.Proposal.End)
	case errors.Is(err, client.ErrUnauthorized):
		text += " (look at --token-file, LOGINAUDIT_TOKEN)"
	case errors.Is(err, client.ErrNotAPI):
		text += " (look at --server)"
	case errors.Is(err, client.ErrEmptyName):
		return ops.Usagef("%s: \"loginaudit events ACCOUNT --username ''\" lists the events without a username", text)
	}
	return &askError{text, err}
}

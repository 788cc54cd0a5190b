package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/event"
	"github.com/spf13/cobra"
)

// showOne writes one answer: by table for people, as the API has it, or as one
// record.
func showOne(cmd *cobra.Command, s AskSettings, answer, row any, forPeople func(out io.Writer, l look) error) error {
	out := cmd.OutOrStdout()
	switch s.Output {
	case outputJSON:
		return writeJSON(out, answer, "  ")
	case outputNDJSON:
		return writeJSON(out, answer, "")
	case outputCSV:
		names, cells, err := record(row)
		if err != nil {
			return err
		}
		rows := csvRows[any]{out: out, escape: isTerminal(out)}
		return rows.write(names, cells)
	default:
		return forPeople(out, s.look(out))
	}
}

// fact is a line of what is told of one thing.
type fact struct {
	name string
	cell cell
}

func factColumns() []column[fact] {
	return []column[fact]{
		{"", 0, 0, func(f fact, _ look) cell { return cell{f.name, strong} }},
		{"", 0, 0, func(f fact, _ look) cell { return f.cell }},
	}
}

// writeFacts writes facts below one another, without those that are empty.
func writeFacts(out io.Writer, l look, facts []fact) error {
	facts = slices.DeleteFunc(facts, func(f fact) bool { return f.cell.text == "" })
	t := newTable(out, l, factColumns())
	t.widths = make([]int, 2) // no heading
	return t.add(facts)
}

// section writes a heading, and rows below it.
func section[T any](out io.Writer, l look, heading string, columns []column[T], rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(out, "\n%s\n", l.shown(heading, strong)); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return newTable(out, l, columns).add(rows)
}

func showUser(out io.Writer, l look, u client.UserDetail) error {
	err := writeFacts(out, l, []fact{
		{"username", named(u.Username)},
		{"logged in", loggedIn(u.User)},
		{"status", code(u.Status, u.StatusName)},
		{"entry", code(u.Entry, u.EntryName)},
		{"last log-in", l.activity(u.LastLogin)},
		{"last successful log-in", l.activity(u.LastLoginSuccess)},
		{"last failed log-in", l.activity(u.LastLoginFailure)},
		{"last log-out", l.activity(u.LastLogout)},
	})
	if err != nil {
		return err
	}
	return section(out, l, "Open sessions", sessionColumns()[1:], u.Sessions)
}

func showEvent(out io.Writer, l look, d client.EventDetails) error {
	e := d.Event.Event
	if _, err := fmt.Fprintf(out, "%s\n\n", l.shown(Printable(sentence(e, l)), toneOf(e.Outcome))); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	if err := writeFacts(out, l, eventFacts(e, l)); err != nil {
		return err
	}
	steps := slices.Insert(slices.Clone(eventColumns()), 0, column[client.Event]{"", 0, 0, func(step client.Event, _ look) cell {
		if step.StreamSeq == e.StreamSeq {
			return cell{">", strong}
		}
		return cell{}
	}})
	if err := section(out, l, attemptHeading(d, l), steps, d.AttemptEvents); err != nil {
		return err
	}
	if err := section(out, l, "Same user or address within five minutes", eventColumns(), d.Neighbours); err != nil {
		return err
	}
	if d.VersionsTotal <= 1 {
		return writeRaw(out, l, "Message", d.Event.Raw)
	}
	return showVersions(out, l, d)
}

// sentence tells an event in words.
func sentence(e client.Event, l look) string {
	who := "Somebody whose name is not known"
	if e.Username != "" {
		who = `"` + e.Username + `"` // it may read like the rest of the sentence
	}
	var what string
	switch e.Status.Attempt() {
	case event.AttemptLogin:
		what = "tried to log in"
	case event.AttemptLogout:
		what = "logged out, or was logged out"
	case event.AttemptNone:
		what = map[event.Kind]string{event.KindMFA: "changed the second factor", event.KindReset: "asked for a new password"}[e.Kind]
	}
	text := fmt.Sprintf("%s %s at %s", who, what, l.at(e.OccurredAt))
	if e.IP != nil {
		text += " from " + *e.IP
	}
	text += fmt.Sprintf(" by %s: %s, %s", e.EntryName, e.Outcome, e.StatusName)
	switch e.Status.Session() {
	case event.SessionOpens:
		text += " (a session opens)"
	case event.SessionCloses:
		text += " (the session ends)"
	case event.SessionNone:
	}
	return text
}

func eventFacts(e client.Event, l look) []fact {
	optional := func(name string, text *string) fact {
		if text == nil {
			return fact{name: name}
		}
		return fact{name, cell{text: *text}}
	}
	facts := []fact{
		{"id", cell{text: e.ID}},
		{"account", cell{text: e.Account}},
		{"username", named(e.Username)},
		{"occurred at", cell{text: l.at(e.OccurredAt) + " (" + e.OccurredAt.String() + ")"}},
		{"entry", code(e.Entry, e.EntryName)},
		{"status", code(e.Status, e.StatusName)},
		{"kind", cell{text: string(e.Kind)}},
		{"outcome", outcomeCell(e.Outcome)},
		optional("session id", e.SessionID),
		optional("address", e.IP),
		optional("client", e.UserAgent),
		optional("service", e.Service),
		optional("second factor", (*string)(e.MFAMethod)),
		optional("device id", e.DeviceID),
		optional("request id", e.RequestID),
		optional("reason", e.Reason),
	}
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		facts = append(facts, fact{"attribute " + name, cell{text: e.Attributes[name]}})
	}
	return append(facts,
		fact{"received at", cell{text: l.at(e.ReceivedAt) + " by the stream, as sequence " + fmt.Sprint(e.StreamSeq)}},
		fact{"ingested at", cell{text: l.at(e.IngestedAt) + ", " + delay(e) + " after it occurred"}},
	)
}

func delay(e client.Event) string {
	return max(e.IngestedAt.Sub(e.OccurredAt.Time), 0).Round(time.Millisecond).String()
}

func attemptHeading(d client.EventDetails, l look) string {
	a := d.Attempt
	text := fmt.Sprintf("Attempt: %s, session %s, events %d", a.Outcome, a.State, a.Events)
	if a.LoginAt != nil {
		text += ", log-in " + l.at(*a.LoginAt)
	}
	if a.LogoutAt != nil {
		text += ", log-out " + l.at(*a.LogoutAt)
	}
	if n := len(d.AttemptEvents); n < a.Events {
		text += fmt.Sprintf(" (%d around this one)", n)
	}
	return text
}

// showVersions tells apart what was published under one id.
func showVersions(out io.Writer, l look, d client.EventDetails) error {
	heading := fmt.Sprintf("CONFLICT: %d different events have this id", d.VersionsTotal)
	if n := len(d.Versions); n < d.VersionsTotal {
		heading += fmt.Sprintf("; the newest %d", n)
	}
	heading += ". Each by itself: --stream-seq N"
	columns := slices.Insert(slices.Clone(eventColumns()), 0, column[client.Event]{"STREAM SEQ", 0, 0, func(v client.Event, _ look) cell {
		return cell{text: fmt.Sprint(v.StreamSeq)}
	}})
	var versions []client.Event
	for _, v := range d.Versions {
		versions = append(versions, v.Event)
	}
	if err := section(out, l, heading, columns, versions); err != nil {
		return err
	}
	for _, v := range d.Versions {
		if err := writeRaw(out, l, fmt.Sprintf("Message of sequence %d", v.StreamSeq), v.Raw); err != nil {
			return err
		}
	}
	return nil
}

// writeRaw writes a message laid out, its texts made printable.
func writeRaw(out io.Writer, l look, heading, raw string) error {
	var laid bytes.Buffer
	if err := json.Indent(&laid, []byte(raw), "", "  "); err != nil {
		laid.Reset() // no event's message is anything but JSON
		laid.WriteString(raw)
	}
	lines := strings.Split(strings.TrimSpace(laid.String()), "\n")
	for i := range lines {
		lines[i] = Printable(lines[i])
	}
	if _, err := fmt.Fprintf(out, "\n%s\n%s\n", l.shown(heading, strong), strings.Join(lines, "\n")); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

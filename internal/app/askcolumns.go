package app

import (
	"fmt"
	"strings"

	"github.com/loginaudit/loginaudit/client"
	"github.com/loginaudit/loginaudit/event"
)

// The columns of the tables for people. Codes have their names.

// timeLayout tells the offset too: an hour may come twice.
const timeLayout = "2006-01-02 15:04:05Z07:00"

func (l look) at(t client.Time) string { return t.In(l.zone).Format(timeLayout) }

func (l look) maybeAt(t *client.Time) cell {
	if t == nil {
		return cell{"-", faint}
	}
	return cell{text: l.at(*t)}
}

func maybe(text *string) cell {
	if text == nil {
		return cell{"-", faint}
	}
	return cell{text: *text}
}

// named is a username, in quotes where one could not see where it begins and ends.
func named(username string) cell {
	if username == "" {
		return cell{`""`, faint}
	}
	if strings.TrimSpace(username) != username || username[0] == '"' {
		username = `"` + username + `"`
	}
	return cell{text: username}
}

func toneOf(o event.Outcome) tone {
	switch o {
	case event.OutcomeSuccess:
		return good
	case event.OutcomeFailure:
		return bad
	case event.OutcomePending:
		return open
	}
	return plain
}

func outcomeCell(o event.Outcome) cell { return cell{string(o), toneOf(o)} }

func stateCell(s client.State) cell {
	switch s {
	case client.StateOpen:
		return cell{string(s), good}
	case client.StateExpired:
		return cell{string(s), open}
	}
	return cell{text: string(s)}
}

func code[T ~uint8](c T, name string) cell { return cell{text: fmt.Sprintf("%d %s", c, name)} }

func (l look) activity(a *client.Activity) cell {
	if a == nil {
		return cell{"never", faint}
	}
	return cell{l.at(a.At) + " " + string(a.Outcome), toneOf(a.Outcome)}
}

func userColumns() []column[client.User] {
	return []column[client.User]{
		{"USERNAME", 0, 40, func(u client.User, _ look) cell { return named(u.Username) }},
		{"LAST LOG-IN", 0, 0, func(u client.User, l look) cell { return l.activity(u.LastLogin) }},
		{"LAST LOG-OUT", 0, 0, func(u client.User, l look) cell { return l.activity(u.LastLogout) }},
		{"ENTRY", 0, 30, func(u client.User, _ look) cell { return code(u.Entry, u.EntryName) }},
		{"STATUS", 0, 40, func(u client.User, _ look) cell { return code(u.Status, u.StatusName) }},
		{"LOGGED IN", 0, 0, func(u client.User, _ look) cell { return loggedIn(u) }},
	}
}

func loggedIn(u client.User) cell {
	switch {
	case !u.LoggedIn:
		return cell{"no", faint}
	case u.OpenSessions == 1:
		return cell{"yes", good}
	}
	return cell{fmt.Sprintf("yes, %d sessions", u.OpenSessions), good}
}

func attemptColumns() []column[client.Attempt] {
	return []column[client.Attempt]{
		{"STARTED", 0, 0, func(a client.Attempt, l look) cell { return cell{text: l.at(a.StartedAt)} }},
		{"LOG-IN", 0, 0, func(a client.Attempt, l look) cell { return l.maybeAt(a.LoginAt) }},
		{"LOG-OUT", 0, 0, func(a client.Attempt, l look) cell { return l.maybeAt(a.LogoutAt) }},
		{"ENTRY", 0, 30, func(a client.Attempt, _ look) cell { return code(a.Entry, a.EntryName) }},
		{"STATUS", 0, 40, func(a client.Attempt, _ look) cell { return code(a.Status, a.StatusName) }},
		{"OUTCOME", 0, 0, func(a client.Attempt, _ look) cell { return outcomeCell(a.Outcome) }},
		{"SESSION", 0, 0, func(a client.Attempt, _ look) cell { return stateCell(a.State) }},
		{"ADDRESS", 0, 0, func(a client.Attempt, _ look) cell { return maybe(a.IP) }},
		{"EVENTS", 0, 0, func(a client.Attempt, _ look) cell { return cell{text: fmt.Sprint(a.Events)} }},
		{"CLIENT", 0, 40, func(a client.Attempt, _ look) cell { return maybe(a.UserAgent) }},
	}
}

func eventColumns() []column[client.Event] {
	return []column[client.Event]{
		{"OCCURRED AT", 20, 0, func(e client.Event, l look) cell { return cell{text: l.at(e.OccurredAt)} }},
		{"USERNAME", 16, 40, func(e client.Event, _ look) cell { return named(e.Username) }},
		{"ENTRY", 18, 30, func(e client.Event, _ look) cell { return code(e.Entry, e.EntryName) }},
		{"STATUS", 20, 40, func(e client.Event, _ look) cell { return code(e.Status, e.StatusName) }},
		{"OUTCOME", 7, 0, func(e client.Event, _ look) cell { return outcomeCell(e.Outcome) }},
		{"ADDRESS", 15, 0, func(e client.Event, _ look) cell { return maybe(e.IP) }},
		{"ID", 0, 64, func(e client.Event, _ look) cell {
			if e.Conflict {
				return cell{e.ID + " (in conflict)", bad}
			}
			return cell{text: e.ID}
		}},
	}
}

func sessionColumns() []column[client.Session] {
	return []column[client.Session]{
		{"USERNAME", 0, 40, func(s client.Session, _ look) cell { return named(s.Username) }},
		{"STATE", 0, 0, func(s client.Session, _ look) cell { return stateCell(s.State) }},
		{"OPENED", 0, 0, func(s client.Session, l look) cell { return l.maybeAt(s.OpenedAt) }},
		{"CLOSED", 0, 0, func(s client.Session, l look) cell { return l.maybeAt(s.ClosedAt) }},
		{"STATUS", 0, 40, func(s client.Session, _ look) cell { return code(s.Status, s.StatusName) }},
		{"ADDRESS", 0, 0, func(s client.Session, _ look) cell { return maybe(s.IP) }},
		{"EVENTS", 0, 0, func(s client.Session, _ look) cell { return cell{text: fmt.Sprint(s.Events)} }},
		{"SESSION ID", 0, 40, func(s client.Session, _ look) cell { return maybe(s.SessionID) }},
		{"CLIENT", 0, 40, func(s client.Session, _ look) cell { return maybe(s.UserAgent) }},
	}
}

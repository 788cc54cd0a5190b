package faults

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/query"
)

// sessionLimit is the query service's, which the tests leave as it is.
const sessionLimit = 24 * time.Hour

// histories is of how many users of an account the log-in history is compared.
const histories = 8

// checkAnswers holds what the API answers against a plain fold over the stream.
func (s *System) checkAnswers(t *truth) {
	s.tb.Helper()
	plain := oracle.New(t.all, sessionLimit)
	asOf := time.Now().UTC().Truncate(time.Microsecond)
	wrong := &report{what: "an answer is not that of a plain fold"}
	byAccount := map[string][]event.Stored{}
	for _, e := range t.events {
		byAccount[e.Account] = append(byAccount[e.Account], e)
	}
	for account, events := range byAccount {
		s.checkEvents(account, events, wrong)
		s.checkUsers(account, plain, asOf, wrong)
	}
	s.tell(wrong)
}

// checkEvents holds the list of an account's events against those of the stream.
func (s *System) checkEvents(account string, events []event.Stored, wrong *report) {
	s.tb.Helper()
	listed, err := list[query.Event](s, accountPath(account)+"/events", "events", url.Values{"limit": {"1000"}})
	if err != nil {
		wrong.add("%v", err)
		return
	}
	bySeq := map[uint64]event.Stored{}
	versions := map[string]int{}
	for _, e := range events {
		bySeq[e.StreamSeq] = e
		versions[e.ID]++
	}
	for i, got := range listed {
		want, ok := bySeq[got.StreamSeq]
		switch {
		case !ok:
			wrong.add("%s: event %s with sequence %d is not of the stream, or listed twice", account, got.ID, got.StreamSeq)
		case got.ID != want.ID, got.Username != want.Username, !got.OccurredAt.Equal(want.OccurredAt),
			got.Entry != want.Entry, got.Status != want.Status, !got.ReceivedAt.Equal(want.ReceivedAt.Truncate(time.Microsecond)):
			wrong.add("%s: event %+v, want %+v", account, got, want.Event)
		case got.Conflict != (versions[got.ID] > 1):
			wrong.add("%s: event %s: conflict %t, it has %d versions", account, got.ID, got.Conflict, versions[got.ID])
		case i > 0 && listed[i-1].OccurredAt.Before(got.OccurredAt.Time):
			wrong.add("%s: event %s is not in order", account, got.ID)
		}
		delete(bySeq, got.StreamSeq)
	}
	for seq, e := range bySeq {
		wrong.add("%s: event %s with sequence %d is not listed", account, e.ID, seq)
	}
}

// checkUsers compares the users of an account, and the histories of some.
func (s *System) checkUsers(account string, plain *oracle.Oracle, asOf time.Time, wrong *report) {
	s.tb.Helper()
	at := asOf.Format(time.RFC3339Nano)
	got, err := list[query.User](s, accountPath(account)+"/users", "users", url.Values{"as_of": {at}, "limit": {"200"}})
	want := plain.Users(account, query.UserFilter{AsOf: asOf})
	wrong.compare(account+": users", got, want, err)
	step := max(len(want)/histories, 1)
	for i := 0; i < len(want); i += step {
		name := want[i].Username
		path := accountPath(account) + "/users/" + url.PathEscape(name) + "/attempts"
		got, err := list[query.Attempt](s, path, "attempts", url.Values{"as_of": {at}, "limit": {"500"}})
		wrong.compare(account+": attempts of "+strconv.Quote(name), got,
			plain.Attempts(account, query.AttemptFilter{AsOf: asOf, Username: name}), err)
	}
}

// compare compares two answers as the reader sees them.
func (r *report) compare(what string, got, want any, err error) {
	if err != nil {
		r.add("%s: %v", what, err)
		return
	}
	g, bad := json.Marshal(got)
	w, worse := json.Marshal(want)
	if bad != nil || worse != nil {
		r.add("%s: %v %v", what, bad, worse)
		return
	}
	if string(g) != string(w) {
		r.add("%s:\ngot  %s\nwant %s", what, excerpt(g, w), excerpt(w, g))
	}
}

// excerpt is where a text begins to differ from another.
func excerpt(text, other []byte) string {
	at := 0
	for at < min(len(text), len(other)) && text[at] == other[at] {
		at++
	}
	return fmt.Sprintf("…%s…", text[max(at-200, 0):min(at+200, len(text))])
}

package app

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/ingest"
	"github.com/loginaudit/loginaudit/internal/ops"
	"github.com/loginaudit/loginaudit/internal/stream"
)

// anyState is the value of --state that takes every message.
const anyState = "all"

// ParkedFilterSettings choose parked messages; list, replay and discard take the
// same.
type ParkedFilterSettings struct {
	State         string   `koanf:"state" help:"what was done with it: open, replayed, discarded, or all"`
	Account       string   `koanf:"account" help:"only messages whose subject names this account; _ for those that name none"`
	Reason        []string `koanf:"reason" help:"only messages parked for this reason code; may be repeated"`
	Field         string   `koanf:"field" help:"only messages parked because of this field of the event"`
	Subject       string   `koanf:"subject" help:"only messages of this subject; * is any part of it, > at the end any parts"`
	Text          string   `koanf:"text" help:"only messages with this in the sentence that tells what is wrong"`
	From          string   `koanf:"from" help:"only messages parked from this time on: RFC 3339, a date in UTC, now, or -24h"`
	To            string   `koanf:"to" help:"only messages parked before this time"`
	FromSeq       int      `koanf:"from-seq" help:"only messages from this sequence of LOGIN_PARKED on"`
	ToSeq         int      `koanf:"to-seq" help:"only messages up to this sequence of LOGIN_PARKED"`
	FromStreamSeq int      `koanf:"from-stream-seq" help:"only messages from this sequence of LOGIN_EVENTS on"`
	ToStreamSeq   int      `koanf:"to-stream-seq" help:"only messages up to this sequence of LOGIN_EVENTS"`
	Valid         bool     `koanf:"valid" help:"only messages that the contract allows by now"`
}

func defaultParkedFilter() ParkedFilterSettings {
	return ParkedFilterSettings{State: string(stream.StateOpen)}
}

// given reports whether anything but the state narrows.
func (s ParkedFilterSettings) given() bool {
	s.State = ""
	if len(s.Reason) == 0 {
		s.Reason = nil
	}
	return !reflect.DeepEqual(s, ParkedFilterSettings{})
}

// narrows reports whether it leaves anything out of what is open, or chooses
// what was settled in one way: no state but "all" takes everything.
func (s ParkedFilterSettings) narrows() bool {
	return s.given() || s.State != string(stream.StateOpen) && s.State != anyState
}

// parkedReasons are the reason codes for which a worker parks messages.
func parkedReasons() []string {
	var all []string
	for _, r := range append(event.Reasons(), ingest.ReasonRowRefused) {
		all = append(all, string(r))
	}
	return all
}

// state is the state as the stream side knows it; "" is any.
func (s ParkedFilterSettings) state() stream.State {
	if s.State == anyState {
		return ""
	}
	return stream.State(s.State)
}

// Validate names what is out of its range.
func (s ParkedFilterSettings) Validate() error {
	var errs []error
	if s.State != anyState && !slices.Contains(stream.States(), stream.State(s.State)) {
		errs = append(errs, fmt.Errorf("state: %q is not allowed; open, replayed, discarded or all", s.State))
	}
	known := parkedReasons()
	for _, reason := range s.Reason {
		if !slices.Contains(known, reason) {
			errs = append(errs, fmt.Errorf("reason: %q is not allowed; one of %s", reason, strings.Join(known, ", ")))
		}
	}
	for _, n := range []struct {
		key   string
		value int
	}{{"from-seq", s.FromSeq}, {"to-seq", s.ToSeq}, {"from-stream-seq", s.FromStreamSeq}, {"to-stream-seq", s.ToStreamSeq}} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s: %d is not allowed; 0 or more", n.key, n.value))
		}
	}
	if s.ToSeq > 0 && s.FromSeq > s.ToSeq {
		errs = append(errs, fmt.Errorf("from-seq: %d is after to-seq %d", s.FromSeq, s.ToSeq))
	}
	if s.ToStreamSeq > 0 && s.FromStreamSeq > s.ToStreamSeq {
		errs = append(errs, fmt.Errorf("from-stream-seq: %d is after to-stream-seq %d", s.FromStreamSeq, s.ToStreamSeq))
	}
	_, err := s.filter(time.Now())
	return errors.Join(append(errs, err)...)
}

// filter is the filter as of now.
func (s ParkedFilterSettings) filter(now time.Time) (stream.ParkedFilter, error) {
	f := stream.ParkedFilter{
		State: s.state(), Account: s.Account, Reasons: s.Reason, Field: s.Field, Subject: s.Subject, Text: s.Text, Valid: s.Valid,
		FromSeq: uint64(max(s.FromSeq, 0)), ToSeq: uint64(max(s.ToSeq, 0)),
		FromStreamSeq: uint64(max(s.FromStreamSeq, 0)), ToStreamSeq: uint64(max(s.ToStreamSeq, 0)),
	}
	var errs [2]error
	f.From, errs[0] = parseMoment("from", s.From, now)
	f.To, errs[1] = parseMoment("to", s.To, now)
	err := errors.Join(errs[:]...)
	if err == nil && !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		err = fmt.Errorf("from: %s is not before to, %s", s.From, s.To)
	}
	return f, err
}

// parseMoment reads a time: RFC 3339, a date (its beginning in UTC), now, or a
// duration before or after now. Empty is no time.
func parseMoment(key, text string, now time.Time) (time.Time, error) {
	switch {
	case text == "":
		return time.Time{}, nil
	case text == "now":
		return now, nil
	case strings.HasPrefix(text, "-") || strings.HasPrefix(text, "+"):
		if d, err := ops.ParseDuration(text); err == nil {
			return now.Add(d), nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s: %q is not a time; write it like 2026-11-23T10:00:00Z, 2026-11-23, now, -24h or -7d", key, text)
}

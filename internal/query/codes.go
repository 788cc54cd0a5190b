package query

import "github.com/loginaudit/loginaudit/event"

// EntryCode is a row of the table of entries.
type EntryCode struct {
	Code event.Entry `json:"code"`
	Name string      `json:"name"`
}

// StatusCode is a row of the table of statuses. Attempt and Session are null
// where the status is none and does nothing.
type StatusCode struct {
	Code    event.Status         `json:"code"`
	Name    string               `json:"name"`
	Kind    event.Kind           `json:"kind"`
	Attempt *event.Attempt       `json:"attempt"`
	Outcome event.Outcome        `json:"outcome"`
	Session *event.SessionEffect `json:"session"`
	Rank    uint8                `json:"rank"`
}

// CodeTables is the answer of GET /api/v1/codes.
type CodeTables struct {
	Entries  []EntryCode  `json:"entries"`
	Statuses []StatusCode `json:"statuses"`
	// Columns tells what each column means.
	Columns map[string]string `json:"columns"`
}

// Codes is the two code tables of the contract with their meaning.
func Codes() CodeTables {
	t := CodeTables{Columns: map[string]string{
		"code":    "the number in events, answers and filters; status 4 does not exist",
		"name":    "what people call it",
		"kind":    "the family: login, logout, mfa, reset",
		"attempt": "whether it counts as a log-in or a log-out attempt; null: neither",
		"outcome": "how it went: success, failure, pending",
		"session": "whether it opens or closes the session; null: neither",
		"rank":    "of two events at the same instant, the one with the greater rank comes later",
	}}
	for _, e := range event.Entries() {
		t.Entries = append(t.Entries, EntryCode{Code: e, Name: e.Name()})
	}
	for _, s := range event.Statuses() {
		t.Statuses = append(t.Statuses, StatusCode{
			Code: s, Name: s.Name(), Kind: s.Kind(), Attempt: nonEmpty(s.Attempt()),
			Outcome: s.Outcome(), Session: nonEmpty(s.Session()), Rank: s.Rank(),
		})
	}
	return t
}

func nonEmpty[T ~string](v T) *T {
	if v == "" {
		return nil
	}
	return &v
}

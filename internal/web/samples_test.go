package web

import (
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// bareShapes answer with the least that an answer can hold.
func bareShapes() *shapes {
	return &shapes{
		user:    query.UserDetail{User: bareUser("bob")},
		details: query.EventDetails{Event: bareRaw("e-1"), Versions: []query.RawEvent{bareRaw("e-1")}, VersionsTotal: 1, Attempt: bareAttempt(), AttemptEvents: []query.Event{bareEvent("e-1")}},
		bars:    query.Histogram{Interval: "1h"},
		facets:  query.FacetAnswer{Facets: map[query.Facet][]query.FacetValue{query.FacetStatus: nil}},
	}
}

func ptr[T any](v T) *T { return &v }

// someEvent has every field, and what JSON encoders like to change.
func someEvent(id string) query.Event {
	at := query.At(time.Date(2026, 11, 1, 9, 30, 15, 120000000, time.UTC))
	return query.Event{
		ID: id, Account: "acme", Username: "bob <b@x.example> & \"co\"\u2028\x00é", OccurredAt: at,
		Entry: 1, EntryName: event.Entry(1).Name(), Status: 25, StatusName: event.Status(25).Name(),
		Kind: event.KindMFA, Outcome: event.OutcomePending, SessionID: ptr("s-1"), IP: ptr("192.0.2.7"), UserAgent: ptr("curl/8"),
		Service: ptr("sso"), MFAMethod: ptr(event.MFAMethod("totp")), DeviceID: ptr("d-1"), RequestID: ptr("r-1"), Reason: ptr("why"),
		Attributes: map[string]string{"a": "<1>"}, ReceivedAt: at, IngestedAt: at, StreamSeq: 7, Conflict: true,
		Hash: event.Hash{1, 2, 3},
	}
}

// bareEvent has only what is required.
func bareEvent(id string) query.Event {
	at := query.At(time.Date(2026, 11, 1, 9, 30, 15, 0, time.UTC))
	return query.Event{
		ID: id, Account: "acme", Username: "eve", OccurredAt: at, Entry: 2, EntryName: event.Entry(2).Name(), Status: 5,
		StatusName: event.Status(5).Name(), Kind: event.KindLogin, Outcome: event.OutcomeFailure, ReceivedAt: at, IngestedAt: at, StreamSeq: 8,
	}
}

func bareRaw(id string) query.RawEvent { return query.RawEvent{Event: bareEvent(id), Raw: "{}"} }

// bareUser has done nothing that is an attempt.
func bareUser(name string) query.User {
	return query.User{Username: name, Entry: 8, EntryName: event.Entry(8).Name(), Status: 15, StatusName: event.Status(15).Name()}
}

// bareAttempt is an event alone.
func bareAttempt() query.Attempt {
	return query.Attempt{
		Username: "bob", StartedAt: query.At(now), Entry: 1, EntryName: event.Entry(1).Name(), Status: 5,
		StatusName: event.Status(5).Name(), Outcome: event.OutcomeFailure, State: query.StateNone, Events: 1,
	}
}

func someWatermark() query.Watermark {
	return query.Watermark{StreamSeq: 42, Time: ptr(query.At(now)), LagMS: 250}
}

func someUser() query.User {
	login := &query.Activity{At: query.At(now), EventID: "e-1", Status: 1, Outcome: event.OutcomeSuccess}
	return query.User{
		Username: "bob", LastLogin: login, LastLoginSuccess: login, Entry: 1, EntryName: event.Entry(1).Name(),
		Status: 1, StatusName: event.Status(1).Name(), LoggedIn: true, OpenSessions: 1,
	}
}

func someAttempt() query.Attempt {
	return query.Attempt{
		SessionID: ptr("s-1"), Username: "bob", StartedAt: query.At(now), LoginAt: ptr(query.At(now)), Entry: 1,
		EntryName: event.Entry(1).Name(), Status: 1, StatusName: event.Status(1).Name(), Outcome: event.OutcomeSuccess,
		State: query.StateOpen, IP: ptr("192.0.2.7"), UserAgent: ptr("curl/8"), Events: 1, EventIDs: []string{"e-1"},
	}
}

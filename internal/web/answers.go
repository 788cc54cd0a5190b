package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/loginaudit/loginaudit/internal/query"
	"github.com/loginaudit/loginaudit/schema"
)

// userList, attemptList and eventList are the lists of contract §4.
type userList struct {
	Users      []query.User    `json:"users"`
	NextCursor *string         `json:"next_cursor"`
	Watermark  query.Watermark `json:"watermark"`
}

type attemptList struct {
	Attempts   []query.Attempt `json:"attempts"`
	NextCursor *string         `json:"next_cursor"`
	Watermark  query.Watermark `json:"watermark"`
}

type eventList struct {
	Events     []query.Event   `json:"events"`
	NextCursor *string         `json:"next_cursor"`
	Watermark  query.Watermark `json:"watermark"`
}

func (s *Server) codes(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.ParseNone(values); err != nil {
		return err
	}
	body, err := encodeJSON(query.Codes())
	if err != nil {
		return err
	}
	writeFixed(w, r, jsonType, body)
	return nil
}

// openAPI tells the contract of the API, to programs that have no credentials yet
// too: it holds nothing of this installation.
func (s *Server) openAPI(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r)
	if err != nil {
		return err
	}
	if err := query.ParseNone(values); err != nil {
		return err
	}
	writeFixed(w, r, "application/yaml", schema.OpenAPI)
	return nil
}

func (s *Server) users(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	filter, cursors, err := query.ParseUsers(q.values, q.asked)
	if err != nil {
		return err
	}
	if done, err := s.unchanged(w, r, q); done || err != nil {
		return err
	}
	page, err := s.store.Users(r.Context(), q.account(), filter)
	if err != nil {
		return fmt.Errorf("list users: %w", err)
	}
	next := cursors.User(page.Next)
	body := userList{Users: list(page.Users), NextCursor: next, Watermark: page.Watermark}
	return s.reply(w, r, q, reply{body: body, mark: page.Watermark, next: next})
}

func (s *Server) user(w http.ResponseWriter, r *http.Request) error {
	q, err := s.userQuestion(r)
	if err != nil {
		return err
	}
	asOf, err := query.ParseUser(q.values, q.asked)
	if err != nil {
		return err
	}
	if done, err := s.unchanged(w, r, q); done || err != nil {
		return err
	}
	detail, err := s.store.User(r.Context(), q.account(), *q.asked.Username, asOf)
	if err != nil {
		return missing(fmt.Errorf("show user: %w", err), noSuchUser(asOf))
	}
	detail.Sessions = list(detail.Sessions)
	return s.reply(w, r, q, reply{body: detail, mark: detail.Watermark})
}

func (s *Server) attempts(w http.ResponseWriter, r *http.Request) error {
	q, err := s.userQuestion(r)
	if err != nil {
		return err
	}
	filter, cursors, err := query.ParseAttempts(q.values, q.asked)
	if err != nil {
		return err
	}
	if done, err := s.unchanged(w, r, q); done || err != nil {
		return err
	}
	page, err := s.store.Attempts(r.Context(), q.account(), filter)
	if err != nil {
		asking := query.Asking{Range: filter.Range, Order: filter.Order}
		if filter.After != nil {
			asking.Reached = filter.After.StartedAt
		}
		return missing(q.orNarrower(r, fmt.Errorf("list attempts: %w", err), asking), noSuchUser(filter.AsOf))
	}
	for i := range page.Attempts {
		page.Attempts[i].EventIDs = list(page.Attempts[i].EventIDs)
	}
	next := cursors.Attempt(page.Next)
	body := attemptList{Attempts: list(page.Attempts), NextCursor: next, Watermark: page.Watermark}
	return s.reply(w, r, q, reply{body: body, mark: page.Watermark, next: next})
}

func (s *Server) userEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := s.userQuestion(r)
	if err != nil {
		return err
	}
	return missing(s.writeEvents(w, r, q, s.store.UserEvents), noSuchName)
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	return s.writeEvents(w, r, q, s.store.Events)
}

// eventsOf is a list of events of the store.
type eventsOf func(ctx context.Context, account string, f query.EventFilter) (query.EventPage, error)

func (s *Server) writeEvents(w http.ResponseWriter, r *http.Request, q question, ask eventsOf) error {
	filter, cursors, err := query.ParseEvents(q.values, q.asked)
	if err != nil {
		return err
	}
	if done, err := s.unchanged(w, r, q); done || err != nil {
		return err
	}
	page, err := ask(r.Context(), q.account(), filter)
	if err != nil {
		asking := query.Asking{Range: filter.Range, Order: filter.Order, Reached: reached(filter.After)}
		return q.orNarrower(r, fmt.Errorf("list events: %w", err), asking)
	}
	next := cursors.Event(page.Next)
	body := eventList{Events: list(page.Events), NextCursor: next, Watermark: page.Watermark}
	return s.reply(w, r, q, reply{body: body, mark: page.Watermark, next: next})
}

func (s *Server) event(w http.ResponseWriter, r *http.Request) error {
	id, err := nameOf(r, "id")
	if err != nil {
		return missing(err, noSuchEvent(query.EventQuestion{}))
	}
	q, err := s.question(r)
	if err != nil {
		return err
	}
	ask, err := query.ParseEvent(q.values, id, q.asked)
	if err != nil {
		return err
	}
	details, err := s.store.Event(r.Context(), q.account(), ask)
	if err != nil {
		return missing(fmt.Errorf("show event: %w", err), noSuchEvent(ask))
	}
	details.Versions = list(details.Versions)
	details.Attempt.EventIDs = list(details.Attempt.EventIDs)
	details.AttemptEvents = list(details.AttemptEvents)
	details.Neighbours = list(details.Neighbours)
	return writeJSON(w, details)
}

// list is rows, never null.
func list[T any](rows []T) []T {
	if rows == nil {
		return []T{}
	}
	return rows
}

const jsonType = "application/json; charset=utf-8"

// writeJSON writes v whole or, where it cannot be written, not at all. Texts
// are those that were published: nothing is escaped for HTML.
func writeJSON(w http.ResponseWriter, v any) error {
	body, err := encodeJSON(v)
	if err != nil {
		return err
	}
	writeBody(w, http.StatusOK, jsonType, body)
	return nil
}

func encodeJSON(v any) ([]byte, error) {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return body.Bytes(), nil
}

// writeBody sends a whole answer. Where that fails, the asker is gone.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // HTML comes from html/template only; nosniff keeps the rest from being taken for it
}

func (s *Server) histogram(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	ask, err := query.ParseHistogram(q.values, q.asked)
	if err != nil {
		return err
	}
	if done, err := s.unchanged(w, r, q); done || err != nil {
		return err
	}
	h, err := s.store.Histogram(r.Context(), q.account(), ask)
	if err != nil {
		return q.orNarrower(r, fmt.Errorf("count events over time: %w", err), query.Asking{Range: ask.Filter.Range})
	}
	h.Buckets = list(h.Buckets)
	return s.reply(w, r, q, reply{body: h, mark: h.Watermark})
}

func (s *Server) facets(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	ask, err := query.ParseFacets(q.values, q.asked)
	if err != nil {
		return err
	}
	if done, err := s.unchanged(w, r, q); done || err != nil {
		return err
	}
	answer, err := s.store.Facets(r.Context(), q.account(), ask)
	if err != nil {
		return q.orNarrower(r, fmt.Errorf("count events by fields: %w", err), query.Asking{Range: ask.Filter.Range})
	}
	facets := make(map[query.Facet][]query.FacetValue, len(answer.Facets))
	for field, values := range answer.Facets {
		facets[field] = list(values)
	}
	answer.Facets = facets
	return s.reply(w, r, q, reply{body: answer, mark: answer.Watermark})
}

package web

import (
	"fmt"
	"net/http"

	"github.com/loginaudit/loginaudit/internal/query"
)

// sessionList is the list of sessions of contract §4.
type sessionList struct {
	Sessions   []query.Session `json:"sessions"`
	NextCursor *string         `json:"next_cursor"`
	Watermark  query.Watermark `json:"watermark"`
}

func (s *Server) sessions(w http.ResponseWriter, r *http.Request) error {
	q, err := s.question(r)
	if err != nil {
		return err
	}
	filter, cursors, err := query.ParseSessions(q.values, q.asked)
	if err != nil {
		return err
	}
	if done, err := s.unchanged(w, r, q); done || err != nil {
		return err
	}
	page, err := s.store.Sessions(r.Context(), q.account(), filter)
	if err != nil {
		asking := query.Asking{Range: filter.Range, Order: filter.Order, Reached: reached(filter.After)}
		return q.orNarrower(r, fmt.Errorf("list sessions: %w", err), asking)
	}
	next := cursors.Event(page.Next)
	body := sessionList{Sessions: list(page.Sessions), NextCursor: next, Watermark: page.Watermark}
	return s.reply(w, r, q, reply{body: body, mark: page.Watermark, next: next})
}

package web

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/access"
	"github.com/loginaudit/loginaudit/internal/apicheck"
	"github.com/loginaudit/loginaudit/internal/emit"
	"github.com/loginaudit/loginaudit/internal/oracle"
	"github.com/loginaudit/loginaudit/internal/query"
)

// plainStore answers from memory, by the plain fold of the contract, so that
// the page is tested without a database. The end-to-end tests show the same
// pages over the real one.
type plainStore struct {
	*oracle.Oracle
	stored []event.Stored
	mark   query.Watermark
	// broken is what every list fails with.
	broken error
}

const plainSessionLimit = 24 * time.Hour

func newPlainStore(events ...event.Stored) *plainStore {
	at := query.At(now.Add(-400 * time.Millisecond))
	return &plainStore{
		Oracle: oracle.New(events, plainSessionLimit), stored: events,
		mark: query.Watermark{StreamSeq: uint64(len(events)), Time: &at, LagMS: 400},
	}
}

// paged cuts the rows of a list: those after the one that is reached, at most
// limit, and the last of them where more follow.
func paged[T any](rows []T, limit int, reached func(T) bool) (page []T, last *T) {
	if i := slices.IndexFunc(rows, reached); i >= 0 {
		rows = rows[i+1:]
	}
	if len(rows) <= limit {
		return rows, nil
	}
	return rows[:limit], &rows[limit-1]
}

func (s *plainStore) Users(_ context.Context, account string, f query.UserFilter) (query.UserPage, error) {
	rows, last := paged(s.Oracle.Users(account, f), f.Limit, func(u query.User) bool {
		return f.After != nil && u.Username == f.After.Username
	})
	p := query.UserPage{Users: rows, Watermark: s.mark}
	if last != nil {
		p.Next = &query.UserPosition{Username: last.Username}
	}
	return p, s.broken
}

func (s *plainStore) User(_ context.Context, account, username string, asOf time.Time) (query.UserDetail, error) {
	u, ok := s.Oracle.User(account, username, asOf)
	if !ok || username == "" {
		return query.UserDetail{}, fmt.Errorf("user: %w", query.ErrNotFound)
	}
	d := query.UserDetail{User: u, Watermark: s.mark}
	for _, a := range s.Oracle.Attempts(account, query.AttemptFilter{AsOf: asOf, Username: username, States: []query.State{query.StateOpen}}) {
		d.Sessions = append(d.Sessions, query.Session{
			Username: username, SessionID: a.SessionID, OpenedAt: a.LoginAt, Status: a.Status, State: a.State, IP: a.IP, UserAgent: a.UserAgent,
		})
	}
	return d, nil
}

func (s *plainStore) Attempts(_ context.Context, account string, f query.AttemptFilter) (query.AttemptPage, error) {
	first := func(a query.Attempt) event.Hash { return s.byID(account, a.EventIDs[0])[0].Hash }
	rows, last := paged(s.Oracle.Attempts(account, f), f.Limit, func(a query.Attempt) bool {
		return f.After != nil && first(a) == f.After.FirstHash
	})
	p := query.AttemptPage{Attempts: rows, Watermark: s.mark}
	if last != nil {
		p.Next = &query.AttemptPosition{StartedAt: last.StartedAt.Time, FirstHash: first(*last)}
	}
	return p, s.broken
}

func (s *plainStore) Sessions(_ context.Context, account string, f query.SessionFilter) (query.SessionPage, error) {
	rows, last := paged(s.Oracle.Sessions(account, f), f.Limit, func(o query.Session) bool {
		return f.After != nil && o.OpenedAt.Equal(f.After.At)
	})
	p := query.SessionPage{Sessions: rows, Watermark: s.mark}
	if last != nil {
		p.Next = &query.Position{At: last.OpenedAt.Time}
	}
	return p, s.broken
}

func (s *plainStore) Histogram(_ context.Context, account string, q query.HistogramQuestion) (query.Histogram, error) {
	return s.Oracle.Histogram(account, q)
}

func (s *plainStore) Facets(_ context.Context, account string, q query.FacetsQuestion) (query.FacetAnswer, error) {
	return s.Oracle.Facets(account, q), nil
}

func (s *plainStore) Events(_ context.Context, account string, f query.EventFilter) (query.EventPage, error) {
	rows, last := paged(s.Oracle.Events(account, f), f.Limit, func(e query.Event) bool {
		return f.After != nil && e.Hash == f.After.Hash
	})
	p := query.EventPage{Events: rows, Watermark: s.mark}
	if last != nil {
		at := last.Position()
		p.Next = &at
	}
	return p, s.broken
}

func (s *plainStore) UserEvents(ctx context.Context, account string, f query.EventFilter) (query.EventPage, error) {
	return s.Events(ctx, account, f)
}

func (s *plainStore) byID(account, id string) (found []event.Stored) {
	for _, e := range s.stored {
		if e.Account == account && e.ID == id {
			found = append(found, e)
		}
	}
	return found
}

func (s *plainStore) Event(_ context.Context, account string, q query.EventQuestion) (query.EventDetails, error) {
	d, known := s.Oracle.Details(account, q)
	if !known {
		return d, fmt.Errorf("event: %w", query.ErrNotFound)
	}
	d.Watermark = s.mark
	d.Event.IngestedAt = query.At(d.Event.ReceivedAt.Add(120 * time.Millisecond))
	return d, nil
}

func (s *plainStore) Accounts(context.Context) ([]string, error) { return s.Oracle.Accounts(), nil }

func (s *plainStore) Status(context.Context) (query.Status, error) { return query.Status{}, nil }

func (s *plainStore) Watermark(context.Context) (query.Watermark, error) { return s.mark, nil }

func (s *plainStore) Export(_ context.Context, account string, f query.EventFilter, each func([]query.Event) error) (query.Watermark, error) {
	if s.broken != nil {
		return s.mark, s.broken
	}
	for events := range slices.Chunk(s.Oracle.Events(account, f), 7) {
		if err := each(events); err != nil {
			return s.mark, err
		}
	}
	return s.mark, nil
}

// stored makes events of messages, in the order in which the stream has them.
func stored(t testing.TB, events ...event.Event) []event.Stored {
	t.Helper()
	all := make([]event.Stored, len(events))
	for i, e := range events {
		body, err := event.Encode(e)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		all[i] = storedRaw(t, string(body), uint64(i+1))
	}
	return all
}

func storedRaw(t testing.TB, body string, seq uint64) event.Stored {
	t.Helper()
	e, hash, err := event.Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return event.Stored{Event: e, Hash: hash, Raw: []byte(body), ReceivedAt: e.OccurredAt.Add(90 * time.Millisecond), StreamSeq: seq}
}

// trafficStore holds a month of made-up log-ins of one account, acme.
func trafficStore(t testing.TB) *plainStore {
	t.Helper()
	g, err := emit.New(emit.Options{Accounts: 1, Users: 24, Seed: 5})
	if err != nil {
		t.Fatal(err)
	}
	var events []event.Event
	for e := range g.Generate(now.AddDate(0, 0, -40), now) {
		e.Account = "acme"
		events = append(events, e)
	}
	return newPlainStore(stored(t, events...)...)
}

// at makes an event of the account acme, some time before now.
func eventAt(before time.Duration, id, username string, status event.Status) event.Event {
	return event.Event{
		ID: id, Account: "acme", Username: username, OccurredAt: now.Add(-before), Entry: 1, Status: status,
		IP: netip.MustParseAddr("192.0.2.7"), UserAgent: "Firefox", Service: "web-login",
	}
}

// pageServer serves the page over a store, at a fixed time.
func pageServer(t testing.TB, s Store) (handler http.Handler, token string) {
	t.Helper()
	admin := access.NewAdminToken()
	server, err := New(Config{Store: s, Access: access.New(access.Config{Token: admin}), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return apicheck.Handler(t, server.Handler()), admin.Secret()
}

// shownPage is a page that was answered.
type shownPage struct {
	Status int
	Header http.Header
	Body   string
	doc    *htmlNode
}

// visit asks for a page as the administrator.
func visit(t testing.TB, s Store, target string) shownPage {
	t.Helper()
	handler, token := pageServer(t, s)
	return visitAs(t, handler, target, "Authorization", "Bearer "+token)
}

func visitAs(t testing.TB, handler http.Handler, target string, headers ...string) shownPage {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	p := shownPage{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
	if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		p.doc = parseHTML(t, p.Body)
	}
	return p
}

package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strconv"
)

// UserList is a page of users. NextCursor is nil on the last page.
type UserList struct {
	Users      []User    `json:"users"`
	NextCursor *string   `json:"next_cursor"`
	Watermark  Watermark `json:"watermark"`
}

// EventList is a page of events. NextCursor is nil on the last page.
type EventList struct {
	Events     []Event   `json:"events"`
	NextCursor *string   `json:"next_cursor"`
	Watermark  Watermark `json:"watermark"`
}

// AttemptList is a page of attempts. NextCursor is nil on the last page.
type AttemptList struct {
	Attempts   []Attempt `json:"attempts"`
	NextCursor *string   `json:"next_cursor"`
	Watermark  Watermark `json:"watermark"`
}

// SessionList is a page of sessions. NextCursor is nil on the last page.
type SessionList struct {
	Sessions   []Session `json:"sessions"`
	NextCursor *string   `json:"next_cursor"`
	Watermark  Watermark `json:"watermark"`
}

// Users gives the users of an account with their latest activity. The first error
// ends the iteration.
func (c *Client) Users(ctx context.Context, account string, f UserFilter) iter.Seq2[User, error] {
	return rows(func(p Page) ([]User, *string, error) {
		list, err := c.UsersPage(ctx, account, f, p)
		return list.Users, list.NextCursor, err
	})
}

// UsersPage gives one page of [Client.Users].
func (c *Client) UsersPage(ctx context.Context, account string, f UserFilter, p Page) (UserList, error) {
	return fetch[UserList](ctx, c, aboutAccount("GET /users", account, "users").with(p.add(f.values())))
}

// User gives one user's latest activity and open sessions. A user of whom there is
// no event up to the moment is [ErrNotFound].
func (c *Client) User(ctx context.Context, account, username string, f MomentFilter) (UserDetail, error) {
	return fetch[UserDetail](ctx, c, aboutAccount("GET /users/{username}", account, "users", username).with(f.values()))
}

// Attempts gives the log-in history of a user, each session folded into a row,
// newest first. The first error ends the iteration.
func (c *Client) Attempts(ctx context.Context, account, username string, f AttemptFilter) iter.Seq2[Attempt, error] {
	return rows(func(p Page) ([]Attempt, *string, error) {
		list, err := c.AttemptsPage(ctx, account, username, f, p)
		return list.Attempts, list.NextCursor, err
	})
}

// AttemptsPage gives one page of [Client.Attempts].
func (c *Client) AttemptsPage(ctx context.Context, account, username string, f AttemptFilter, p Page) (AttemptList, error) {
	q := aboutAccount("GET /users/{username}/attempts", account, "users", username, "attempts")
	return fetch[AttemptList](ctx, c, q.with(p.add(f.values())))
}

// Events gives the events of an account, newest first. The first error ends the
// iteration.
func (c *Client) Events(ctx context.Context, account string, f EventFilter) iter.Seq2[Event, error] {
	return rows(func(p Page) ([]Event, *string, error) {
		list, err := c.EventsPage(ctx, account, f, p)
		return list.Events, list.NextCursor, err
	})
}

// EventsPage gives one page of [Client.Events].
func (c *Client) EventsPage(ctx context.Context, account string, f EventFilter, p Page) (EventList, error) {
	return fetch[EventList](ctx, c, aboutAccount("GET /events", account, "events").with(p.add(f.values())))
}

// UserEvents gives the events of a user, newest first; the filter names no other
// user. Unlike [Client.Events] with a Username it is [ErrNotFound] where the
// account has no such user. The first error ends the iteration.
func (c *Client) UserEvents(ctx context.Context, account, username string, f EventFilter) iter.Seq2[Event, error] {
	return rows(func(p Page) ([]Event, *string, error) {
		list, err := c.UserEventsPage(ctx, account, username, f, p)
		return list.Events, list.NextCursor, err
	})
}

// UserEventsPage gives one page of [Client.UserEvents].
func (c *Client) UserEventsPage(ctx context.Context, account, username string, f EventFilter, p Page) (EventList, error) {
	q := aboutAccount("GET /users/{username}/events", account, "users", username, "events")
	return fetch[EventList](ctx, c, q.with(p.add(f.values())))
}

// Sessions gives the sessions of an account, the latest opening first. The first
// error ends the iteration.
func (c *Client) Sessions(ctx context.Context, account string, f SessionFilter) iter.Seq2[Session, error] {
	return rows(func(p Page) ([]Session, *string, error) {
		list, err := c.SessionsPage(ctx, account, f, p)
		return list.Sessions, list.NextCursor, err
	})
}

// SessionsPage gives one page of [Client.Sessions].
func (c *Client) SessionsPage(ctx context.Context, account string, f SessionFilter, p Page) (SessionList, error) {
	return fetch[SessionList](ctx, c, aboutAccount("GET /sessions", account, "sessions").with(p.add(f.values())))
}

// Event gives everything about the events of one id: the version with the
// sequence streamSeq, or the latest one for 0.
func (c *Client) Event(ctx context.Context, account, id string, streamSeq uint64) (EventDetails, error) {
	v := url.Values{}
	if streamSeq != 0 {
		v.Set("stream_seq", strconv.FormatUint(streamSeq, 10))
	}
	return fetch[EventDetails](ctx, c, aboutAccount("GET /events/{id}", account, "events", id).with(v))
}

// Histogram counts events over time. The filter's Order does not matter.
func (c *Client) Histogram(ctx context.Context, account string, f HistogramFilter) (Histogram, error) {
	f.Order = ""
	v := f.values()
	add(v, "interval", f.Interval)
	return fetch[Histogram](ctx, c, aboutAccount("GET /histogram", account, "histogram").with(v))
}

// Facets counts events by the values of their fields. The filter's Order does not
// matter.
func (c *Client) Facets(ctx context.Context, account string, f FacetFilter) (Facets, error) {
	f.Order = ""
	v := f.values()
	add(v, "fields", f.Fields...)
	if f.Top != 0 {
		v.Set("top", strconv.Itoa(f.Top))
	}
	return fetch[Facets](ctx, c, aboutAccount("GET /facets", account, "facets").with(v))
}

// The sizes of the pages that iterators ask for: the first is small, because many
// callers stop early.
const (
	firstPage = 100
	laterPage = 1000
)

// rows asks for page after page. Where a page is larger than an answer may be,
// because the events in it are, it asks for a shorter one.
func rows[T any](ask func(Page) ([]T, *string, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		page, most := Page{Limit: firstPage}, laterPage
		for {
			items, next, err := ask(page)
			if errors.Is(err, ErrTooLarge) && page.Limit > 1 {
				most = page.Limit / 10
				page.Limit = most
				continue
			}
			if err == nil && next != nil && *next == page.Cursor {
				err = fmt.Errorf("ask for the next page: %w: the cursor stays the same", ErrNotAPI)
			}
			if err != nil {
				yield(*new(T), err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == nil {
				return
			}
			page = Page{Limit: most, Cursor: *next}
		}
	}
}

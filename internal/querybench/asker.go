package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// asker asks serve over HTTP, one question after the other on one connection, and
// draws what it asks about.
type asker struct {
	set
	client *http.Client
	base   string
	token  string
	rng    *rand.Rand
	// some are events of all accounts by their traffic; huge those of the largest.
	some, huge []sample
	// deep are cursors far behind the first page, by the path asked.
	deep map[string][]string
	// places are where the busiest user's history goes on for both, in a comparison.
	places []place
}

// sample is an event of the set.
type sample struct {
	Account    string    `json:"account"`
	ID         string    `json:"id"`
	Username   string    `json:"username"`
	IP         *string   `json:"ip"`
	SessionID  *string   `json:"session_id"`
	OccurredAt time.Time `json:"occurred_at"`
}

func newAsker(s set, srv *server, seed uint64) *asker {
	transport := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	return &asker{
		set: s, client: &http.Client{Transport: transport}, base: "http://" + srv.app.HTTP, token: srv.token,
		rng: rand.New(rand.NewPCG(seed, 0)), deep: make(map[string][]string),
	}
}

// answer is what came back.
type answer struct {
	status int
	body   []byte
	took   time.Duration // from before the request until the last byte
}

// get asks one question.
func (a *asker) get(ctx context.Context, path string) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, http.NoBody)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	began := time.Now()
	resp, err := a.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, body, time.Since(began)}, err
}

// page is what all lists have.
type page struct {
	Users, Attempts, Events, Sessions []json.RawMessage
	NextCursor                        *string `json:"next_cursor"`
}

func (p page) rows() int { return len(p.Users) + len(p.Attempts) + len(p.Events) + len(p.Sessions) }

// list asks for a list, which must be there.
func (a *asker) list(ctx context.Context, path string) (page, error) {
	got, err := a.get(ctx, path)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d: %s", path, got.status, got.body)
	}
	var p page
	if err == nil {
		err = json.Unmarshal(got.body, &p)
	}
	return p, err
}

// account is the path of an account.
func (a *asker) account(account string) string {
	return "/api/v1/accounts/" + url.PathEscape(account)
}

// user is the path of a user.
func (a *asker) user(user uint64) string {
	account, username := a.name(user)
	return a.account(account) + "/users/" + url.PathEscape(username)
}

// anyone is a user, those who come often more often.
func (a *asker) anyone() uint64 {
	return a.visitor(a.rng.Uint64N(max(1, a.frames*uint64(allSteps().sessions))))
}

// oncer is a user of the largest account who has one event.
func (a *asker) oncer() uint64 {
	size := a.size(hugeAccount)
	first := visitors(size)
	if first == size {
		first--
	}
	return first + a.rng.Uint64N(size-first)
}

// nobody is the path of a user who does not exist.
func (a *asker) nobody() string {
	account, _ := a.name(a.anyone())
	return a.account(account) + fmt.Sprintf("/users/nobody%d%%40example.com", a.rng.Uint64())
}

// moment is one within the set, at least so far from its ends.
func (a *asker) moment(fromStart, fromEnd time.Duration) time.Time {
	room := a.until.Sub(a.from) - fromStart - fromEnd
	return a.from.Add(fromStart + time.Duration(a.rng.Int64N(int64(room)))).Truncate(time.Second)
}

// stretch is a range of that length within the set, as parameters.
func (a *asker) stretch(length time.Duration) string {
	start := a.moment(0, length)
	return "start=" + stamp(start) + "&end=" + stamp(start.Add(length))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// sampleEvents draws events, by asking the API.
func (a *asker) sampleEvents(ctx context.Context, n int) error {
	for range n {
		account, _ := a.name(a.anyone())
		for _, s := range []struct {
			account string
			to      *[]sample
		}{{account, &a.some}, {accountName(hugeAccount), &a.huge}} {
			p, err := a.list(ctx, a.account(s.account)+"/events?limit=1&start="+stamp(a.moment(0, 30*24*time.Hour)))
			if err != nil {
				return err
			}
			for _, text := range p.Events {
				var e sample
				if err := json.Unmarshal(text, &e); err != nil {
					return err
				}
				*s.to = append(*s.to, e)
			}
		}
	}
	if len(a.some) == 0 || len(a.huge) == 0 {
		return fmt.Errorf("no events to ask about: %d and %d", len(a.some), len(a.huge))
	}
	return nil
}

// How far walk goes for a cursor.
const (
	deepRows   = 1_000 * 100 // page 1,000 at 100 a page
	deepWithin = 45 * time.Second
)

// walk collects the cursors of a list around page 1,000, or the last ones that it
// reaches: of a list with less, or within a bound of time. It asks for stride rows
// at once and gives the page that it came to.
func (a *asker) walk(ctx context.Context, path string, stride int) (int, error) {
	began, rows, cursor := time.Now(), 0, ""
	joint := "?"
	if strings.Contains(path, "?") {
		joint = "&"
	}
	var last []string
	for rows < deepRows && time.Since(began) < deepWithin {
		p, err := a.list(ctx, path+joint+"limit="+strconv.Itoa(stride)+cursor)
		if err != nil {
			return 0, err
		}
		if p.NextCursor == nil {
			break
		}
		rows += p.rows()
		cursor = "&cursor=" + url.QueryEscape(*p.NextCursor)
		if last = append(last, path+joint+"limit=100"+cursor); len(last) > 10 {
			last = last[1:]
		}
	}
	a.deep[path] = last
	return rows / 100, nil
}

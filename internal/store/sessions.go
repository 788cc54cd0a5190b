package store

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// The bounds of a walk along the openings of an account. Each reading is four
// times the one before, up to maxChunk, since whoever asks for a rare state has
// to look at many; after maxOpenings the page ends and its cursor goes on from
// there, so that no question reads more than this, however large the account is.
const (
	chunkGrowth = 4
	maxChunk    = 8192
	maxOpenings = 50_000
)

// Sessions answers one page of the sessions of an account that have opened.
//
// What is open has opened within the session limit: that little is read at
// once. For anything else it walks along the opening events in the order of the
// answer; an event is a row where it is the latest opening of its session. So a
// page costs what lies on its way, whatever else the account holds.
func (db *DB) Sessions(ctx context.Context, account string, f query.SessionFilter) (query.SessionPage, error) {
	return db.sessionsWithin(ctx, account, f, walkBounds{first: f.Limit + 1 + overfetch, most: maxOpenings})
}

// walkBounds are how many openings are read at first, and about how many in
// all.
type walkBounds struct{ first, most int }

func (db *DB) sessionsWithin(ctx context.Context, account string, f query.SessionFilter, b walkBounds) (query.SessionPage, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.SessionPage{}, err
	}
	page := query.SessionPage{Sessions: []query.Session{}, Watermark: mark}
	span, possible := f.Openings(db.sessionLimit)
	if !possible {
		return page, nil
	}
	var rows []opening
	if f.Username == nil && len(f.States) > 0 && !slices.ContainsFunc(f.States, func(s query.State) bool { return s != query.StateOpen }) {
		rows, page.Next, err = db.openNow(ctx, account, f, span)
	} else {
		w := sessionWalk{db: db, account: account, filter: f, walkBounds: b, ends: make(map[sessionKey]sessionEnds)}
		rows, page.Next, err = w.walk(ctx, query.EventFilter{
			Range: span, Statuses: openingStatuses(), Username: f.Username, Order: f.Order, After: f.After,
		})
	}
	if err != nil {
		return query.SessionPage{}, err
	}
	page.Sessions, err = db.tellSessions(ctx, account, f, rows)
	return page, err
}

// opening is an event that opens a session.
type opening struct {
	place query.Position
	key   sessionKey
}

func openingStatuses() (all []event.Status) {
	for _, s := range event.Statuses() {
		if opens(s) {
			all = append(all, s)
		}
	}
	return all
}

// tellSessions folds the sessions of the rows. What has become another state since
// the rows were read is left out.
func (db *DB) tellSessions(ctx context.Context, account string, f query.SessionFilter, rows []opening) ([]query.Session, error) {
	keys := make([]sessionKey, len(rows))
	for i, row := range rows {
		keys[i] = row.key
	}
	folded, err := db.foldSessions(ctx, account, f.AsOf, keys)
	if err != nil {
		return nil, err
	}
	sessions := make([]query.Session, 0, len(rows))
	for _, key := range keys {
		row, ok := folded[key]
		if !ok || !wantedState(f.States, row.state) {
			continue
		}
		sessions = append(sessions, row.session())
	}
	return sessions, nil
}

func wantedState(states []query.State, state query.State) bool {
	return len(states) == 0 || slices.Contains(states, state)
}

// openNow gives the page of the sessions that are open, whose latest openings
// lie in span. No event outside of span and of what follows it matters.
func (db *DB) openNow(ctx context.Context, account string, f query.SessionFilter, span query.TimeRange) (rows []opening, next *query.Position, err error) {
	c := where(account)
	c.bind("occurred_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')", "start", micros(span.Start))
	c.bind("occurred_at <= "+asOfParam, "as_of", micros(f.AsOf))
	opening, closing := statusesWhere(opens), statusesWhere(closes)
	c.add("status IN (" + opening + ", " + closing + ")")
	having := conditions{params: c.params}
	having.bind("place.1 < fromUnixTimestamp64Micro({end:Int64}, 'UTC')", "end", micros(span.End))
	direction, sign := " DESC", " < "
	if f.Order == query.Ascending {
		direction, sign = " ASC", " > "
	}
	if f.After != nil {
		c.params["after_at"], c.params["after_rank"] = micros(f.After.At), f.After.Rank
		having.bind("place"+sign+"(fromUnixTimestamp64Micro({after_at:Int64}, 'UTC'), {after_rank:UInt8}, toFixedString(unhex({after_hash:String}), 16))",
			"after_hash", hexOf(string(f.After.Hash[:])))
	}
	c.params["limit"] = uint64(f.Limit) + 1
	s := statement{
		name: "open sessions",
		sql: `SELECT place.1, place.2, place.3, username, session_id FROM (
				SELECT username, session_id, maxIf((occurred_at, rank, content_hash), status IN (` + opening + `)) AS place,
				       maxIf(occurred_at, status IN (` + closing + `)) AS closed
				FROM events WHERE ` + c.String() + ` GROUP BY username, session_id HAVING place.1 > closed
			) WHERE ` + having.String() + ` ORDER BY place` + direction + ` LIMIT {limit:UInt64}`,
		params: c.params,
	}
	rows, err = db.scanOpenings(ctx, account, s)
	if len(rows) > f.Limit {
		rows = rows[:f.Limit]
		next = &rows[len(rows)-1].place
	}
	return rows, next, err
}

// scanOpenings reads occurred_at, rank, content_hash, username and session_id.
func (db *DB) scanOpenings(ctx context.Context, account string, s statement) (found []opening, err error) {
	err = db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var o opening
		var hash []byte
		err := rows.Scan(&o.place.At, &o.place.Rank, &hash, &o.key.username, &o.key.sessionID)
		copy(o.place.Hash[:], hash)
		found = append(found, o)
		return err
	})
	return found, err
}

// sessionWalk is one walk along the openings.
type sessionWalk struct {
	db      *DB
	account string
	filter  query.SessionFilter
	walkBounds
	// ends is what the walk has met: a session may have many openings.
	ends map[sessionKey]sessionEnds
}

// walk gives the rows of the page, and where the next one begins: behind the
// last row, or behind the last opening that was looked at.
func (w *sessionWalk) walk(ctx context.Context, f query.EventFilter) (rows []opening, next *query.Position, err error) {
	f.Limit = w.first
	for looked := 0; looked < w.most; {
		found, more, err := w.db.openings(ctx, w.account, f)
		if err != nil {
			return nil, nil, err
		}
		chosen, err := w.choose(ctx, f, found, more)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, chosen...)
		if len(rows) > w.filter.Limit {
			rows = rows[:w.filter.Limit]
			return rows, &rows[len(rows)-1].place, nil
		}
		if !more {
			return rows, nil, nil
		}
		f.After = &found[len(found)-1].place
		looked += len(found)
		f.Limit = min(f.Limit*chunkGrowth, maxChunk)
	}
	return rows, f.After, nil
}

// openings reads the next f.Limit openings, or a few less where repeats of one
// are not merged; more is true unless these are the last.
func (db *DB) openings(ctx context.Context, account string, f query.EventFilter) (found []opening, more bool, err error) {
	if f.Username != nil {
		events, more, err := db.readEvents(ctx, account, f)
		for _, e := range events {
			found = append(found, opening{place: e.Position(), key: keyOf(e)})
		}
		return found, more, err
	}
	for _, f.Range = range nearFirst(f, time.Now()) {
		in, err := db.openingsIn(ctx, account, f, f.Limit-len(found))
		if err != nil {
			return nil, false, err
		}
		if found = append(found, in...); len(found) == f.Limit {
			break
		}
	}
	more = len(found) == f.Limit
	return slices.CompactFunc(found, func(a, b opening) bool { return a.place.Hash == b.place.Hash }), more, nil
}

// openingsIn reads the next openings of an account in f.Range.
func (db *DB) openingsIn(ctx context.Context, account string, f query.EventFilter, limit int) ([]opening, error) {
	c := filterEvents(account, f)
	direction := " DESC"
	if f.Order == query.Ascending {
		direction = " ASC"
	}
	c.params["limit"] = uint64(limit)
	return db.scanOpenings(ctx, account, statement{
		name: "openings",
		sql: `SELECT occurred_at, rank, content_hash, username, session_id FROM events WHERE ` + c.String() + `
			ORDER BY occurred_at` + direction + `, rank` + direction + `, content_hash` + direction + `
			LIMIT {limit:UInt64}`,
		params: c.params,
	})
}

// choose gives those of the openings that were found by f which are the latest
// of their sessions, where the filter lets these through.
func (w *sessionWalk) choose(ctx context.Context, f query.EventFilter, found []opening, more bool) ([]opening, error) {
	if err := w.learn(ctx, found); err != nil {
		return nil, err
	}
	latest := make(map[sessionKey]opening) // of those found here
	for _, o := range found {
		ends := w.ends[o.key]
		if !ends.opened.Equal(o.place.At) || !wantedState(w.filter.States, ends.stateSince(w.filter.AsOf.Add(-w.db.sessionLimit))) {
			continue
		}
		if have, ok := latest[o.key]; !ok || comparePositions(have.place, o.place) < 0 {
			latest[o.key] = o
		}
	}
	if err := w.dropEarlier(ctx, f, found, more, latest); err != nil {
		return nil, err
	}
	var chosen []opening
	for _, o := range found {
		if latest[o.key] == o {
			chosen = append(chosen, o)
		}
	}
	return chosen, nil
}

// learn reads the ends of the sessions that the walk has not met before.
func (w *sessionWalk) learn(ctx context.Context, found []opening) error {
	var unknown []sessionKey
	for _, o := range found {
		if _, known := w.ends[o.key]; !known {
			w.ends[o.key] = sessionEnds{}
			unknown = append(unknown, o.key)
		}
	}
	ends, err := w.db.readSessionEnds(ctx, w.account, w.filter.AsOf, unknown)
	for key, e := range ends {
		w.ends[key] = e
	}
	return err
}

// dropEarlier takes out of latest what is not the latest opening of its session
// because of one at the same instant that was read before or will be read next.
func (w *sessionWalk) dropEarlier(ctx context.Context, f query.EventFilter, found []opening, more bool, latest map[sessionKey]opening) error {
	var edge time.Time
	switch {
	case f.Order != query.Ascending && f.After != nil:
		edge = f.After.At
	case f.Order == query.Ascending && more:
		edge = found[len(found)-1].place.At
	}
	var names []string
	for key, o := range latest {
		if o.place.At.Equal(edge) {
			names = append(names, key.username)
		}
	}
	if len(names) == 0 {
		return nil
	}
	c := where(w.account)
	c.bind("occurred_at = fromUnixTimestamp64Micro({edge:Int64}, 'UTC')", "edge", micros(edge))
	c.add("status IN (" + statusesWhere(opens) + ")")
	c.bind("username IN {names:Array(String)}", "names", names)
	s := statement{
		name: "openings at one instant",
		sql: `SELECT username, session_id, max(content_hash) FROM events WHERE ` + c.String() + `
			GROUP BY username, session_id`,
		params: c.params,
	}
	return w.db.selectRows(ctx, w.account, s, func(rows driver.Rows) error {
		var key sessionKey
		var hash []byte
		if err := rows.Scan(&key.username, &key.sessionID, &hash); err != nil {
			return err
		}
		if o, ok := latest[key]; ok && o.place.At.Equal(edge) && !bytes.Equal(o.place.Hash[:], hash) {
			delete(latest, key)
		}
		return nil
	})
}

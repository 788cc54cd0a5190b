package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// maxGenerations bounds how many histories of the stream are looked at.
const maxGenerations = 1000

// TailEdge tells how far the stream is ingested, and in which history of it.
func (db *DB) TailEdge(ctx context.Context) (query.TailEdge, error) {
	var edge query.TailEdge
	var gaps uint64
	s := statement{
		name: "edge of the tail",
		sql: `
			SELECT stream_created, generation, max(seq), max(time), max(known_at) AS known,
				dateDiff('millisecond', if(known = ` + never + `, max(time), known), now64(6, 'UTC')), max(gaps)
			FROM (` + claimsSQL + `)
			GROUP BY stream_created, generation
			ORDER BY generation DESC, stream_created DESC
			LIMIT {most:UInt32}`,
		params: params{"stream": db.stream, "most": maxGenerations},
	}
	latest := true
	err := db.selectRows(ctx, "", s, func(rows driver.Rows) error {
		var created, at, known time.Time
		var generation uint32
		var seq, told uint64
		var lag int64
		if err := rows.Scan(&created, &generation, &seq, &at, &known, &lag, &told); err != nil {
			return err
		}
		if !latest {
			if at.UnixMicro() > 0 && at.After(edge.Former) {
				edge.Former = at
			}
			return nil
		}
		latest = false
		edge.Created, edge.Generation, gaps = created, generation, told
		edge.Watermark.StreamSeq = seq
		if edge.Watermark.Time = moment(at); edge.Watermark.Time != nil {
			edge.Watermark.LagMS = max(lag, 0)
		}
		return nil
	})
	if err != nil || gaps == 0 {
		return edge, err
	}
	edge.Watermark.Gaps, edge.Watermark.GapsTotal, err = db.gaps(ctx, query.MaxGaps)
	return edge, err
}

// Arrived reads the events of some accounts in a stretch of the stream, in the order
// of the stream. upTo is how far it came: UpTo, or less where there are more than
// Limit events.
func (db *DB) Arrived(ctx context.Context, accounts []string, of query.Stretch) (events []query.Event, upTo uint64, err error) {
	c := &conditions{params: params{}}
	c.bind("account IN {accounts:Array(String)}", "accounts", accounts)
	return db.arrived(ctx, listed(accounts), c, of)
}

// ArrivedOf is Arrived for the events of one account that a filter lets through,
// whatever its Order and Limit.
func (db *DB) ArrivedOf(ctx context.Context, account string, f query.EventFilter, of query.Stretch) (events []query.Event, upTo uint64, err error) {
	f.After = nil
	return db.arrived(ctx, account, filterEvents(account, f), of)
}

// listed names several accounts to the database, which lets a statement see those
// in the table events, and no others. The name of an account holds no comma.
func listed(accounts []string) string { return strings.Join(accounts, ",") }

// arrived reads by the index on version, the complement of the sequence: at the live
// edge of a table of any size that is a granule or two of its youngest parts.
func (db *DB) arrived(ctx context.Context, seenBy string, c *conditions, of query.Stretch) ([]query.Event, uint64, error) {
	if of.UpTo <= of.After {
		return nil, of.UpTo, nil
	}
	c.bind("version >= {version_least:UInt64}", "version_least", ^of.UpTo)
	c.bind("version < {version_bound:UInt64}", "version_bound", ^of.After)
	if !of.Edge.Former.IsZero() { // what former generations had at these sequences
		c.bind("received_at > fromUnixTimestamp64Micro({former:Int64}, 'UTC')", "former", micros(of.Edge.Former))
	}
	c.params["limit"] = uint64(of.Limit) + 1
	s := statement{
		name:   "events that arrived",
		sql:    `SELECT ` + eventColumns + `, account FROM events WHERE ` + c.String() + ` ORDER BY version DESC LIMIT {limit:UInt64}`,
		params: c.params,
	}
	var events []query.Event
	err := db.selectRows(ctx, seenBy, s, func(rows driver.Rows) error {
		var account string
		e, err := scanEvent(rows, "", &account)
		e.Account = account
		events = append(events, e)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	upTo := of.UpTo
	if len(events) > of.Limit {
		events = events[:of.Limit]
		upTo = events[of.Limit-1].StreamSeq
	}
	// A message that was inserted again is two rows until they are merged.
	return slices.CompactFunc(events, func(a, b query.Event) bool { return a.StreamSeq == b.StreamSeq }), upTo, nil
}

// News leaves out of events, which Arrived has read, those that repeat an earlier
// one, and marks those whose id another event has too, as far as that is known now.
// They may be of several accounts.
func (db *DB) News(ctx context.Context, edge query.TailEdge, events []query.Event) ([]query.Event, error) {
	if len(events) == 0 {
		return nil, nil
	}
	first, err := db.firstArrivals(ctx, edge, events)
	if err != nil {
		return nil, err
	}
	news := make([]query.Event, 0, len(events))
	for _, e := range events {
		// Not known is what somebody has deleted meanwhile, which is nobody's news.
		if seq, known := first[identity{e.Account, e.Hash}]; known && seq == e.StreamSeq {
			news = append(news, e)
		}
	}
	return news, db.markConflictsOfAll(ctx, news)
}

// identity is what makes two rows one event.
type identity struct {
	account string
	hash    event.Hash
}

// firstArrivals are the sequences at which events were there for the first time: 0
// where that was in a former generation.
func (db *DB) firstArrivals(ctx context.Context, edge query.TailEdge, events []query.Event) (map[identity]uint64, error) {
	var accounts, hashes []string
	var moments []int64
	for _, e := range events {
		accounts = append(accounts, e.Account)
		hashes = append(hashes, hexOf(string(e.Hash[:])))
		moments = append(moments, micros(e.OccurredAt.Time))
	}
	slices.Sort(accounts)
	accounts = slices.Compact(accounts)
	former := edge.Former
	if former.IsZero() {
		former = time.UnixMicro(0) // nothing was received then
	}
	c := &conditions{params: params{"former": micros(former)}}
	c.bind("account IN {accounts:Array(String)}", "accounts", accounts)
	c.bind("occurred_at IN arrayMap(t -> fromUnixTimestamp64Micro(t, 'UTC'), {moments:Array(Int64)})", "moments", moments)
	c.bind("content_hash IN arrayMap(h -> toFixedString(unhex(h), 16), {hashes:Array(String)})", "hashes", hashes)
	s := statement{
		name: "first arrivals",
		sql: `SELECT account, content_hash, min(if(received_at > fromUnixTimestamp64Micro({former:Int64}, 'UTC'), stream_seq, 0))
			FROM events WHERE ` + c.String() + ` GROUP BY account, content_hash`,
		params: c.params,
	}
	first := make(map[identity]uint64, len(events))
	err := db.selectRows(ctx, listed(accounts), s, func(rows driver.Rows) error {
		var id identity
		var hash []byte
		var seq uint64
		if err := rows.Scan(&id.account, &hash, &seq); err != nil {
			return err
		}
		copy(id.hash[:], hash)
		first[id] = seq
		return nil
	})
	return first, err
}

// markConflictsOfAll is markConflicts for events of several accounts.
func (db *DB) markConflictsOfAll(ctx context.Context, events []query.Event) error {
	of := make(map[string][]int)
	for i, e := range events {
		of[e.Account] = append(of[e.Account], i)
	}
	for account, places := range of {
		own := make([]query.Event, len(places))
		for i, place := range places {
			own[i] = events[place]
		}
		if err := db.markConflicts(ctx, account, own); err != nil {
			return err
		}
		for i, place := range places {
			events[place].Conflict = own[i].Conflict
		}
	}
	return nil
}

package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/internal/query"
)

// readVersions fills in the event and the versions of its id.
func (db *DB) readVersions(ctx context.Context, account string, q query.EventQuestion, d *query.EventDetails) error {
	places, err := db.placesOfID(ctx, account, q.ID)
	if err != nil {
		return err
	}
	if len(places.seconds) == 0 {
		return fmt.Errorf("event: %w", query.ErrNotFound)
	}
	c := where(account)
	c.ofID(q.ID)
	c.inSeconds(places)
	if d.Versions, err = db.versions(ctx, account, c); err != nil {
		return err
	}
	if len(d.Versions) == 0 {
		return fmt.Errorf("event: %w", query.ErrNotFound)
	}
	d.Event, d.VersionsTotal = d.Versions[0], len(d.Versions)
	if d.VersionsTotal == query.MaxVersions {
		d.VersionsTotal = places.events
	}
	if q.StreamSeq != 0 {
		if err := db.chooseVersion(ctx, account, q, d); err != nil {
			return err
		}
	}
	d.Event.Conflict = d.VersionsTotal > 1
	for i := range d.Versions {
		d.Versions[i].Conflict = d.Event.Conflict
	}
	return nil
}

// chooseVersion makes the version of q.StreamSeq the event.
func (db *DB) chooseVersion(ctx context.Context, account string, q query.EventQuestion, d *query.EventDetails) error {
	c := where(account)
	c.ofID(q.ID)
	c.bind(`(occurred_at, content_hash) IN (
		SELECT occurred_at, content_hash FROM events WHERE account = {account:String} AND version = bitNot({seq:UInt64}))`, "seq", q.StreamSeq)
	chosen, err := db.versions(ctx, account, c)
	if err != nil {
		return err
	}
	// A repeat that is not merged yet must not answer for its original.
	if len(chosen) == 0 || chosen[0].StreamSeq != q.StreamSeq {
		return fmt.Errorf("event: %w", query.ErrNotFound)
	}
	d.Event = chosen[0]
	if !slices.ContainsFunc(d.Versions, func(v query.RawEvent) bool { return v.Hash == d.Event.Hash }) {
		d.Versions = append(d.Versions, d.Event) // older than those that are listed
	}
	return nil
}

// idPlaces is where the events of an id lie, and those of an id with the same
// key.
type idPlaces struct {
	events  int
	seconds []time.Time // each once, newest first
}

// mostPlaces bounds how many rows of an id are looked at: of an id that so many
// events have it is its newest versions that are listed.
const mostPlaces = 4 * query.MaxVersions

// placesOfID reads where the events of an id lie.
func (db *DB) placesOfID(ctx context.Context, account, id string) (p idPlaces, err error) {
	c := where(account)
	c.ofIDs(id)
	c.params["limit"] = uint64(mostPlaces)
	type content struct {
		second time.Time
		hash   uint64
	}
	all := make(map[content]bool)
	rows := 0
	s := statement{
		name:   "places of an id",
		sql:    `SELECT occurred_in, content FROM event_ids WHERE ` + c.String() + ` ORDER BY occurred_in DESC LIMIT {limit:UInt64}`,
		params: c.params,
	}
	err = db.selectRows(ctx, account, s, func(scanned driver.Rows) error {
		var one content
		err := scanned.Scan(&one.second, &one.hash)
		all[one] = true
		p.seconds = append(p.seconds, one.second)
		rows++
		return err
	})
	if p.events = len(all); err == nil && rows == mostPlaces {
		p.events, err = db.countVersions(ctx, account, c)
	}
	p.seconds = slices.CompactFunc(p.seconds, time.Time.Equal)
	return p, err
}

// countVersions counts the events of the condition on event_ids.
func (db *DB) countVersions(ctx context.Context, account string, c *conditions) (total int, err error) {
	s := statement{
		name:   "number of versions",
		sql:    `SELECT uniqExact(occurred_in, content) FROM event_ids WHERE ` + c.String(),
		params: c.params,
	}
	err = db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var n uint64
		err := rows.Scan(&n)
		total = int(n)
		return err
	})
	return total, err
}

// ofID adds the condition that the id is the one, on the columns that hold it.
func (c *conditions) ofID(id string) {
	var b [16]byte
	if parseUUID(&b, id) {
		c.bind("id_low = {id_low:UInt64}", "id_low", binary.BigEndian.Uint64(b[8:]))
		c.bind("id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16) = {id_high:UInt64}", "id_high", binary.BigEndian.Uint64(b[:8]))
		c.add("id_text = ''")
	} else {
		c.bind("id_text = {id:String}", "id", id)
	}
}

// inSeconds adds the condition that an event occurred in one of the seconds, of
// which there is one at least.
func (c *conditions) inSeconds(p idPlaces) {
	first, last := p.seconds[len(p.seconds)-1], p.seconds[0]
	c.timeRange(query.TimeRange{Start: first, End: last.Add(time.Second)})
	if len(p.seconds) > 1 {
		seconds := make([]uint32, len(p.seconds))
		for i, at := range p.seconds {
			seconds[i] = uint32(at.Unix())
		}
		c.bind("toDateTime(occurred_at, 'UTC') IN {seconds:Array(UInt32)}", "seconds", seconds)
	}
}

// versions reads events of an id with their messages, newest first, up to
// query.MaxVersions.
func (db *DB) versions(ctx context.Context, account string, c *conditions) ([]query.RawEvent, error) {
	c.params["limit"] = uint64(query.MaxVersions)
	s := statement{
		name: "versions",
		sql: `SELECT ` + eventColumns + `, outline FROM events WHERE ` + c.String() + `
			ORDER BY occurred_at DESC, rank DESC, content_hash DESC, version DESC
			LIMIT 1 BY content_hash LIMIT {limit:UInt64}`,
		params: c.params,
	}
	var versions []query.RawEvent
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		var outline string
		e, err := scanEvent(rows, account, &outline)
		versions = append(versions, query.RawEvent{Event: e, Raw: rawOf(e, outline)})
		return err
	})
	return versions, err
}

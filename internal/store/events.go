package store

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/loginaudit/loginaudit/event"
	"github.com/loginaudit/loginaudit/internal/query"
)

// UserEvents is Events for the user that f.Username names; a user without any
// event is query.ErrNotFound.
func (db *DB) UserEvents(ctx context.Context, account string, f query.EventFilter) (query.EventPage, error) {
	page, err := db.Events(ctx, account, f)
	if err == nil && len(page.Events) == 0 && f.After == nil {
		err = db.requireUser(ctx, account, *f.Username, nil)
	}
	return page, err
}

// Events answers one page of the events of an account.
func (db *DB) Events(ctx context.Context, account string, f query.EventFilter) (query.EventPage, error) {
	mark, err := db.Watermark(ctx)
	if err != nil {
		return query.EventPage{}, err
	}
	events, more, err := db.readEvents(ctx, account, f)
	if err != nil {
		return query.EventPage{}, err
	}
	if err := db.markConflicts(ctx, account, events); err != nil {
		return query.EventPage{}, err
	}
	page := query.EventPage{Events: events, Watermark: mark}
	if more {
		next := events[len(events)-1].Position()
		page.Next = &next
	}
	return page, nil
}

// eventColumns are the columns of an event as they are stored, in the order of
// scanEvent and readBlock. What ClickHouse would compute from them is computed
// here: it takes as long to plan that as to read a page.
const eventColumns = `id_text, id_high, id_low, username, occurred_at, content_hash, entry, status, session_id, ip, user_agent,
	service, mfa_method, device_id, request_id, reason, attributes, received_after, ingested_after, version`

// overfetch is how many rows more than a page are read at first, so that the
// repeats that ClickHouse has not merged yet rarely ask for a second read.
const overfetch = 20

// readEvents reads a page of distinct events. Repeats share the whole key and
// are neighbours, so they are collapsed here: measured ten times faster than
// FINAL or LIMIT 1 BY, which read far beyond the page.
func (db *DB) readEvents(ctx context.Context, account string, f query.EventFilter) (events []query.Event, more bool, err error) {
	return db.readEventsBut(ctx, account, f, nil)
}

// readEventsBut is readEvents without the events of the attempt of without,
// unless that is nil.
func (db *DB) readEventsBut(ctx context.Context, account string, f query.EventFilter, without *query.Event) (events []query.Event, more bool, err error) {
	events = []query.Event{}
	for _, span := range nearFirst(f, time.Now()) {
		f.Range = span
		found, err := db.readSpan(ctx, account, f, without, f.Limit-len(events))
		if err != nil {
			return nil, false, err
		}
		if events = append(events, found...); len(events) > f.Limit {
			return events[:f.Limit], true, nil
		}
	}
	return events, false, nil
}

// near is how far from its beginning a list is read first. Every part of a table
// that may hold a row of the page costs a read, and far back there are many.
const near = 30 * 24 * time.Hour

// nearFirst cuts the range of a list, newest first, into what is near its
// beginning and the rest. Where a list of the oldest begins is not known. The
// table by user has few parts, and most users have no page of events in a month:
// reading all at once takes two thirds of the time.
func nearFirst(f query.EventFilter, now time.Time) []query.TimeRange {
	end := now
	switch {
	case f.Order == query.Ascending || f.Username != nil:
		return []query.TimeRange{f.Range}
	case f.After != nil:
		end = f.After.At
	case !f.Range.End.IsZero() && f.Range.End.Before(now):
		end = f.Range.End
	}
	cut := end.Add(-near)
	if !f.Range.Start.IsZero() && !f.Range.Start.Before(cut) {
		return []query.TimeRange{f.Range}
	}
	return []query.TimeRange{{Start: cut, End: f.Range.End}, {Start: f.Range.Start, End: cut}}
}

// readSpan reads the events of one range: one more than limit where there are
// more.
func (db *DB) readSpan(ctx context.Context, account string, f query.EventFilter, without *query.Event, limit int) ([]query.Event, error) {
	c := filterEvents(account, f)
	if without != nil {
		c.notOfAttempt(*without)
	}
	for fetch := limit + 1 + overfetch; ; fetch *= 4 {
		rows, err := db.selectEvents(ctx, account, eventsStatement(c, f, fetch))
		if err != nil {
			return nil, err
		}
		events := collapse(rows)
		// Only the last of the groups may lack a copy, and it is not shown.
		if len(events) > limit {
			return events[:limit+1], nil
		}
		if len(rows) < fetch {
			return events, nil
		}
	}
}

// collapse keeps of neighbours with one identity the earliest in the stream.
func collapse(rows []query.Event) []query.Event {
	events := rows[:0:0]
	for _, row := range rows {
		last := len(events) - 1
		switch {
		case last < 0 || events[last].Hash != row.Hash:
			events = append(events, row)
		case row.StreamSeq < events[last].StreamSeq:
			events[last] = row
		}
	}
	return events
}

func eventsStatement(c *conditions, f query.EventFilter, fetch int) statement {
	from := "events"
	if f.Username != nil {
		from = "events_by_user"
	}
	c.params["limit"] = uint64(fetch)
	direction := " DESC"
	if f.Order == query.Ascending {
		direction = " ASC"
	}
	return statement{
		name: "events",
		sql: `SELECT ` + eventColumns + ` FROM ` + from + ` WHERE ` + c.String() + `
			ORDER BY occurred_at` + direction + `, rank` + direction + `, content_hash` + direction + `
			LIMIT {limit:UInt64}`,
		params: c.params,
	}
}

// filterEvents writes the filter as conditions on events or events_by_user.
func filterEvents(account string, f query.EventFilter) *conditions {
	c := where(account)
	if f.Username != nil {
		c.bind("username = {username:String}", "username", *f.Username)
	}
	c.timeRange(f.Range)
	if statuses, all := f.StatusSet(); !all {
		c.add("status IN (" + codeList(statuses) + ")")
	}
	if len(f.Entries) > 0 {
		c.add("entry IN (" + codeList(f.Entries) + ")")
	}
	for _, exact := range []struct {
		column string
		value  *string
	}{{"session_id", f.SessionID}, {"service", f.Service}, {"mfa_method", f.MFAMethod}} {
		if exact.value != nil {
			c.bind(exact.column+" = {"+exact.column+":String}", exact.column, *exact.value)
		}
	}
	if f.IP.IsValid() {
		c.addresses(f.IP)
	}
	if f.Text != "" {
		c.holds(f.Text, "username", "reason", "user_agent")
	}
	if f.After != nil {
		c.behind(*f.After, f.Order)
	}
	return c
}

// holds adds the condition that a text stands in one of the columns, whatever
// the case. ASCII, which nearly every search is, has a fast way; anything else
// is compared by Unicode's case folding, by which ς is σ and ß is ss.
func (c *conditions) holds(text string, columns ...string) {
	sought := make([]string, len(columns))
	for i, column := range columns {
		if isASCII(text) {
			sought[i] = "positionCaseInsensitive(" + column + ", {text:String}) > 0"
		} else {
			sought[i] = "position(caseFoldUTF8(" + column + "), caseFoldUTF8({text:String})) > 0"
		}
	}
	c.bind("("+strings.Join(sought, " OR ")+")", "text", text)
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
}

// notOfAttempt leaves out the events of e's attempt: those of its session, or
// without one itself.
func (c *conditions) notOfAttempt(e query.Event) {
	if e.SessionID == nil {
		c.bind("content_hash != toFixedString(unhex({own_hash:String}), 16)", "own_hash", hexOf(string(e.Hash[:])))
		return
	}
	c.params["own_username"] = e.Username
	c.bind("NOT (username = {own_username:String} AND session_id = {own_session:String})", "own_session", *e.SessionID)
}

func (c *conditions) timeRange(r query.TimeRange) {
	if !r.Start.IsZero() {
		c.bind("occurred_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')", "start", micros(r.Start))
	}
	if !r.End.IsZero() {
		c.bind("occurred_at < fromUnixTimestamp64Micro({end:Int64}, 'UTC')", "end", micros(r.End))
	}
}

// behind adds the condition for the rows behind a position. It is written out
// because ClickHouse does not use the primary index for a comparison of tuples.
func (c *conditions) behind(p query.Position, order query.Order) {
	sign := "<"
	if order == query.Ascending {
		sign = ">"
	}
	at := "fromUnixTimestamp64Micro({after_at:Int64}, 'UTC')"
	c.params["after_at"] = micros(p.At)
	c.params["after_rank"] = p.Rank
	c.params["after_hash"] = hexOf(string(p.Hash[:]))
	c.add("occurred_at " + sign + "= " + at)
	c.add("(occurred_at " + sign + " " + at +
		" OR rank " + sign + " {after_rank:UInt8}" +
		" OR (rank = {after_rank:UInt8} AND content_hash " + sign + " toFixedString(unhex({after_hash:String}), 16)))")
}

// addresses adds the condition that the address lies in a range.
func (c *conditions) addresses(p netip.Prefix) {
	first, last := bounds(p)
	if first == last {
		c.bind("ip = toIPv6({ip:String})", "ip", first.String()) // what the index ix_ip is for
	} else {
		c.bind("ip >= toIPv6({ip_first:String})", "ip_first", first.String())
		c.bind("ip <= toIPv6({ip_last:String})", "ip_last", last.String())
	}
	if p.Addr().Is6() {
		c.add("NOT (ip >= toIPv6('::ffff:0.0.0.0') AND ip <= toIPv6('::ffff:255.255.255.255'))")
	}
}

// bounds are the first and last address of a range, in the form of the column:
// IPv4 addresses are held in the IPv4-mapped block of IPv6.
func bounds(p netip.Prefix) (first, last netip.Addr) {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	b := p.Masked().Addr().As16()
	first = netip.AddrFrom16(b)
	for i := bits; i < 128; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return first, netip.AddrFrom16(b)
}

func (db *DB) selectEvents(ctx context.Context, account string, s statement) ([]query.Event, error) {
	events := []query.Event{}
	err := db.selectRows(ctx, account, s, func(rows driver.Rows) error {
		e, err := scanEvent(rows, account)
		events = append(events, e)
		return err
	})
	return events, err
}

// scanEvent reads a row of eventColumns, and of the columns behind them.
func scanEvent(rows driver.Rows, account string, behind ...any) (query.Event, error) {
	e := query.Event{Account: account}
	var (
		at                                                              time.Time
		idText                                                          string
		idHigh, idLow, version                                          uint64
		receivedAfter, ingestedAfter                                    int64
		hash                                                            []byte
		entry, status                                                   uint8
		ip                                                              *netip.Addr
		session, agent, service, mfaMethod, device, request, reasonText string
	)
	columns := []any{
		&idText, &idHigh, &idLow, &e.Username, &at, &hash, &entry, &status, &session, &ip, &agent,
		&service, &mfaMethod, &device, &request, &reasonText, &e.Attributes, &receivedAfter, &ingestedAfter, &version,
	}
	if err := rows.Scan(append(columns, behind...)...); err != nil {
		return e, err
	}
	if copy(e.Hash[:], hash) != len(e.Hash) {
		return e, fmt.Errorf("content hash of %d bytes", len(hash))
	}
	e.ID, e.StreamSeq = joinID(idText, idHigh, idLow, at), ^version
	e.OccurredAt = query.At(at)
	e.ReceivedAt, e.IngestedAt = arrivedAt(at.UnixMicro(), receivedAfter, ingestedAfter)
	e.Entry, e.Status = event.Entry(entry), event.Status(status)
	e.EntryName, e.StatusName = e.Entry.Name(), e.Status.Name()
	e.Kind, e.Outcome = e.Status.Kind(), e.Status.Outcome()
	e.SessionID, e.UserAgent, e.Service = optional(session), optional(agent), optional(service)
	e.MFAMethod = optional(event.MFAMethod(mfaMethod))
	e.DeviceID, e.RequestID, e.Reason = optional(device), optional(request), optional(reasonText)
	if ip != nil {
		e.IP = optional(ip.Unmap().String())
	}
	if len(e.Attributes) == 0 {
		e.Attributes = nil
	}
	return e, nil
}

// arrivedAt is when an event was received and ingested: by the stream's clock the
// microseconds after it occurred, and by ClickHouse's the milliseconds after that.
func arrivedAt(occurred, receivedAfter, ingestedAfter int64) (received, ingested query.Timestamp) {
	at := occurred + receivedAfter
	return microsAt(at), microsAt((at/1000 + ingestedAfter) * 1000)
}

// optional is nil for what is absent.
func optional[S ~string](s S) *S {
	if s == "" {
		return nil
	}
	return &s
}

// userExists reports whether the user has any event up to asOf; nil is any time.
func (db *DB) userExists(ctx context.Context, account, username string, asOf *time.Time) (bool, error) {
	c := where(account)
	c.bind("username = {username:String}", "username", username)
	exists, err := db.hasRow(ctx, account, "user_latest", c)
	if err != nil || !exists || asOf == nil {
		return exists, err
	}
	c.bind("occurred_at <= "+asOfParam, "as_of", micros(*asOf))
	return db.hasRow(ctx, account, "events_by_user", c)
}

// hasRow reports whether a table has a row for which the conditions hold.
func (db *DB) hasRow(ctx context.Context, account, table string, c *conditions) (found bool, err error) {
	s := statement{name: "whether there is a row", sql: `SELECT 1 FROM ` + table + ` WHERE ` + c.String() + ` LIMIT 1`, params: c.params}
	err = db.selectRows(ctx, account, s, func(driver.Rows) error {
		found = true
		return nil
	})
	return found, err
}

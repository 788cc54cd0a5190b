package main

import (
	"net/url"
	"strings"
)

// pair is a question to both: over the API, and in SQL.
type pair struct {
	name string
	// ask draws the path and the statement with its arguments; the first column of
	// its rows is what names a row of the answer, the first argument the account.
	ask func(*asker) (path, sql string, args []string)
	// loose is set where the answers differ in form: rows are not compared.
	loose bool
}

// The parts of the statements. $1 is the account, by its number, as a program that
// has signed somebody in would know it, so that the planner sees how large it is; $2
// is the user or the beginning of a range.
const (
	pgAccount = `$1::integer`
	pgUser    = `(SELECT user_id FROM users WHERE account_id = ` + pgAccount + ` AND username = $2)`
	// The columns of an event in an answer, with whether its id is in conflict.
	pgEvent = `e.id, u.username, e.occurred_at, e.entry, e.status, e.session_id, e.ip, e.user_agent, e.service, e.mfa_method, e.device_id,
		e.request_id, e.reason, e.attributes, e.received_at, e.ingested_at, e.stream_seq,
		(SELECT count(*) > 1 FROM events c WHERE c.account_id = e.account_id AND c.id = e.id)`
	pgNewest = ` ORDER BY e.occurred_at DESC, e.rank DESC, e.content_hash DESC LIMIT 100`
	// The columns of a user, with the sessions that are open now.
	pgSlots = `u.username, u.last_login_at, u.last_login_id, u.last_login_status, u.last_success_at, u.last_success_id, u.last_success_status,
		u.last_failure_at, u.last_failure_id, u.last_failure_status, u.last_logout_at, u.last_logout_id, u.last_logout_status, u.entry, u.status,
		(SELECT count(*) FROM attempts a WHERE a.user_id = u.user_id AND a.opened_at > now() - interval '24 hours' AND a.opened_at <= now() AND a.closed_first IS NULL)`
	pgAttempt = `session_id, first_at, opened_at, closed_at, entry, status, ip, user_agent, event_ids,
		CASE WHEN opened_at IS NULL THEN 'none' WHEN closed_at >= opened_at THEN 'closed' WHEN opened_at >= now() - interval '24 hours' THEN 'open' ELSE 'expired' END`
)

// pairs are the questions that both are asked.
func pairs() []pair {
	all := []pair{
		{name: "latest activity of a user", ask: func(a *asker) (string, string, []string) {
			return userPair(a, a.anyone())
		}},
		{name: "a user who does not exist", ask: func(a *asker) (string, string, []string) {
			path := a.nobody()
			name, _ := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:]) // it is our own
			return path, "SELECT " + pgSlots + " FROM users u WHERE account_id = " + pgAccount + " AND username = $2", []string{accountName(hugeAccount), name}
		}},
	}
	for _, of := range []struct {
		name    string
		account int
	}{{"1,000 users", midAccount}, {"300,000 users", hugeAccount}} {
		all = append(all, usersPairs("users of "+of.name+": ", of.account)...)
	}
	all = append(all, historyPairs()...)
	all = append(all, accountPairs()...)
	return append(all, countPairs()...)
}

func userPair(a *asker, user uint64) (path, sql string, args []string) {
	account, name := a.name(user)
	return a.user(user), "SELECT " + pgSlots + " FROM users u WHERE account_id = " + pgAccount + " AND username = $2", []string{account, name}
}

// usersPairs are those about the page of an account's users.
func usersPairs(of string, account int) []pair {
	var all []pair
	for _, c := range []struct{ parameters, where, order string }{
		{"sort=username", "", "u.username"},
		{"sort=-last_login", "", "u.last_login_at DESC NULLS LAST, u.username"},
		{"sort=last_logout", "", "u.last_logout_at ASC NULLS LAST, u.username"},
		{"status=2", " AND u.status = 2", "u.username"},
		{"status=2&sort=-last_login", " AND u.status = 2", "u.last_login_at DESC NULLS LAST, u.username"},
		{"logged_in=true", " AND u.user_id IN (SELECT a.user_id FROM attempts a WHERE a.account_id = " + pgAccount + " AND a.opened_at > now() - interval '24 hours' AND a.opened_at <= now() AND a.closed_first IS NULL)", "u.username"},
		{"never_logged_in=true", " AND u.last_success_at IS NULL", "u.username"},
		{"q=quispe", " AND u.username ILIKE '%quispe%'", "u.username"},
		{"q=no-such-name", " AND u.username ILIKE '%no-such-name%'", "u.username"},
	} {
		all = append(all, pair{name: of + c.parameters, ask: func(a *asker) (string, string, []string) {
			name := accountName(account)
			return a.account(name) + "/users?" + c.parameters,
				"SELECT " + pgSlots + " FROM (SELECT * FROM users u WHERE account_id = " + pgAccount + c.where + " ORDER BY " + c.order + " LIMIT 100) u ORDER BY " + c.order, []string{name}
		}})
	}
	return append(all, pair{name: of + "logged_in=true as of a moment", ask: func(a *asker) (string, string, []string) {
		name, at := accountName(account), a.moment(yearLong, 0)
		return a.account(name) + "/users?logged_in=true&as_of=" + stamp(at), `
			WITH open AS (
				SELECT user_id, count(*) AS sessions FROM attempts WHERE account_id = ` + pgAccount + `
				AND opened_at >= $2::timestamptz - interval '24 hours' AND opened_at <= $2::timestamptz AND (closed_first IS NULL OR closed_first > $2::timestamptz) GROUP BY user_id
			), page AS (SELECT u.user_id, u.username, o.sessions FROM users u JOIN open o USING (user_id) ORDER BY username LIMIT 100)
			SELECT p.username, p.sessions, l.occurred_at, l.id, l.status, s.occurred_at, s.id, s.status, f.occurred_at, f.id, f.status, o.occurred_at, o.id, o.status
			FROM page p ` + asOf("l", "BETWEEN 1 AND 26 AND status NOT IN (2, 6, 7) AND status NOT BETWEEN 14 AND 19") + asOf("s", "IN (1, 21)") +
			asOf("f", "IN (3, 5, 8, 9, 10, 11, 12, 13, 20, 22, 23, 26)") + asOf("o", "IN (2, 6, 7)") + ` ORDER BY p.username`, []string{name, stamp(at)}
	}})
}

// asOf joins a user's latest event of a family up to $2.
func asOf(name, statuses string) string {
	return ` LEFT JOIN LATERAL (SELECT occurred_at, id, status FROM events WHERE user_id = p.user_id AND occurred_at <= $2::timestamptz AND status ` + statuses +
		` ORDER BY occurred_at DESC, rank DESC, content_hash DESC LIMIT 1) ` + name + ` ON true`
}

// historyPairs are those about the history of one user, and about one event.
func historyPairs() []pair {
	events := "SELECT " + pgEvent + " FROM events e JOIN users u USING (user_id) WHERE e.user_id = " + pgUser
	attempts := "SELECT " + pgAttempt + " FROM attempts WHERE user_id = " + pgUser
	of := func(list, sql string, user func(*asker) uint64) func(*asker) (string, string, []string) {
		return func(a *asker) (string, string, []string) {
			u := user(a)
			account, name := a.name(u)
			return a.user(u) + "/" + list, sql, []string{account, name}
		}
	}
	newest := " ORDER BY first_at DESC, first_hash DESC LIMIT 100"
	return []pair{
		{name: "events of a user", ask: of("events", events+pgNewest, (*asker).anyone)},
		{name: "events of the busiest user", ask: of("events", events+pgNewest, func(*asker) uint64 { return 0 })},
		{name: "events of a user with one event", ask: of("events", events+pgNewest, (*asker).oncer)},
		{name: "events of the busiest user: far behind", ask: func(a *asker) (string, string, []string) {
			account, name := a.name(0)
			c := a.places[a.rng.IntN(len(a.places))]
			return c.path, events + " AND (e.occurred_at, e.rank, e.content_hash) < ($3::timestamptz, $4::smallint, $5::uuid)" + pgNewest,
				[]string{account, name, c.at, c.rank, c.hash}
		}},
		{name: "attempts of a user", ask: of("attempts", attempts+newest, (*asker).anyone)},
		{name: "attempts of the busiest user", ask: of("attempts", attempts+newest, func(*asker) uint64 { return 0 })},
		{name: "details of an event", loose: true, ask: func(a *asker) (string, string, []string) {
			e := a.some[a.rng.IntN(len(a.some))]
			return a.account(e.Account) + "/events/" + e.ID, `
			WITH one AS (SELECT * FROM events WHERE account_id = ` + pgAccount + ` AND id = $2::uuid)
			SELECT ` + pgEvent + `, e.outline FROM one e JOIN users u USING (user_id)
			UNION ALL SELECT ` + pgEvent + `, NULL FROM one JOIN events e ON e.account_id = one.account_id AND e.session_id = one.session_id AND e.user_id = one.user_id JOIN users u ON u.user_id = e.user_id
			UNION ALL (SELECT ` + pgEvent + `, NULL FROM one JOIN events e ON e.user_id = one.user_id
				AND e.occurred_at BETWEEN one.occurred_at - interval '5 minutes' AND one.occurred_at + interval '5 minutes' JOIN users u ON u.user_id = e.user_id LIMIT 50)
			UNION ALL (SELECT ` + pgEvent + `, NULL FROM one JOIN events e ON e.account_id = one.account_id AND e.ip = one.ip
				AND e.occurred_at BETWEEN one.occurred_at - interval '5 minutes' AND one.occurred_at + interval '5 minutes' JOIN users u ON u.user_id = e.user_id LIMIT 50)`,
				[]string{e.Account, e.ID}
		}},
	}
}

// accountPairs are those about a year of the largest account.
func accountPairs() []pair {
	var all []pair
	add := func(name string, filter func(*asker) (parameters, where string, args []string)) {
		all = append(all, pair{name: "a year of an account: " + name, ask: func(a *asker) (string, string, []string) {
			account, start := accountName(hugeAccount), a.moment(0, yearLong)
			end := start.Add(yearLong)
			parameters, where, args := filter(a)
			return a.account(account) + "/events?start=" + stamp(start) + "&end=" + stamp(end) + parameters,
				"SELECT " + pgEvent + " FROM events e JOIN users u USING (user_id) WHERE e.account_id = " + pgAccount + " AND e.occurred_at >= $2::timestamptz AND e.occurred_at < $3::timestamptz" +
					where + pgNewest, append([]string{account, stamp(start), stamp(end)}, args...)
		}})
	}
	fixed := func(name, parameters, where string) {
		add(name, func(*asker) (string, string, []string) { return parameters, where, nil })
	}
	fixed("no filter", "", "")
	fixed("outcome=failure", "&outcome=failure", " AND e.status IN (3, 5, 8, 9, 10, 11, 12, 13, 14, 20, 22, 23, 26)")
	fixed("status=16", "&status=16", " AND e.status = 16")
	fixed("mfa_method=sms", "&mfa_method=sms", " AND e.mfa_method = 'sms'")
	fixed("status=8&service=batch-upload", "&status=8&service=batch-upload", " AND e.status = 8 AND e.service = 'batch-upload'")
	fixed("ip=203.0.113.16/28", "&ip=203.0.113.16/28", " AND e.ip BETWEEN '203.0.113.16' AND '203.0.113.31'")
	text := func(q string) string {
		return " AND (e.user_id = ANY (ARRAY(SELECT user_id FROM users WHERE account_id = " + pgAccount + " AND username ILIKE '%" + q + "%')) OR e.reason ILIKE '%" + q + "%' OR e.user_agent ILIKE '%" + q + "%')"
	}
	fixed("q=safari", "&q=safari", text("safari"))
	fixed("q=no-such-text", "&q=no-such-text", text("no-such-text"))
	add("session_id=", func(a *asker) (string, string, []string) {
		id := "s-none"
		if e := a.huge[a.rng.IntN(len(a.huge))]; e.SessionID != nil {
			id = *e.SessionID
		}
		return "&session_id=" + url.QueryEscape(id), " AND e.session_id = $4", []string{id}
	})
	return all
}

// countPairs are histograms and facets.
func countPairs() []pair {
	var all []pair
	const month = " FROM events e WHERE e.account_id = " + pgAccount + " AND e.occurred_at >= $2::timestamptz AND e.occurred_at < $3::timestamptz"
	for _, of := range []struct {
		name    string
		account int
	}{{"1,000 users", midAccount}, {"300,000 users", hugeAccount}} {
		add := func(what, sql string) {
			all = append(all, pair{name: "30 days of " + of.name + ": " + what, loose: true, ask: func(a *asker) (string, string, []string) {
				account, start := accountName(of.account), a.moment(0, monthLong)
				end := start.Add(monthLong)
				return a.account(account) + "/" + what + "?start=" + stamp(start) + "&end=" + stamp(end), sql, []string{account, stamp(start), stamp(end)}
			}})
		}
		add("histogram", "SELECT date_bin('12 hours', e.occurred_at, 'epoch'), e.status, count(*)"+month+" GROUP BY 1, 2 ORDER BY 1")
		add("facets", `SELECT f.*, (SELECT username FROM users u WHERE u.user_id = f.user_id) FROM (
			SELECT grouping(e.status, e.entry, e.user_id, e.ip, e.service, e.mfa_method, e.user_agent) AS field,
			       e.status, e.entry, e.user_id, e.ip, e.service, e.mfa_method, e.user_agent, count(*) AS n,
			       row_number() OVER (PARTITION BY grouping(e.status, e.entry, e.user_id, e.ip, e.service, e.mfa_method, e.user_agent) ORDER BY count(*) DESC) AS nth`+
			month+` GROUP BY GROUPING SETS ((e.status), (e.entry), (e.user_id), (e.ip), (e.service), (e.mfa_method), (e.user_agent))) f
			WHERE nth <= 10`)
	}
	return all
}

// place is where the busiest user's history goes on, for both.
type place struct{ path, at, rank, hash string }

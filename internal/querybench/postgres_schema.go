package main

// The same facts in PostgreSQL, as somebody who knows it well would store them:
// users and accounts are numbers in the rows of events; ids and hashes are of the
// type uuid, which is 16 bytes without a header; the body is stored as its outline,
// as in ClickHouse. users is the latest activity and attempts the folded log-in
// history, both of which an insert would have to keep up to date.
const (
	postgresTables = `
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TABLE accounts (account_id integer PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE names (user_id integer NOT NULL, account_id integer NOT NULL, username text NOT NULL);
CREATE TABLE events (
	occurred_at timestamptz NOT NULL, received_at timestamptz NOT NULL, ingested_at timestamptz NOT NULL, stream_seq bigint NOT NULL,
	account_id integer NOT NULL, user_id integer NOT NULL, content_hash uuid NOT NULL, id uuid NOT NULL,
	rank smallint NOT NULL, entry smallint NOT NULL, status smallint NOT NULL,
	session_id text, ip inet, user_agent text, service text, mfa_method text, device_id text, request_id text, reason text, attributes jsonb, outline text NOT NULL);`

	// postgresCopy takes the columns in the order of postgresLine.
	postgresCopy = `COPY events (account_id, user_id, occurred_at, rank, entry, status, content_hash, id, session_id, ip, user_agent, service,
	mfa_method, device_id, request_id, reason, attributes, outline, received_at, ingested_at, stream_seq) FROM STDIN`

	postgresIndexes = `
CREATE UNIQUE INDEX events_identity ON events (account_id, content_hash);
CREATE INDEX events_by_time ON events (account_id, occurred_at, rank, content_hash) INCLUDE (status, entry);
CREATE INDEX events_by_user ON events (user_id, occurred_at, rank, content_hash);
CREATE INDEX events_by_id ON events (account_id, id);
CREATE INDEX events_by_session ON events (account_id, session_id) WHERE session_id IS NOT NULL;
CREATE INDEX events_by_ip ON events (account_id, ip, occurred_at);
CREATE INDEX events_by_status ON events (account_id, status, occurred_at, rank, content_hash);
CREATE INDEX events_failed ON events (account_id, occurred_at, rank, content_hash) WHERE status IN (3, 5, 8, 9, 10, 11, 12, 13, 14, 20, 22, 23, 26);
CREATE INDEX events_by_text ON events USING gin (user_agent gin_trgm_ops, reason gin_trgm_ops);
CREATE INDEX events_received ON events USING brin (received_at);`

	// The families of user_latest, and the latest event that is an attempt.
	postgresUsers = `
CREATE TABLE users AS
WITH families AS (
	SELECT user_id, occurred_at, rank, content_hash, id, status, entry,
	       CASE WHEN status IN (1, 21) THEN 1 WHEN status IN (24, 25) THEN 3 WHEN status IN (2, 6, 7) THEN 4 WHEN status BETWEEN 14 AND 19 THEN 5 ELSE 2 END AS family
	FROM events),
latest AS (
	SELECT DISTINCT ON (user_id, family) * FROM families ORDER BY user_id, family, occurred_at DESC, rank DESC, content_hash DESC),
ranked AS (
	SELECT *, row_number() OVER (PARTITION BY user_id ORDER BY family IN (1, 2, 3) DESC, occurred_at DESC, rank DESC, content_hash DESC) AS nth_login,
	       row_number() OVER (PARTITION BY user_id ORDER BY family < 5 DESC, occurred_at DESC, rank DESC, content_hash DESC) AS nth_attempt
	FROM latest)
SELECT n.account_id, n.user_id, n.username,
       max(l.occurred_at) FILTER (WHERE nth_login = 1 AND family < 4) AS last_login_at, (array_agg(l.id) FILTER (WHERE nth_login = 1 AND family < 4))[1] AS last_login_id,
       max(l.status) FILTER (WHERE nth_login = 1 AND family < 4) AS last_login_status,
       max(l.occurred_at) FILTER (WHERE family = 1) AS last_success_at, (array_agg(l.id) FILTER (WHERE family = 1))[1] AS last_success_id, max(l.status) FILTER (WHERE family = 1) AS last_success_status,
       max(l.occurred_at) FILTER (WHERE family = 2) AS last_failure_at, (array_agg(l.id) FILTER (WHERE family = 2))[1] AS last_failure_id, max(l.status) FILTER (WHERE family = 2) AS last_failure_status,
       max(l.occurred_at) FILTER (WHERE family = 4) AS last_logout_at, (array_agg(l.id) FILTER (WHERE family = 4))[1] AS last_logout_id, max(l.status) FILTER (WHERE family = 4) AS last_logout_status,
       max(l.entry) FILTER (WHERE nth_attempt = 1) AS entry, max(l.status) FILTER (WHERE nth_attempt = 1) AS status
FROM names n JOIN ranked l USING (user_id) GROUP BY n.account_id, n.user_id, n.username;
DROP TABLE names;
ALTER TABLE users ADD PRIMARY KEY (user_id);
CREATE UNIQUE INDEX users_by_name ON users (account_id, username);
CREATE INDEX users_by_login ON users (account_id, last_login_at DESC NULLS LAST, username);
CREATE INDEX users_by_login_up ON users (account_id, last_login_at, username);
CREATE INDEX users_by_logout ON users (account_id, last_logout_at DESC NULLS LAST, username);
CREATE INDEX users_by_logout_up ON users (account_id, last_logout_at, username);
CREATE INDEX users_by_status ON users (account_id, status, username);
CREATE INDEX users_by_text ON users USING gin (username gin_trgm_ops);`

	// closed_first is the first end behind the latest opening, for questions about a
	// moment; an event without a session is an attempt of its own.
	postgresAttempts = `
CREATE TABLE attempts AS
WITH opened AS (
	SELECT user_id, session_id, max(occurred_at) AS opened_at FROM events WHERE session_id IS NOT NULL AND status IN (1, 21) GROUP BY user_id, session_id)
SELECT e.account_id, e.user_id, e.session_id, min(e.occurred_at) AS first_at, max(e.occurred_at) AS last_at,
       (array_agg(e.content_hash ORDER BY e.occurred_at, e.rank, e.content_hash))[1] AS first_hash, max(o.opened_at) AS opened_at,
       max(e.occurred_at) FILTER (WHERE e.status IN (2, 6, 7, 8, 9)) AS closed_at,
       min(e.occurred_at) FILTER (WHERE e.status IN (2, 6, 7, 8, 9) AND e.occurred_at >= o.opened_at) AS closed_first,
       (array_agg(e.entry ORDER BY e.status NOT BETWEEN 14 AND 19 DESC, e.occurred_at DESC, e.rank DESC, e.content_hash DESC))[1] AS entry,
       (array_agg(e.status ORDER BY e.status NOT BETWEEN 14 AND 19 DESC, e.occurred_at DESC, e.rank DESC, e.content_hash DESC))[1] AS status,
       (array_agg(e.ip ORDER BY e.occurred_at DESC, e.rank DESC, e.content_hash DESC) FILTER (WHERE e.ip IS NOT NULL))[1] AS ip,
       (array_agg(e.user_agent ORDER BY e.occurred_at DESC, e.rank DESC, e.content_hash DESC) FILTER (WHERE e.user_agent IS NOT NULL))[1] AS user_agent,
       array_agg(e.id ORDER BY e.occurred_at, e.rank, e.content_hash) AS event_ids
FROM events e LEFT JOIN opened o USING (user_id, session_id) WHERE e.session_id IS NOT NULL GROUP BY e.account_id, e.user_id, e.session_id
UNION ALL
SELECT account_id, user_id, NULL, occurred_at, occurred_at, content_hash, NULL, NULL, NULL, entry, status, ip, user_agent, ARRAY[id] FROM events WHERE session_id IS NULL;
CREATE UNIQUE INDEX attempts_identity ON attempts (user_id, session_id) WHERE session_id IS NOT NULL;
CREATE INDEX attempts_by_user ON attempts (user_id, first_at, first_hash);
CREATE INDEX attempts_by_opening ON attempts (account_id, opened_at) INCLUDE (user_id, closed_first) WHERE opened_at IS NOT NULL;
CREATE INDEX attempts_open ON attempts (user_id, opened_at) INCLUDE (closed_first) WHERE opened_at IS NOT NULL;`
)

// postgresLine is a row of events as a line for COPY, without account and user.
const postgresLine = `arrayStringConcat([
	toString(occurred_at), toString(rank), toString(entry), toString(status), lower(hex(content_hash)), id,
	if(session_id = '', '\\N', session_id), if(isNull(ip), '\\N', replaceOne(toString(ip), '::ffff:', '')), if(user_agent = '', '\\N', user_agent), if(service = '', '\\N', toString(service)),
	if(mfa_method = '', '\\N', toString(mfa_method)), if(device_id = '', '\\N', device_id), if(request_id = '', '\\N', request_id), if(reason = '', '\\N', reason),
	if(empty(attributes), '\\N', toJSONString(attributes)), outline, toString(received_at), toString(ingested_at), toString(stream_seq)], '\t')`

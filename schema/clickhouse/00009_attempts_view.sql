-- The lists of statuses are the columns attempt and session of codes.csv; a
-- test compares them.

-- +goose NO TRANSACTION
-- +goose Up
CREATE MATERIALIZED VIEW IF NOT EXISTS attempts_view TO attempts
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Micro(occurred_at)))),
            char(rank), content_hash) AS place,
     toDateTime64(0, 6, 'UTC') AS never
SELECT account, username, session_id,
       place AS first,
       concat(char(status NOT IN (14, 15, 16, 17, 18, 19)), place, char(entry), char(status)) AS final,
       if(isNull(ip), '', concat(place, reinterpretAsFixedString(assumeNotNull(ip)))) AS address,
       if(user_agent = '', '', concat(place, user_agent)) AS client,
       if(status IN (1, 21), occurred_at, never) AS opened,
       if(status IN (2, 6, 7, 8, 9), occurred_at, never) AS closed,
       occurred_at AS last_seen
FROM events;

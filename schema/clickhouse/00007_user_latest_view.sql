-- The lists of statuses are the columns attempt and outcome of codes.csv; a
-- test compares them.

-- +goose NO TRANSACTION
-- +goose Up
CREATE MATERIALIZED VIEW IF NOT EXISTS user_latest_view TO user_latest
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Micro(occurred_at)))),
            char(rank), content_hash, char(entry), char(status), id) AS packed
SELECT account, username,
       if(status IN (1, 21), packed, '') AS login_success,
       if(status IN (3, 5, 8, 9, 10, 11, 12, 13, 20, 22, 23, 26), packed, '') AS login_failure,
       if(status IN (24, 25), packed, '') AS login_pending,
       if(status IN (2, 6, 7), packed, '') AS logout,
       if(status IN (14, 15, 16, 17, 18, 19), packed, '') AS other
FROM events;

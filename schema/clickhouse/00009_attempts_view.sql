-- +goose NO TRANSACTION
-- +goose Up
CREATE MATERIALIZED VIEW IF NOT EXISTS attempts_view TO attempts
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT account, username, bitShiftRight(sipHash64(session_id), 24) AS session_hash,
       toDateTime(occurred_at, 'UTC') AS first_in, toDateTime(occurred_at, 'UTC') AS last_in
FROM events;

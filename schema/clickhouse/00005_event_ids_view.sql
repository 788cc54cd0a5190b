-- +goose NO TRANSACTION
-- +goose Up
CREATE MATERIALIZED VIEW IF NOT EXISTS event_ids_view TO event_ids
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT account, id, content_hash, occurred_at
FROM events;

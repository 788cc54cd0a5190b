-- +goose NO TRANSACTION
-- +goose Up
CREATE MATERIALIZED VIEW IF NOT EXISTS events_by_user_view TO events_by_user
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT account, username, occurred_at, rank, content_hash, id_text, id_high, id_low, entry, status, session_id, ip,
       user_agent, service, mfa_method, device_id, request_id, reason, attributes,
       received_after, ingested_after, version
FROM events;

-- The expression is that of the column id, which an insert does not have.

-- +goose NO TRANSACTION
-- +goose Up
CREATE MATERIALIZED VIEW IF NOT EXISTS event_ids_view TO event_ids
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(
                     reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))),
                     reinterpretAsFixedString(byteSwap(id_low))), 16))) AS id
SELECT account, bitShiftRight(sipHash64(id), 16) AS id_hash, toDateTime(occurred_at, 'UTC') AS occurred_in,
       reinterpretAsUInt64(content_hash) AS content
FROM events;

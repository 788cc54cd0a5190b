-- The expression is that of the column id, which an insert does not have.

-- +goose NO TRANSACTION
-- +goose Up
CREATE MATERIALIZED VIEW IF NOT EXISTS event_ids_view TO event_ids
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(
                     reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))),
                     reinterpretAsFixedString(byteSwap(id_low))), 16))) AS id
SELECT account,
       bitShiftRight(if(id_text != '', sipHash64(id_text), id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16)), 16) AS id_head,
       toUInt32(bitAnd(sipHash64(id), 4294967295)) AS id_hash, toDateTime(occurred_at, 'UTC') AS occurred_in,
       reinterpretAsUInt64(content_hash) AS content
FROM events;

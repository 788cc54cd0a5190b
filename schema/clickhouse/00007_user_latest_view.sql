-- The lists of statuses are the columns attempt and outcome of codes.csv; a
-- test compares them. The id is the expression of the column id of events.

-- +goose NO TRANSACTION
-- +goose Up
CREATE MATERIALIZED VIEW IF NOT EXISTS user_latest_view TO user_latest
DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
WITH bitShiftLeft(toUInt128(toUnixTimestamp64Micro(occurred_at)), 76)
       + bitShiftLeft(toUInt128(rank), 72)
       + bitShiftLeft(toUInt128(bitShiftRight(byteSwap(reinterpretAsUInt64(content_hash)), 1)), 9)
       + toUInt128(toUInt16(entry) * 32 + status) AS packed,
     concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Micro(occurred_at)))),
            char(rank), substring(content_hash, 1, 8), if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(
                     reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))),
                     reinterpretAsFixedString(byteSwap(id_low))), 16)))) AS packed_id,
     status IN (1, 21) AS is_login_success,
     status IN (3, 5, 8, 9, 10, 11, 12, 13, 20, 22, 23, 26) AS is_login_failure,
     status IN (24, 25) AS is_login_pending,
     status IN (2, 6, 7) AS is_logout,
     status IN (14, 15, 16, 17, 18, 19) AS is_other
SELECT account, username,
       if(is_login_success, packed, 0) AS login_success,
       if(is_login_failure, packed, 0) AS login_failure,
       if(is_login_pending, packed, 0) AS login_pending,
       if(is_logout, packed, 0) AS logout,
       if(is_other, packed, 0) AS other,
       if(is_login_success, packed_id, '') AS login_success_id,
       if(is_login_failure, packed_id, '') AS login_failure_id,
       if(is_login_pending, packed_id, '') AS login_pending_id,
       if(is_logout, packed_id, '') AS logout_id
FROM events;

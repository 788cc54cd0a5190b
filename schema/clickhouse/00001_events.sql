-- The facts: every event once, by time. It serves the history of an account
-- and the details, and every other table is a projection of it.
--
-- Identity is (account, content_hash). The key and the partition are made only
-- of what the content determines, so that a repeat always meets its twin; of
-- repeats the greatest version survives, which is the smallest stream_seq.
--
-- An id that is a UUID in its usual form is stored as two numbers, every other
-- as id_text. A UUIDv7 (RFC 9562) begins with the milliseconds of its making,
-- which is nearly always the event's own time: id_high is its first half less
-- that time, and so small that it packs into 2 bytes instead of 8.
--
-- Of the other times the distance is stored, which packs into half the bytes:
-- received_after in microseconds behind occurred_at, ingested_after in
-- milliseconds behind received_at.
--
-- outline is the message's body in which every value that a column has too is
-- one control character, which no text of JSON may hold; raw is computed from
-- it, byte for byte. internal/store/outline.go and uuid.go write both.
--
-- An address or a session is asked for over years and stands in few blocks: a
-- filter of each block (Bloom, 1970), which takes less than a byte an event, tells
-- the others apart without reading them.
--
-- What an insert writes is one file a part, not two a column, each synced by
-- itself. Merges are few and large (a stream that is drained is rewritten
-- once), and write columns apart once a part is worth it. A month that had no
-- event for a day becomes one part: a question reads something of every part.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS events
(
    account      LowCardinality(String)              CODEC(ZSTD(1)),
    occurred_at  DateTime64(6, 'UTC')                CODEC(Delta(8), ZSTD(1)),
    rank         UInt8                               CODEC(ZSTD(1)),
    content_hash FixedString(16)                     CODEC(NONE),
    id_text      String                              CODEC(ZSTD(1)),
    id_high      UInt64                              CODEC(ZSTD(1)),
    id_low       UInt64                              CODEC(NONE),
    id           String ALIAS if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(
                     reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))),
                     reinterpretAsFixedString(byteSwap(id_low))), 16))),
    username     String                              CODEC(ZSTD(1)),
    entry        UInt8                               CODEC(ZSTD(1)),
    status       UInt8                               CODEC(ZSTD(1)),
    session_id   String                              CODEC(ZSTD(1)),
    ip           Nullable(IPv6)                      CODEC(ZSTD(1)),
    user_agent   LowCardinality(String)              CODEC(ZSTD(1)),
    service      LowCardinality(String)              CODEC(ZSTD(1)),
    mfa_method   LowCardinality(String)              CODEC(ZSTD(1)),
    device_id    String                              CODEC(ZSTD(1)),
    request_id   String                              CODEC(ZSTD(1)),
    reason       String                              CODEC(ZSTD(1)),
    attributes   Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    outline      String                              CODEC(ZSTD(1)),
    received_after Int64                             CODEC(T64, ZSTD(1)),
    ingested_after Int64 DEFAULT toUnixTimestamp64Milli(now64(3, 'UTC'))
                     - intDiv(toUnixTimestamp64Micro(occurred_at) + received_after, 1000) CODEC(T64, ZSTD(1)),
    received_at  DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(toUnixTimestamp64Micro(occurred_at) + received_after, 'UTC'),
    ingested_at  DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(
                     (intDiv(toUnixTimestamp64Micro(occurred_at) + received_after, 1000) + ingested_after) * 1000, 'UTC'),
    version      UInt64                              CODEC(Delta(8), ZSTD(1)),
    stream_seq   UInt64 ALIAS bitNot(version),
    raw          String ALIAS arrayFold(
        (text, part) -> replaceAll(text, part.1, part.2),
        [
            (char(1), concat('"', id, '"')),
            (char(2), concat('"', account, '"')),
            (char(3), concat('"', username, '"')),
            (char(4), concat('"', formatDateTime(occurred_at, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC'), '"')),
            (char(5), toString(entry)),
            (char(6), toString(status)),
            (char(7), concat('"', session_id, '"')),
            (char(8), concat('"', service, '"')),
            (char(14), concat('"', replaceOne(toString(assumeNotNull(ip)), '::ffff:', ''), '"')),
            (char(15), concat('"', user_agent, '"')),
            (char(16), concat('"', mfa_method, '"')),
            (char(17), concat('"', device_id, '"')),
            (char(18), concat('"', request_id, '"')),
            (char(19), concat('"', reason, '"')),
            (char(20), concat('"', substring(toString(occurred_at, 'UTC'), 1, 10), 'T', substring(toString(occurred_at, 'UTC'), 12, 12), 'Z"')),
            (char(21), concat('"', substring(toString(occurred_at, 'UTC'), 1, 10), 'T', substring(toString(occurred_at, 'UTC'), 12, 8), 'Z"'))
        ],
        outline
    ),
    INDEX ix_version version TYPE minmax,
    INDEX ix_ip ip TYPE bloom_filter(0.01),
    INDEX ix_session session_id TYPE bloom_filter(0.01)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (account, occurred_at, rank, content_hash)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 134217728,
         min_parts_to_merge_at_once = 10, merge_selector_base = 50,
         min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

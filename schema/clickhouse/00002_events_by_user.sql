-- The same events by user, for the history of one user: few, large partitions
-- and a fine index make a page cost milliseconds, however long the account's
-- history is. The message's body stays in events alone.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS events_by_user
(
    account      LowCardinality(String)              CODEC(ZSTD(1)),
    username     String                              CODEC(ZSTD(1)),
    occurred_at  DateTime64(6, 'UTC')                CODEC(Delta(8), ZSTD(1)),
    rank         UInt8                               CODEC(ZSTD(1)),
    content_hash FixedString(16)                     CODEC(NONE),
    id_text      String                              CODEC(ZSTD(1)),
    id_high      UInt64                              CODEC(ZSTD(1)),
    id_low       UInt64                              CODEC(NONE),
    id           String ALIAS if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(
                     reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))),
                     reinterpretAsFixedString(byteSwap(id_low))), 16))),
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
    received_after Int64                             CODEC(T64, ZSTD(1)),
    ingested_after Int64                             CODEC(T64, ZSTD(1)),
    received_at  DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(toUnixTimestamp64Micro(occurred_at) + received_after, 'UTC'),
    ingested_at  DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(
                     (intDiv(toUnixTimestamp64Micro(occurred_at) + received_after, 1000) + ingested_after) * 1000, 'UTC'),
    version      UInt64                              CODEC(Delta(8), ZSTD(1)),
    stream_seq   UInt64 ALIAS bitNot(version)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(occurred_at)
ORDER BY (account, username, occurred_at, rank, content_hash)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 134217728,
         min_parts_to_merge_at_once = 10, merge_selector_base = 50,
         min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

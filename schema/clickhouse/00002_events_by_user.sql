-- The same events by user, for the history of one user: few, large partitions
-- and a fine index make a page cost milliseconds, however long the account's
-- history is. The raw message stays in events alone.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS events_by_user
(
    account      LowCardinality(String)              CODEC(ZSTD(1)),
    username     String                              CODEC(ZSTD(1)),
    occurred_at  DateTime64(6, 'UTC')                CODEC(Delta(8), ZSTD(1)),
    rank         UInt8                               CODEC(ZSTD(1)),
    content_hash FixedString(16)                     CODEC(NONE),
    id           String                              CODEC(ZSTD(1)),
    entry        UInt8                               CODEC(ZSTD(1)),
    status       UInt8                               CODEC(ZSTD(1)),
    session_id   String                              CODEC(ZSTD(1)),
    ip           Nullable(IPv6)                      CODEC(ZSTD(1)),
    user_agent   String                              CODEC(ZSTD(3)),
    service      LowCardinality(String)              CODEC(ZSTD(1)),
    mfa_method   LowCardinality(String)              CODEC(ZSTD(1)),
    device_id    String                              CODEC(ZSTD(1)),
    request_id   String                              CODEC(ZSTD(1)),
    reason       String                              CODEC(ZSTD(3)),
    attributes   Map(LowCardinality(String), String) CODEC(ZSTD(3)),
    received_at  DateTime64(6, 'UTC')                CODEC(Delta(8), ZSTD(1)),
    ingested_at  DateTime64(6, 'UTC')                CODEC(Delta(8), ZSTD(1)),
    version      UInt64                              CODEC(Delta(8), ZSTD(1)),
    stream_seq   UInt64 ALIAS bitNot(version)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(occurred_at)
ORDER BY (account, username, occurred_at, rank, content_hash)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1;

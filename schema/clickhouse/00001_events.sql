-- The facts: every event once, by time. It serves the history of an account
-- and the details, and every other table is a projection of it.
--
-- Identity is (account, content_hash). The key and the partition are made only
-- of what the content determines, so that a repeat always meets its twin; of
-- repeats the greatest version survives, which is the smallest stream_seq.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS events
(
    account      LowCardinality(String)              CODEC(ZSTD(1)),
    occurred_at  DateTime64(6, 'UTC')                CODEC(Delta(8), ZSTD(1)),
    rank         UInt8                               CODEC(ZSTD(1)),
    content_hash FixedString(16)                     CODEC(NONE),
    id           String                              CODEC(ZSTD(1)),
    username     String                              CODEC(ZSTD(1)),
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
    raw          String                              CODEC(ZSTD(3)),
    received_at  DateTime64(6, 'UTC')                CODEC(Delta(8), ZSTD(1)),
    ingested_at  DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    version      UInt64                              CODEC(Delta(8), ZSTD(1)),
    stream_seq   UInt64 ALIAS bitNot(version),
    INDEX ix_version version TYPE minmax
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (account, occurred_at, rank, content_hash)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

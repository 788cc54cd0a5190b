-- Where the events of an id are. Two content hashes under one id are a
-- conflict: both are kept, both are marked.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS event_ids
(
    account      LowCardinality(String) CODEC(ZSTD(1)),
    id           String                 CODEC(ZSTD(1)),
    content_hash FixedString(16)        CODEC(NONE),
    occurred_at  DateTime64(6, 'UTC')   CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (account, id, content_hash)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1;

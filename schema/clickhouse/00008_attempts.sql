-- Where the events of an attempt lie: the events of one user with one
-- session_id, '' for the unnamed session, all lie in the seconds from first_in
-- to last_in. Whoever shows an attempt reads these events from events_by_user
-- and folds them, as they were at any moment; this table tells where they are.
--
-- A session is told by 40 bits of a hash of its session_id. Two sessions of one
-- user that share them share a longer stretch: that costs a longer reading, and
-- changes no answer. A session that goes on into the next year has a row in each;
-- whoever reads them joins them.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS attempts
(
    account      LowCardinality(String)                          CODEC(ZSTD(1)),
    username     String                                          CODEC(ZSTD(1)),
    session_hash UInt64                                          CODEC(ZSTD(1)),
    first_in     SimpleAggregateFunction(min, DateTime('UTC'))   CODEC(T64, ZSTD(1)),
    last_in      SimpleAggregateFunction(max, DateTime('UTC'))   CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(first_in)
ORDER BY (account, username, session_hash)
SETTINGS index_granularity = 256, min_compress_block_size = 8192, max_compress_block_size = 16384,
         fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 134217728,
         min_parts_to_merge_at_once = 10, merge_selector_base = 50,
         min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

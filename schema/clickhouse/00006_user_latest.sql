-- The latest activity of each user: one row a user, one slot a family of
-- events. A slot is the latest event of its family packed into a number that
-- compares as the contract orders events: 52 bits of microseconds, 4 of rank,
-- 63 of the content hash; then 4 of entry and 5 of status. max over that is
-- commutative and idempotent. An empty slot is 0.
--
-- A list of users reads the slots of all, which are numbers because ClickHouse
-- compares these ten times as fast as texts, and the ids of the few that it
-- shows: *_id is the same place as text (8 bytes of microseconds, 1 of rank, 8
-- of hash, most significant first) with the event's id behind it.
--
-- However many events there are, merged it has one row a user, and every list of
-- users reads all that is not: so it is merged sooner than the other tables, and
-- what is older than an hour becomes one part.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS user_latest
(
    account          LowCardinality(String)                CODEC(ZSTD(1)),
    username         String                                CODEC(ZSTD(1)),
    login_success    SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    login_failure    SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    login_pending    SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    logout           SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    other            SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    login_success_id SimpleAggregateFunction(max, String)  CODEC(ZSTD(1)),
    login_failure_id SimpleAggregateFunction(max, String)  CODEC(ZSTD(1)),
    login_pending_id SimpleAggregateFunction(max, String)  CODEC(ZSTD(1)),
    logout_id        SimpleAggregateFunction(max, String)  CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (account, username)
SETTINGS index_granularity = 256, min_compress_block_size = 8192, max_compress_block_size = 16384,
         fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600;

-- The latest activity of each user: one row a user, one slot a family of
-- events. A slot holds the latest event of its family packed so that bytes
-- compare as the contract orders events: 8 bytes of microseconds (big-endian),
-- 1 byte rank, 16 bytes content hash; then entry, status (1 byte each) and id.
-- max over that is commutative and idempotent. An empty slot is ''.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS user_latest
(
    account       LowCardinality(String)               CODEC(ZSTD(1)),
    username      String                               CODEC(ZSTD(1)),
    login_success SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    login_failure SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    login_pending SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    logout        SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    other         SimpleAggregateFunction(max, String) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (account, username)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1;

-- The log-in history: the events of one user with one session_id, folded; ''
-- is the unnamed session. Every measure is a scalar min or max, hence
-- commutative and idempotent. first, final, address and client are packed as
-- in user_latest: microseconds, rank and content hash, then what they carry:
--   first    nothing: the first event's place in the order
--   final    one byte in front, 1 for an attempt and 0 for any other event, so
--            that attempts win; behind the order entry and status
--   address  the IP, 16 bytes, of the latest event that has one
--   client   the user agent of the latest event that has one
-- opened, closed and last_seen are times; 1970 means never. Of an opening and
-- a closing at the same instant the closing is later (rank), so times suffice.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS attempts
(
    account    LowCardinality(String)                            CODEC(ZSTD(1)),
    username   String                                            CODEC(ZSTD(1)),
    session_id String                                            CODEC(ZSTD(1)),
    first      SimpleAggregateFunction(min, String)              CODEC(ZSTD(1)),
    final      SimpleAggregateFunction(max, String)              CODEC(ZSTD(1)),
    address    SimpleAggregateFunction(max, String)              CODEC(ZSTD(1)),
    client     SimpleAggregateFunction(max, String)              CODEC(ZSTD(1)),
    opened     SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    closed     SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    last_seen  SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (account, username, session_id)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1;

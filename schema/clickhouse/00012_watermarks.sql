-- What the ingest worker has proved of a stream: everything up to seq, and
-- everything received before time, is in the tables or parked. Each claim
-- stays true for ever, so max keeps the best of them.
--
-- A claim is about one history of the stream. A stream that was deleted and made
-- anew, or put back to an older copy, gives its sequences to other messages: that
-- is the next generation, and only the claims of the latest one count.
--
-- known_at is time by ClickHouse's own clock, so that an answer can tell how old
-- the claim is wherever the clocks of the servers differ. anchor is the last
-- message that the stream is known to have had: its sequence, zero-padded, and
-- its time in nanoseconds; a stream that has another message there is not the
-- one that the claim is about. gaps is above 0 where the table of gaps is not
-- empty, so that who reads a claim looks there only then.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS watermarks
(
    stream         String,
    stream_created DateTime64(6, 'UTC'),
    generation     UInt32,
    seq            SimpleAggregateFunction(max, UInt64),
    time           SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    known_at       SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    anchor         SimpleAggregateFunction(max, String),
    gaps           SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (stream, stream_created, generation);

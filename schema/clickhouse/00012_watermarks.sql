-- What the ingest worker has proved of a stream: everything up to seq, and
-- everything received before time, is in the tables or parked. Each claim
-- stays true for ever, so max keeps the best of them. A stream that was made
-- anew counts from 1 again and is another row.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS watermarks
(
    stream         String,
    stream_created DateTime64(6, 'UTC'),
    seq            SimpleAggregateFunction(max, UInt64),
    time           SimpleAggregateFunction(max, DateTime64(6, 'UTC'))
)
ENGINE = AggregatingMergeTree
ORDER BY (stream, stream_created);

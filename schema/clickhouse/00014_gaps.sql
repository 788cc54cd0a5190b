-- Messages that the stream lost before they were stored or parked: nobody can
-- ever ask for them. Of what was found several times one row remains; a gap that
-- grows keeps its from_seq. to_seq and messages are 0 where they are not known.
-- No claim beyond a gap may outlive it, hence the fsync.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS gaps
(
    stream         String,
    stream_created DateTime64(6, 'UTC'),
    generation     UInt32,
    from_seq       UInt64,
    reason         LowCardinality(String),
    to_seq         SimpleAggregateFunction(max, UInt64),
    messages       SimpleAggregateFunction(max, UInt64),
    found_at       SimpleAggregateFunction(min, DateTime64(6, 'UTC')) DEFAULT now64(6, 'UTC')
)
ENGINE = AggregatingMergeTree
ORDER BY (stream, stream_created, generation, from_seq, reason)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

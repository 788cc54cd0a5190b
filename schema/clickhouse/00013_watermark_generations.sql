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
ALTER TABLE watermarks
    ADD COLUMN IF NOT EXISTS generation UInt32,
    ADD COLUMN IF NOT EXISTS known_at SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    ADD COLUMN IF NOT EXISTS anchor SimpleAggregateFunction(max, String),
    ADD COLUMN IF NOT EXISTS gaps SimpleAggregateFunction(max, UInt64),
    MODIFY ORDER BY (stream, stream_created, generation);

-- What each worker last said: its claim, as in watermarks, and what it sees of
-- the whole pipeline, as JSON for the status of the API. It is said several times
-- a second and worth nothing once it is old, so it is kept in memory, and so little
-- of it that reading it is cheap, with room for the last word of 32 workers;
-- a claim is written to watermarks too, but not as often.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS pipeline_reports
(
    stream         String,
    stream_created DateTime64(6, 'UTC'),
    generation     UInt32,
    seq            UInt64,
    time           DateTime64(6, 'UTC'),
    known_at       DateTime64(6, 'UTC'),
    anchor         String,
    gaps           UInt64,
    worker         String,
    reported_at    DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    report         String
)
ENGINE = Memory
SETTINGS min_rows_to_keep = 32, max_rows_to_keep = 64;

-- The accounts that have events.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS accounts
(
    account String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY account
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

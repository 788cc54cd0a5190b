-- Where the events of an id are: in which second, by 48 bits of a hash of the
-- id. Who looks an id up compares the id itself in events, so that two ids of
-- one hash do no harm. Two contents under one id are a conflict: both are kept, both are
-- marked. content is the first half of the content hash: enough to see that
-- there are two, and events has the whole of it.
--
-- An id, a hash and a time of random bytes are most of what an event takes on
-- disk; so this table holds only what finding needs. A page of a hundred events
-- looks up a hundred ids at a hundred places: small blocks and a fine index
-- make that cheap.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS event_ids
(
    account     LowCardinality(String) CODEC(ZSTD(1)),
    id_hash     UInt64                 CODEC(Delta(8), ZSTD(1)),
    occurred_in DateTime('UTC')        CODEC(T64, ZSTD(1)),
    content     UInt64                 CODEC(NONE)
)
ENGINE = ReplacingMergeTree
ORDER BY (account, id_hash, occurred_in, content)
SETTINGS index_granularity = 512, min_compress_block_size = 8192, max_compress_block_size = 16384,
         fsync_after_insert = 1, fsync_part_directory = 1, min_parts_to_merge_at_once = 10, merge_selector_base = 50;

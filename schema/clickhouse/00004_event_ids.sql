-- Where the events of an id are: in which second. id_head is the first 48 bits
-- of an id that is a UUID, of every other of its hash; id_hash is 32 bits of the
-- hash of either. Who looks an id up compares the id itself in events, so that
-- two ids that share both do no harm. Two contents under one id are a conflict:
-- both are kept, both are marked. content is the first half of the content hash:
-- enough to see that there are two, and events has the whole of it.
--
-- The first 48 bits of a UUIDv7 (RFC 9562) are the milliseconds of its making, so
-- that the ids of a page of a hundred events are neighbours here too; those of
-- other kinds lie at a hundred places, which small blocks and a fine index make
-- cheap. Random bytes are most of what an event takes on disk, so this table
-- holds only what finding needs. A year that had no event for a day becomes one
-- part: a question reads something of every part.

-- +goose NO TRANSACTION
-- +goose Up
CREATE TABLE IF NOT EXISTS event_ids
(
    account     LowCardinality(String) CODEC(ZSTD(1)),
    id_head     UInt64                 CODEC(Delta(8), ZSTD(1)),
    id_hash     UInt32                 CODEC(NONE),
    occurred_in DateTime('UTC')        CODEC(Delta(4), ZSTD(1)),
    content     UInt64                 CODEC(NONE)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYear(occurred_in)
ORDER BY (account, id_head, id_hash, occurred_in, content)
SETTINGS index_granularity = 512, min_compress_block_size = 8192, max_compress_block_size = 16384,
         fsync_after_insert = 1, fsync_part_directory = 1, min_parts_to_merge_at_once = 10, merge_selector_base = 50,
         min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE accounts
(
    `account` String CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY account
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE MATERIALIZED VIEW accounts_view TO accounts
(
    `account` LowCardinality(String)
)
DEFINER = owner SQL SECURITY DEFINER
AS SELECT DISTINCT account
FROM events;

CREATE TABLE attempts
(
    `account` LowCardinality(String) CODEC(ZSTD(1)),
    `username` String CODEC(ZSTD(1)),
    `session_hash` UInt64 CODEC(ZSTD(1)),
    `first_in` SimpleAggregateFunction(min, DateTime('UTC')) CODEC(T64, ZSTD(1)),
    `last_in` SimpleAggregateFunction(max, DateTime('UTC')) CODEC(T64, ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(first_in)
ORDER BY (account, username, session_hash)
SETTINGS index_granularity = 256, min_compress_block_size = 8192, max_compress_block_size = 16384, fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 134217728, min_parts_to_merge_at_once = 10, merge_selector_base = 50, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

CREATE MATERIALIZED VIEW attempts_view TO attempts
(
    `account` LowCardinality(String),
    `username` String,
    `session_hash` UInt64,
    `first_in` DateTime('UTC'),
    `last_in` DateTime('UTC')
)
DEFINER = owner SQL SECURITY DEFINER
AS SELECT
    account,
    username,
    bitShiftRight(sipHash64(session_id), 24) AS session_hash,
    toDateTime(occurred_at, 'UTC') AS first_in,
    toDateTime(occurred_at, 'UTC') AS last_in
FROM events;

CREATE TABLE event_ids
(
    `account` LowCardinality(String) CODEC(ZSTD(1)),
    `id_head` UInt64 CODEC(Delta(8), ZSTD(1)),
    `id_hash` UInt32 CODEC(NONE),
    `occurred_in` DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    `content` UInt64 CODEC(NONE)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYear(occurred_in)
ORDER BY (account, id_head, id_hash, occurred_in, content)
SETTINGS index_granularity = 512, min_compress_block_size = 8192, max_compress_block_size = 16384, fsync_after_insert = 1, fsync_part_directory = 1, min_parts_to_merge_at_once = 10, merge_selector_base = 50, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

CREATE MATERIALIZED VIEW event_ids_view TO event_ids
(
    `account` LowCardinality(String),
    `id_head` UInt64,
    `id_hash` UInt32,
    `occurred_in` DateTime('UTC'),
    `content` UInt64
)
DEFINER = owner SQL SECURITY DEFINER
AS WITH
    if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))), reinterpretAsFixedString(byteSwap(id_low))), 16))) AS id
SELECT
    account,
    bitShiftRight(if(id_text != '', sipHash64(id_text), id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16)), 16) AS id_head,
    toUInt32(bitAnd(sipHash64(id), 4294967295)) AS id_hash,
    toDateTime(occurred_at, 'UTC') AS occurred_in,
    reinterpretAsUInt64(content_hash) AS content
FROM events;

CREATE TABLE events
(
    `account` LowCardinality(String) CODEC(ZSTD(1)),
    `occurred_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `rank` UInt8 CODEC(ZSTD(1)),
    `content_hash` FixedString(16) CODEC(NONE),
    `id_text` String CODEC(ZSTD(1)),
    `id_high` UInt64 CODEC(ZSTD(1)),
    `id_low` UInt64 CODEC(NONE),
    `id` String ALIAS if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))), reinterpretAsFixedString(byteSwap(id_low))), 16))),
    `username` String CODEC(ZSTD(1)),
    `entry` UInt8 CODEC(ZSTD(1)),
    `status` UInt8 CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `ip` Nullable(IPv6) CODEC(ZSTD(1)),
    `user_agent` LowCardinality(String) CODEC(ZSTD(1)),
    `service` LowCardinality(String) CODEC(ZSTD(1)),
    `mfa_method` LowCardinality(String) CODEC(ZSTD(1)),
    `device_id` String CODEC(ZSTD(1)),
    `request_id` String CODEC(ZSTD(1)),
    `reason` String CODEC(ZSTD(1)),
    `attributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `outline` String CODEC(ZSTD(1)),
    `received_after` Int64 CODEC(T64, ZSTD(1)),
    `ingested_after` Int64 DEFAULT toUnixTimestamp64Milli(now64(3, 'UTC')) - intDiv(toUnixTimestamp64Micro(occurred_at) + received_after, 1000) CODEC(T64, ZSTD(1)),
    `received_at` DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(toUnixTimestamp64Micro(occurred_at) + received_after, 'UTC'),
    `ingested_at` DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro((intDiv(toUnixTimestamp64Micro(occurred_at) + received_after, 1000) + ingested_after) * 1000, 'UTC'),
    `version` UInt64 CODEC(Delta(8), ZSTD(1)),
    `stream_seq` UInt64 ALIAS bitNot(version),
    `raw` String ALIAS arrayFold((text, part) -> replaceAll(text, part.1, part.2), [(char(1), concat('"', id, '"')), (char(2), concat('"', account, '"')), (char(3), concat('"', username, '"')), (char(4), concat('"', formatDateTime(occurred_at, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC'), '"')), (char(5), toString(entry)), (char(6), toString(status)), (char(7), concat('"', session_id, '"')), (char(8), concat('"', service, '"')), (char(14), concat('"', replaceOne(toString(assumeNotNull(ip)), '::ffff:', ''), '"')), (char(15), concat('"', user_agent, '"')), (char(16), concat('"', mfa_method, '"')), (char(17), concat('"', device_id, '"')), (char(18), concat('"', request_id, '"')), (char(19), concat('"', reason, '"')), (char(20), concat('"', substring(toString(occurred_at, 'UTC'), 1, 10), 'T', substring(toString(occurred_at, 'UTC'), 12, 12), 'Z"')), (char(21), concat('"', substring(toString(occurred_at, 'UTC'), 1, 10), 'T', substring(toString(occurred_at, 'UTC'), 12, 8), 'Z"'))], outline),
    INDEX ix_version version TYPE minmax GRANULARITY 1,
    INDEX ix_ip ip TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX ix_session session_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (account, occurred_at, rank, content_hash)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 134217728, min_parts_to_merge_at_once = 10, merge_selector_base = 50, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1, index_granularity = 8192;

CREATE TABLE events_by_user
(
    `account` LowCardinality(String) CODEC(ZSTD(1)),
    `username` String CODEC(ZSTD(1)),
    `occurred_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `rank` UInt8 CODEC(ZSTD(1)),
    `content_hash` FixedString(16) CODEC(NONE),
    `id_text` String CODEC(ZSTD(1)),
    `id_high` UInt64 CODEC(ZSTD(1)),
    `id_low` UInt64 CODEC(NONE),
    `id` String ALIAS if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))), reinterpretAsFixedString(byteSwap(id_low))), 16))),
    `entry` UInt8 CODEC(ZSTD(1)),
    `status` UInt8 CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `ip` Nullable(IPv6) CODEC(ZSTD(1)),
    `user_agent` LowCardinality(String) CODEC(ZSTD(1)),
    `service` LowCardinality(String) CODEC(ZSTD(1)),
    `mfa_method` LowCardinality(String) CODEC(ZSTD(1)),
    `device_id` String CODEC(ZSTD(1)),
    `request_id` String CODEC(ZSTD(1)),
    `reason` String CODEC(ZSTD(1)),
    `attributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `received_after` Int64 CODEC(T64, ZSTD(1)),
    `ingested_after` Int64 CODEC(T64, ZSTD(1)),
    `received_at` DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro(toUnixTimestamp64Micro(occurred_at) + received_after, 'UTC'),
    `ingested_at` DateTime64(6, 'UTC') ALIAS fromUnixTimestamp64Micro((intDiv(toUnixTimestamp64Micro(occurred_at) + received_after, 1000) + ingested_after) * 1000, 'UTC'),
    `version` UInt64 CODEC(Delta(8), ZSTD(1)),
    `stream_seq` UInt64 ALIAS bitNot(version)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(occurred_at)
ORDER BY (account, username, occurred_at, rank, content_hash)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_bytes_for_wide_part = 134217728, min_parts_to_merge_at_once = 10, merge_selector_base = 50, min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1;

CREATE MATERIALIZED VIEW events_by_user_view TO events_by_user
(
    `account` LowCardinality(String),
    `username` String,
    `occurred_at` DateTime64(6, 'UTC'),
    `rank` UInt8,
    `content_hash` FixedString(16),
    `id_text` String,
    `id_high` UInt64,
    `id_low` UInt64,
    `entry` UInt8,
    `status` UInt8,
    `session_id` String,
    `ip` Nullable(IPv6),
    `user_agent` LowCardinality(String),
    `service` LowCardinality(String),
    `mfa_method` LowCardinality(String),
    `device_id` String,
    `request_id` String,
    `reason` String,
    `attributes` Map(LowCardinality(String), String),
    `received_after` Int64,
    `ingested_after` Int64,
    `version` UInt64
)
DEFINER = owner SQL SECURITY DEFINER
AS SELECT
    account,
    username,
    occurred_at,
    rank,
    content_hash,
    id_text,
    id_high,
    id_low,
    entry,
    status,
    session_id,
    ip,
    user_agent,
    service,
    mfa_method,
    device_id,
    request_id,
    reason,
    attributes,
    received_after,
    ingested_after,
    version
FROM events;

CREATE TABLE gaps
(
    `stream` String,
    `stream_created` DateTime64(6, 'UTC'),
    `generation` UInt32,
    `from_seq` UInt64,
    `reason` LowCardinality(String),
    `to_seq` SimpleAggregateFunction(max, UInt64),
    `messages` SimpleAggregateFunction(max, UInt64),
    `found_at` SimpleAggregateFunction(min, DateTime64(6, 'UTC')) DEFAULT now64(6, 'UTC')
)
ENGINE = AggregatingMergeTree
ORDER BY (stream, stream_created, generation, from_seq, reason)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192;

CREATE TABLE pipeline_reports
(
    `stream` String,
    `stream_created` DateTime64(6, 'UTC'),
    `generation` UInt32,
    `seq` UInt64,
    `time` DateTime64(6, 'UTC'),
    `known_at` DateTime64(6, 'UTC'),
    `anchor` String,
    `gaps` UInt64,
    `worker` String,
    `reported_at` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC'),
    `report` String
)
ENGINE = Memory
SETTINGS min_rows_to_keep = 32, max_rows_to_keep = 64;

CREATE TABLE user_latest
(
    `account` LowCardinality(String) CODEC(ZSTD(1)),
    `username` String CODEC(ZSTD(1)),
    `login_success` SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    `login_failure` SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    `login_pending` SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    `logout` SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    `other` SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    `login_success_id` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `login_failure_id` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `login_pending_id` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `logout_id` SimpleAggregateFunction(max, String) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (account, username)
SETTINGS index_granularity = 256, min_compress_block_size = 8192, max_compress_block_size = 16384, fsync_after_insert = 1, fsync_part_directory = 1, min_age_to_force_merge_seconds = 3600;

CREATE MATERIALIZED VIEW user_latest_view TO user_latest
(
    `account` LowCardinality(String),
    `username` String,
    `login_success` UInt128,
    `login_failure` UInt128,
    `login_pending` UInt128,
    `logout` UInt128,
    `other` UInt128,
    `login_success_id` String,
    `login_failure_id` String,
    `login_pending_id` String,
    `logout_id` String
)
DEFINER = owner SQL SECURITY DEFINER
AS WITH
    ((bitShiftLeft(toUInt128(toUnixTimestamp64Micro(occurred_at)), 76) + bitShiftLeft(toUInt128(rank), 72)) + bitShiftLeft(toUInt128(bitShiftRight(byteSwap(reinterpretAsUInt64(content_hash)), 1)), 9)) + toUInt128((toUInt16(entry) * 32) + status) AS packed,
    concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Micro(occurred_at)))), char(rank), substring(content_hash, 1, 8), if(id_text != '', id_text, UUIDNumToString(toFixedString(concat(reinterpretAsFixedString(byteSwap(id_high + bitShiftLeft(toUInt64(toUnixTimestamp64Milli(occurred_at)), 16))), reinterpretAsFixedString(byteSwap(id_low))), 16)))) AS packed_id,
    status IN (1, 21) AS is_login_success,
    status IN (3, 5, 8, 9, 10, 11, 12, 13, 20, 22, 23, 26) AS is_login_failure,
    status IN (24, 25) AS is_login_pending,
    status IN (2, 6, 7) AS is_logout,
    status IN (14, 15, 16, 17, 18, 19) AS is_other
SELECT
    account,
    username,
    if(is_login_success, packed, 0) AS login_success,
    if(is_login_failure, packed, 0) AS login_failure,
    if(is_login_pending, packed, 0) AS login_pending,
    if(is_logout, packed, 0) AS logout,
    if(is_other, packed, 0) AS other,
    if(is_login_success, packed_id, '') AS login_success_id,
    if(is_login_failure, packed_id, '') AS login_failure_id,
    if(is_login_pending, packed_id, '') AS login_pending_id,
    if(is_logout, packed_id, '') AS logout_id
FROM events;

CREATE TABLE watermarks
(
    `stream` String,
    `stream_created` DateTime64(6, 'UTC'),
    `generation` UInt32,
    `seq` SimpleAggregateFunction(max, UInt64),
    `time` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `known_at` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `anchor` SimpleAggregateFunction(max, String),
    `gaps` SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (stream, stream_created, generation)
SETTINGS index_granularity = 8192;


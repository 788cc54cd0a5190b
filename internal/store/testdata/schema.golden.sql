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
    `session_id` String CODEC(ZSTD(1)),
    `first` SimpleAggregateFunction(min, String) CODEC(ZSTD(1)),
    `final` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `address` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `client` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `opened` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    `closed` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1)),
    `last_seen` SimpleAggregateFunction(max, DateTime64(6, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (account, username, session_id)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_parts_to_merge_at_once = 10, merge_selector_base = 50, min_bytes_for_wide_part = 134217728;

CREATE MATERIALIZED VIEW attempts_view TO attempts
(
    `account` LowCardinality(String),
    `username` String,
    `session_id` String,
    `first` String,
    `final` String,
    `address` String,
    `client` String,
    `opened` DateTime64(6, 'UTC'),
    `closed` DateTime64(6, 'UTC'),
    `last_seen` DateTime64(6, 'UTC')
)
DEFINER = owner SQL SECURITY DEFINER
AS WITH
    concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Micro(occurred_at)))), char(rank), content_hash) AS place,
    toDateTime64(0, 6, 'UTC') AS never
SELECT
    account,
    username,
    session_id,
    place AS first,
    concat(char((status NOT IN (14, 15, 16, 17, 18, 19))), place, char(entry), char(status)) AS final,
    if(isNull(ip), '', concat(place, reinterpretAsFixedString(assumeNotNull(ip)))) AS address,
    if(user_agent = '', '', concat(place, user_agent)) AS client,
    if((status IN (1, 21)), occurred_at, never) AS opened,
    if((status IN (2, 6, 7, 8, 9)), occurred_at, never) AS closed,
    occurred_at AS last_seen
FROM events;

CREATE TABLE event_ids
(
    `account` LowCardinality(String) CODEC(ZSTD(1)),
    `id` String CODEC(ZSTD(1)),
    `content_hash` FixedString(16) CODEC(NONE),
    `occurred_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree
ORDER BY (account, id, content_hash)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_parts_to_merge_at_once = 10, merge_selector_base = 50;

CREATE MATERIALIZED VIEW event_ids_view TO event_ids
(
    `account` LowCardinality(String),
    `id` String,
    `content_hash` FixedString(16),
    `occurred_at` DateTime64(6, 'UTC')
)
DEFINER = owner SQL SECURITY DEFINER
AS SELECT
    account,
    id,
    content_hash,
    occurred_at
FROM events;

CREATE TABLE events
(
    `account` LowCardinality(String) CODEC(ZSTD(1)),
    `occurred_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `rank` UInt8 CODEC(ZSTD(1)),
    `content_hash` FixedString(16) CODEC(NONE),
    `id` String CODEC(ZSTD(1)),
    `username` String CODEC(ZSTD(1)),
    `entry` UInt8 CODEC(ZSTD(1)),
    `status` UInt8 CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `ip` Nullable(IPv6) CODEC(ZSTD(1)),
    `user_agent` String CODEC(ZSTD(1)),
    `service` LowCardinality(String) CODEC(ZSTD(1)),
    `mfa_method` LowCardinality(String) CODEC(ZSTD(1)),
    `device_id` String CODEC(ZSTD(1)),
    `request_id` String CODEC(ZSTD(1)),
    `reason` String CODEC(ZSTD(1)),
    `attributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `outline` String CODEC(ZSTD(1)),
    `received_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `ingested_at` DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `version` UInt64 CODEC(Delta(8), ZSTD(1)),
    `stream_seq` UInt64 ALIAS bitNot(version),
    `raw` String ALIAS arrayFold((text, part) -> replaceAll(text, part.1, part.2), [(char(1), concat('"', id, '"')), (char(2), concat('"', account, '"')), (char(3), concat('"', username, '"')), (char(4), concat('"', formatDateTime(occurred_at, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC'), '"')), (char(5), toString(entry)), (char(6), toString(status)), (char(7), concat('"', session_id, '"')), (char(8), concat('"', service, '"')), (char(14), concat('"', replaceOne(toString(assumeNotNull(ip)), '::ffff:', ''), '"')), (char(15), concat('"', user_agent, '"')), (char(16), concat('"', mfa_method, '"')), (char(17), concat('"', device_id, '"')), (char(18), concat('"', request_id, '"')), (char(19), concat('"', reason, '"')), (char(20), concat('"', substring(toString(occurred_at, 'UTC'), 1, 10), 'T', substring(toString(occurred_at, 'UTC'), 12, 12), 'Z"')), (char(21), concat('"', substring(toString(occurred_at, 'UTC'), 1, 10), 'T', substring(toString(occurred_at, 'UTC'), 12, 8), 'Z"'))], outline),
    INDEX ix_version version TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (account, occurred_at, rank, content_hash)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 8192, min_parts_to_merge_at_once = 10, merge_selector_base = 50, min_bytes_for_wide_part = 134217728;

CREATE TABLE events_by_user
(
    `account` LowCardinality(String) CODEC(ZSTD(1)),
    `username` String CODEC(ZSTD(1)),
    `occurred_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `rank` UInt8 CODEC(ZSTD(1)),
    `content_hash` FixedString(16) CODEC(NONE),
    `id` String CODEC(ZSTD(1)),
    `entry` UInt8 CODEC(ZSTD(1)),
    `status` UInt8 CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `ip` Nullable(IPv6) CODEC(ZSTD(1)),
    `user_agent` String CODEC(ZSTD(1)),
    `service` LowCardinality(String) CODEC(ZSTD(1)),
    `mfa_method` LowCardinality(String) CODEC(ZSTD(1)),
    `device_id` String CODEC(ZSTD(1)),
    `request_id` String CODEC(ZSTD(1)),
    `reason` String CODEC(ZSTD(1)),
    `attributes` Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    `received_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `ingested_at` DateTime64(6, 'UTC') CODEC(Delta(8), ZSTD(1)),
    `version` UInt64 CODEC(Delta(8), ZSTD(1)),
    `stream_seq` UInt64 ALIAS bitNot(version)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(occurred_at)
ORDER BY (account, username, occurred_at, rank, content_hash)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_parts_to_merge_at_once = 10, merge_selector_base = 50, min_bytes_for_wide_part = 134217728;

CREATE MATERIALIZED VIEW events_by_user_view TO events_by_user
(
    `account` LowCardinality(String),
    `username` String,
    `occurred_at` DateTime64(6, 'UTC'),
    `rank` UInt8,
    `content_hash` FixedString(16),
    `id` String,
    `entry` UInt8,
    `status` UInt8,
    `session_id` String,
    `ip` Nullable(IPv6),
    `user_agent` String,
    `service` LowCardinality(String),
    `mfa_method` LowCardinality(String),
    `device_id` String,
    `request_id` String,
    `reason` String,
    `attributes` Map(LowCardinality(String), String),
    `received_at` DateTime64(6, 'UTC'),
    `ingested_at` DateTime64(6, 'UTC'),
    `version` UInt64
)
DEFINER = owner SQL SECURITY DEFINER
AS SELECT
    account,
    username,
    occurred_at,
    rank,
    content_hash,
    id,
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
    received_at,
    ingested_at,
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
    `login_success` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `login_failure` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `login_pending` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `logout` SimpleAggregateFunction(max, String) CODEC(ZSTD(1)),
    `other` SimpleAggregateFunction(max, String) CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (account, username)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1, min_parts_to_merge_at_once = 10, merge_selector_base = 50;

CREATE MATERIALIZED VIEW user_latest_view TO user_latest
(
    `account` LowCardinality(String),
    `username` String,
    `login_success` String,
    `login_failure` String,
    `login_pending` String,
    `logout` String,
    `other` String
)
DEFINER = owner SQL SECURITY DEFINER
AS WITH
    concat(reinterpretAsFixedString(byteSwap(toUInt64(toUnixTimestamp64Micro(occurred_at)))), char(rank), content_hash, char(entry), char(status), id) AS packed
SELECT
    account,
    username,
    if((status IN (1, 21)), packed, '') AS login_success,
    if((status IN (3, 5, 8, 9, 10, 11, 12, 13, 20, 22, 23, 26)), packed, '') AS login_failure,
    if((status IN (24, 25)), packed, '') AS login_pending,
    if((status IN (2, 6, 7)), packed, '') AS logout,
    if((status IN (14, 15, 16, 17, 18, 19)), packed, '') AS other
FROM events;

CREATE TABLE watermarks
(
    `stream` String,
    `stream_created` DateTime64(6, 'UTC'),
    `seq` SimpleAggregateFunction(max, UInt64),
    `time` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `generation` UInt32,
    `known_at` SimpleAggregateFunction(max, DateTime64(6, 'UTC')),
    `anchor` SimpleAggregateFunction(max, String),
    `gaps` SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
PRIMARY KEY (stream, stream_created)
ORDER BY (stream, stream_created, generation)
SETTINGS index_granularity = 8192;


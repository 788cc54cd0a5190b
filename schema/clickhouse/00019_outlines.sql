-- A message's body repeats what the columns of its row hold, and was a quarter of
-- all bytes on disk. What is stored is its outline: the body in which every such
-- value is one control character, which no text of JSON may hold. raw is computed
-- from it, byte for byte. A body without such characters is its own outline, so
-- that rows from before stay as they are. internal/store/outline.go writes them.

-- +goose NO TRANSACTION
-- +goose Up
ALTER TABLE events ADD COLUMN IF NOT EXISTS outline String CODEC(ZSTD(1)) AFTER attributes;
ALTER TABLE events UPDATE outline = raw WHERE outline = '' SETTINGS mutations_sync = 2;
ALTER TABLE events DROP COLUMN IF EXISTS raw, ADD COLUMN raw String ALIAS arrayFold(
    (text, part) -> replaceAll(text, part.1, part.2),
    [
        (char(1), concat('"', id, '"')),
        (char(2), concat('"', account, '"')),
        (char(3), concat('"', username, '"')),
        (char(4), concat('"', formatDateTime(occurred_at, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC'), '"')),
        (char(5), toString(entry)),
        (char(6), toString(status)),
        (char(7), concat('"', session_id, '"')),
        (char(8), concat('"', service, '"')),
        (char(14), concat('"', replaceOne(toString(assumeNotNull(ip)), '::ffff:', ''), '"')),
        (char(15), concat('"', user_agent, '"')),
        (char(16), concat('"', mfa_method, '"')),
        (char(17), concat('"', device_id, '"')),
        (char(18), concat('"', request_id, '"')),
        (char(19), concat('"', reason, '"')),
        (char(20), concat('"', substring(toString(occurred_at, 'UTC'), 1, 10), 'T', substring(toString(occurred_at, 'UTC'), 12, 12), 'Z"')),
        (char(21), concat('"', substring(toString(occurred_at, 'UTC'), 1, 10), 'T', substring(toString(occurred_at, 'UTC'), 12, 8), 'Z"'))
    ],
    outline
);
